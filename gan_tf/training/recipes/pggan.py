"""Progressive GAN's training step: an update of the discriminator, then one of the generator on other latents.

A step works at the resolution of its stage. While a resolution fades in, the reals are blended like the fakes.

Source: Karras et al. 2018 (Progressive GAN), sections 2 and 3 and appendix A; order and numbers as in the official
program. Settings that depart from it: the adversarial loss (`--loss`) and augmentation (`--augment`).
"""

import dataclasses

import tensorflow as tf

from gan_tf.augment.choice import Augmentation, augmentation_of
from gan_tf.losses import LOSSES, gradient_penalty, interpolates, r1_penalty
from gan_tf.models.pggan import blend, level_of, resolution_of
from gan_tf.ops.resample import average_pool_to, upsample_nearest
from gan_tf.training.schedule import alpha_at, fade_of, growing_stages, growth_at, stage_before
from gan_tf.training.step import (
    SIGNS,
    Phase,
    Recipe,
    accumulate_gradients,
    apply_gradients,
    augmented,
    micro_batches,
    second_order_arguments,
    share_of_mean,
    share_of_replica,
    tape_of,
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
    SIGNS,
)
GRADIENT_PENALTY = 10.0  # weight, with the loss wgan_gp


@dataclasses.dataclass(frozen=True)
class ProgressiveVariant:
    """Settings that are static in a step: there is one trace per level."""

    level: int
    fade: tuple[int, int]  # first image and length of the level's fade
    loss: str
    r1_gamma: float
    augmentation: Augmentation
    parts: int  # micro-batches per replica
    lr: float


def variant(config, stage, parts):
    """The ProgressiveVariant of a stage's steps."""
    level = level_of(stage.resolution)
    fade = fade_of(growing_stages(config), level)
    return ProgressiveVariant(level, fade, config.loss, config.r1_gamma, augmentation_of(config), parts, stage.lr)


def train_step(state, reals, labels, draws, variant):
    """Updates both players once on one replica.

    Args:
        state: TrainState.
        reals: [N, r, r, 3] float32 in [-1, 1], this replica's share of the global batch, at the level's resolution.
        labels: [N] int32, the class labels of the reals. The fakes have the same labels, so the interpolates of the
            gradient penalty are of one class.
        draws: Draws of the N rows.
        variant: ProgressiveVariant.

    Returns:
        {name: float32 scalar} for STATISTICS, this replica's share of each.
    """
    alpha = alpha_of(variant, draws.images_seen)
    real_images = augmented(fade_reals(reals, alpha), draws, "reals", variant, state)
    batches = micro_batches(draws, variant.parts)

    def d_loss(batch):
        return discriminator_loss(state, real_images[batch.rows], labels[batch.rows], batch.draws, variant, alpha)

    def g_loss(batch):
        return generator_loss(state, real_images[batch.rows], labels[batch.rows], batch.draws, variant, alpha)

    gradients, d_statistics = accumulate_gradients(state, state.d, batches, d_loss)
    d_norm = apply_gradients(state, state.d_optimizer, gradients, variant.lr)
    gradients, g_statistics = accumulate_gradients(state, state.g, batches, g_loss, after=[d_norm])
    g_norm = apply_gradients(state, state.g_optimizer, gradients, variant.lr)
    norms = {"gradient/d": share_of_replica(d_norm), "gradient/g": share_of_replica(g_norm)}
    return {**d_statistics, **g_statistics, **norms}


def alpha_of(variant, images_seen):
    """Weight of the level's own images at `images_seen` (int64 scalar); None if the level does not fade in."""
    first, length = variant.fade
    if not variant.level or not length:
        return None
    return tf.clip_by_value(tf.cast(images_seen - first, tf.float32) / length, 0.0, 1.0)


def fade_reals(reals, alpha):
    """Blends reals with their own half-resolution version, as the generator blends its two newest levels.

    reals [N, r, r, 3], alpha scalar or None (no blending) -> [N, r, r, 3].
    """
    if alpha is None:
        return reals
    return blend(reals, upsample_nearest(average_pool_to(reals, reals.shape[1] // 2)), alpha)


def discriminator_loss(state, real_images, labels, draws, variant, alpha):
    """D's loss with its penalty, as `accumulate_gradients` needs it: (tape, loss, statistics).

    Args:
        real_images: [n, r, r, 3], faded and augmented.
        labels: [n] int32.
        draws: Draws of the n rows.
        alpha: of the step.
    """
    fakes = tf.stop_gradient(generate(state, labels, draws.fold_in("d"), variant, alpha))

    def d(images, **arguments):
        return state.d(images, labels, training=True, level=variant.level, alpha=alpha, **arguments)

    with tape_of(state.d) as tape:
        real_logits, fake_logits = d(real_images), d(fakes)  # [n, 1]
        real_loss, fake_loss = LOSSES[variant.loss].discriminator(real_logits, fake_logits, draws.fold_in("d loss"))
        penalty = smoothness_penalty(state, d, real_images, fakes, draws, variant)
        statistics = {
            "loss/d_real": share_of_mean(real_loss, draws),
            "loss/d_fake": share_of_mean(fake_loss, draws),
            "loss/penalty": share_of_mean(penalty, draws),
            "logits/real": share_of_mean(real_logits[:, 0], draws),
            "logits/fake": share_of_mean(fake_logits[:, 0], draws),
            SIGNS: share_of_mean(tf.sign(real_logits[:, 0]), draws),
        }
        value = statistics["loss/d_real"] + statistics["loss/d_fake"] + statistics["loss/penalty"]
    return tape, value, statistics


def generator_loss(state, real_images, labels, draws, variant, alpha):
    """G's loss against the updated D, as `accumulate_gradients` needs it: (tape, loss, statistics)."""
    loss = LOSSES[variant.loss]
    arguments = {"labels": labels, "training": True, "level": variant.level, "alpha": alpha}
    with tape_of(state.g) as tape:
        fakes = generate(state, labels, draws.fold_in("g"), variant, alpha)
        real_logits = tf.stop_gradient(state.d(real_images, **arguments)) if loss.needs_reals else None
        value = share_of_mean(loss.generator(state.d(fakes, **arguments), real_logits), draws)
    return tape, value, {"loss/g": value}


def generate(state, labels, draws, variant, alpha):
    """Generates and augments fakes, [n, r, r, 3]."""
    latents = draws.normal("latents", (state.g.latent_size,))  # [n, Z]
    images = state.g(latents, labels, training=True, level=variant.level, alpha=alpha)
    return augmented(images, draws, "fakes", variant, state)


def smoothness_penalty(state, d, real_images, fakes, draws, variant):
    """Penalty on D's gradient, [n]: the gradient penalty of wgan_gp, R1 of the logistic loss, zeros for others."""
    extra = second_order_arguments(state)
    if variant.loss == "wgan_gp":
        between = interpolates(tf.cast(real_images, fakes.dtype), fakes, draws.uniform("mix"))
        repeats = state.g.resolution // resolution_of(variant.level)
        return GRADIENT_PENALTY * gradient_penalty(lambda x: d(x, **extra), between, repeats)
    if variant.loss == "logistic":
        return variant.r1_gamma / 2 * r1_penalty(lambda x: d(x, **extra), real_images)
    return tf.zeros_like(real_images[:, 0, 0, 0])


def discriminator_layers(d):
    """D's layers in groups, from the image on, for `--freeze-d`: from RGB at full resolution, then block by block.

    A block has the two convolutions of one size. The final layers on 4x4 maps are in no group.
    """
    return [[d.from_rgb[-1]], *([block] for block in reversed(d.blocks))]


def set_progress(state, stages, images_seen):
    """Stores the growth at `images_seen` in both generators."""
    growth = growth_at(stages, stage_before(stages, images_seen), images_seen)
    state.g.growth.assign(growth)
    state.g_ema.growth.assign(growth)


def scalars(stages, images_seen):
    """Level, resolution and alpha for TensorBoard: {name: number}."""
    stage = stage_before(stages, images_seen)
    return {
        "growth/level": level_of(stage.resolution),
        "growth/resolution": stage.resolution,
        "growth/alpha": alpha_at(stages, stage, images_seen),
    }


def describe_stage(stage):
    """Text for the progress line, such as "8x8 fading in"."""
    return f"{stage.resolution}x{stage.resolution}{' fading in' if stage.fade_images else ''}"


RECIPE = Recipe(
    phases=(Phase(train_step, STATISTICS),),
    variant=variant,
    discriminator_layers=discriminator_layers,
    schedule=growing_stages,
    set_progress=set_progress,
    scalars=scalars,
    describe_stage=describe_stage,
)
