"""Progressive GAN's training step: one update of the discriminator, then one of the generator on other latents.

Every step works at the resolution that its phase has reached, on real images that fade in as the generated ones do.

Source: Karras et al. 2018 (Progressive GAN), sections 2 and 3 and appendix A; order and numbers as in the official
program. Departures that a setting makes: the adversarial loss (`--loss`), augmentation (`--augment`).
"""

import dataclasses

import tensorflow as tf

from gan_tf.augment.choice import Augmentation, augmentation_of
from gan_tf.losses import LOSSES, gradient_penalty, interpolates, r1_penalty
from gan_tf.models.pggan import blend, channels_of, level_of, resolution_of
from gan_tf.ops.resample import average_pool_to, upsample_nearest
from gan_tf.rng import images_of_clock
from gan_tf.training.recipes import growth, one_size
from gan_tf.training.state import trainable
from gan_tf.training.step import (
    add_gradients,
    augmented,
    descend,
    gradients_by_path,
    micro_batches,
    precise,
    share_of_mean,
    stage_before,
    statistics_of,
    tape_of,
    tensors_of,
)

STATISTICS = (
    "loss/d_real",
    "loss/d_fake",
    "loss/penalty",
    "loss/g",
    "logits/real",
    "logits/fake",
    "gradient/d",
    "gradient/g",
)
GRADIENT_PENALTY = 10.0  # weight, with the loss wgan_gp
FEATURE_COST, STEP_COST = 1500, 4e9  # measured on CPUs of 2024, in floating-point operations of a convolution
G_PASSES, D_PASSES = 4, 14  # forward passes that cost as much as a step: gradients count twice, those of gradients too

schedule, frozen_networks = growth.phases, one_size.no_networks
reconstructions = None  # D has no decoders


@dataclasses.dataclass(frozen=True)
class Variant:
    """What is static in a step; the step is traced once for each, hence once for each level."""

    level: int
    fade: tuple[int, int]  # first image and length of the level's fade
    loss: str
    r1_gamma: float
    augmentation: Augmentation
    parts: int  # micro-batches that a replica's share is worked through in
    lr: float


def variant(config, stage, images_seen, parts):
    """The variant of the steps of a stage."""
    level = level_of(stage.resolution)
    fade = growth.fade_of(growth.phases(config), level)
    return Variant(level, fade, config.loss, config.r1_gamma, augmentation_of(config), parts, stage.lr)


def discriminator_layers(d):
    """D's layers in groups, from the image on, for `--freeze-d`: from RGB at full resolution, then block after block.

    A block has the two convolutions of one size. What judges maps of 4x4 pixels is in none of them.
    """
    return [[d.from_rgb[-1]], *([block] for block in reversed(d.blocks))]


def words(stage):
    """What a stage is called in the progress line."""
    return f"{stage.resolution}x{stage.resolution}{' fading in' if stage.fade_images else ''}"


def scalars(stages, images_seen):
    """Where in the schedule the run stands, for TensorBoard: {name: number}."""
    stage = stage_before(stages, images_seen)
    return {
        "growth/level": level_of(stage.resolution),
        "growth/resolution": stage.resolution,
        "growth/alpha": growth.alpha_at(stages, stage, images_seen),
    }


def arrive(state, stages, images_seen):
    """Notes on both generators how far they have grown."""
    grown = growth.growth_at(stages, stage_before(stages, images_seen), images_seen)
    state.g.growth.assign(grown)
    state.g_ema.growth.assign(grown)


def work(config, stage):
    """What an image of a stage costs, in floating-point operations of a convolution.

    Those of the convolutions, and as many as take the time of what lies between them (activations, norms, additions: a
    cost for each feature) and around them (a cost for each step).
    """
    multiplications = features = 0
    for level in range(level_of(stage.resolution) + 1):
        pixels = resolution_of(level) ** 2
        own, next_ = (channels_of(i, config.fmap_base, config.fmap_max) for i in (level, level - 1))
        multiplications += pixels * 9 * own * own + (pixels * 4 * own * next_ if level else 0)
        features += pixels * 2 * own
    passes = G_PASSES + D_PASSES
    return passes * (2 * multiplications + FEATURE_COST * features) + STEP_COST / stage.batch_size


def train_step(state, reals, labels, draws, variant):
    """One update of both players on one replica.

    Args:
        state: TrainState.
        reals: [N, r, r, 3] float32 in [-1, 1], this replica's share of the global batch, at the level's size.
        labels: [N] int32, the classes of the reals, which the fakes have too: as often as the data set has them, the
            same on however many replicas; and what lies between a real and a fake is then of one class.
        draws: Draws of the N rows.
        variant: Variant.

    Returns:
        float32 [K + 1], this replica's part of STATISTICS and SIGNS: their sum over replicas is the value of the global
        batch.
    """
    alpha = alpha_of(variant, images_of_clock(draws.clock))
    shown = augmented(fade_reals(reals, alpha), draws, "reals", variant, state)

    d_gradients, d_values = None, 0.0
    for part, rows in micro_batches(draws, variant.parts):
        with tf.control_dependencies(tensors_of(d_gradients)):  # one after the other, or memory would not shrink
            new, values = discriminator_gradients(state, shown[rows], labels[rows], part, variant, alpha)
            d_gradients, d_values = add_gradients(d_gradients, new), d_values + values
    d_norm = descend(state, state.d_optimizer, d_gradients, variant.lr)

    g_gradients, g_loss = None, 0.0
    for part, rows in micro_batches(draws, variant.parts):
        with tf.control_dependencies([d_norm, *tensors_of(g_gradients)]):
            new, loss = generator_gradients(state, shown[rows], labels[rows], part, variant, alpha)
            g_gradients, g_loss = add_gradients(g_gradients, new), g_loss + loss
    g_norm = descend(state, state.g_optimizer, g_gradients, variant.lr)

    return statistics_of(d_values, g_loss, d_norm, g_norm)


def alpha_of(variant, images_seen):
    """Weight of the level's own images after `images_seen` (int64 scalar); None where there are no others."""
    first, length = variant.fade
    if not variant.level or not length:
        return None
    return tf.clip_by_value(tf.cast(images_seen - first, tf.float32) / length, 0.0, 1.0)


def fade_reals(reals, alpha):
    """Blends reals with themselves at half the resolution, as the generator blends its two newest levels.

    reals [N, r, r, 3], alpha scalar or None (they stay as they are) -> [N, r, r, 3].
    """
    if alpha is None:
        return reals
    return blend(reals, upsample_nearest(average_pool_to(reals, reals.shape[1] // 2)), alpha)


def discriminator_gradients(state, shown, labels, draws, variant, alpha):
    """Gradients of D's loss, summed over these images and divided by the global batch.

    Args:
        shown: [n, r, r, 3], reals as D sees them.
        labels: [n] int32.
        draws: Draws of the n rows.
        variant, alpha: of the step.

    Returns:
        ({attribute path: gradient times the loss scale}, float32 [6]: loss on reals, on fakes, penalty, mean logits of
        reals and fakes, SIGNS).
    """
    fakes = tf.stop_gradient(generate(state, labels, draws.fold_in("d"), variant, alpha))

    def judge(images, **more):
        return state.d(images, labels, training=True, level=variant.level, alpha=alpha, **more)

    with tape_of(state.d) as tape:
        real_logits, fake_logits = judge(shown), judge(fakes)  # [n, 1]
        real_part, fake_part = LOSSES[variant.loss].discriminator(real_logits, fake_logits, draws.fold_in("d loss"))
        penalty = _penalty(state, judge, shown, fakes, draws, variant)
        per_image = [real_part, fake_part, penalty, real_logits[:, 0], fake_logits[:, 0], tf.sign(real_logits[:, 0])]
        values = tf.stack([share_of_mean(x, draws) for x in per_image])
        scaled = tf.reduce_sum(values[:3]) * state.loss_scale
    return gradients_by_path(tape, scaled, trainable(state.d)), values


def generator_gradients(state, shown, labels, draws, variant, alpha):
    """Gradients of G's loss against the updated D: ({attribute path: gradient times the loss scale}, loss)."""
    loss = LOSSES[variant.loss]
    judge = {"labels": labels, "training": True, "level": variant.level, "alpha": alpha}
    with tape_of(state.g) as tape:
        fakes = generate(state, labels, draws.fold_in("g"), variant, alpha)
        real_logits = tf.stop_gradient(state.d(shown, **judge)) if loss.needs_reals else None
        values = loss.generator(state.d(fakes, **judge), real_logits)
        g_loss = share_of_mean(values, draws)
        scaled = g_loss * state.loss_scale
    return gradients_by_path(tape, scaled, trainable(state.g)), g_loss


def generate(state, labels, draws, variant, alpha):
    """Fakes as the discriminator sees them, [n, r, r, 3]."""
    latents = draws.normal("latents", (state.g.latent_size,))  # [n, Z]
    images = state.g(latents, labels, training=True, level=variant.level, alpha=alpha)
    return augmented(images, draws, "fakes", variant, state)


def _penalty(state, judge, shown, fakes, draws, variant):
    """What keeps D smooth, [n]: the gradient penalty of wgan_gp, R1 of the logistic loss, zeros of the others."""
    if variant.loss == "wgan_gp":
        between = interpolates(tf.cast(shown, fakes.dtype), fakes, draws.uniform("mix"))
        repeats = state.g.resolution // resolution_of(variant.level)
        return GRADIENT_PENALTY * gradient_penalty(lambda x: judge(x, **precise(state)), between, repeats)
    if variant.loss == "logistic":
        return variant.r1_gamma / 2 * r1_penalty(lambda x: judge(x, **precise(state)), shown)
    return tf.zeros_like(shown[:, 0, 0, 0])
