"""Progressive GAN's training step: an update of the discriminator, then one of the generator on other latents.

A step trains at the resolution of its stage. While a resolution fades in, the reals are blended like the fakes.

Source: Karras et al. 2018 (Progressive GAN), sections 2 and 3 and appendix A; order and numbers as in the official
program, whose loss is `--loss wgan_gp` and which does not augment D's input (`--augment none`).
"""

import tensorflow as tf

from gan_tf.losses import LOSSES, gradient_penalty, interpolates, r1_penalty
from gan_tf.models.pggan import blend, level_of
from gan_tf.ops.resample import average_pool_to, upsample_nearest
from gan_tf.training.schedule import alpha_at, fade_of, growing_stages, growth_at, stage_before
from gan_tf.training.step import (
    SIGNS,
    Phase,
    Recipe,
    augmented,
    discriminator_statistics,
    micro_batches,
    second_order_arguments,
    share_of_mean,
    tape_of,
    update_player,
)

STATISTICS = ("loss/d_real", "loss/d_fake", "loss/penalty", "loss/g", "logits/real", "logits/fake")
STATISTICS += ("gradient/d", "gradient/g", SIGNS)
GRADIENT_PENALTY = 10.0  # weight, with the loss wgan_gp


def train_step(state, reals, labels, draws, variant):
    """Updates both players once on one replica; see `step.Phase`.

    The fakes have the labels of the reals, so the interpolates of the gradient penalty are of one class.
    """
    size = {"level": level_of(variant.resolution), "alpha": alpha_of(variant, draws.images_seen)}
    real_images = augmented(fade_reals(reals, size["alpha"]), draws, "reals", variant, state)
    batches = micro_batches(draws, variant.parts)

    def d_loss(batch):
        return discriminator_loss(state, real_images[batch.rows], labels[batch.rows], batch.draws, variant, size)

    def g_loss(batch):  # against the updated D
        batch_labels = labels[batch.rows]
        with tape_of(state.g) as tape:
            fakes = generate(state, batch_labels, batch.draws.fold_in("g"), variant, size)
            logits = state.d(fakes, batch_labels, training=True, **size)  # [n, 1]
            value = share_of_mean(LOSSES[variant.config.loss].generator(logits), batch.draws)
        return tape, value, {"loss/g": value}

    d_statistics = update_player(state, "d", batches, d_loss, variant.lr)
    g_statistics = update_player(state, "g", batches, g_loss, variant.lr, after=[d_statistics["gradient/d"]])
    return {**d_statistics, **g_statistics}


def alpha_of(variant, images_seen):
    """Returns the weight of the newest size at `images_seen` (int64 scalar), 0 to 1; None if it does not fade in."""
    first, length = fade_of(growing_stages(variant.config), level_of(variant.resolution))
    if not length:
        return None
    return tf.clip_by_value(tf.cast(images_seen - first, tf.float32) / length, 0.0, 1.0)


def fade_reals(reals, alpha):
    """Blends reals with their half-resolution version, as the generator blends levels. `alpha` None: no fade."""
    if alpha is None:
        return reals
    return blend(reals, upsample_nearest(average_pool_to(reals, reals.shape[1] // 2)), alpha)


def discriminator_loss(state, real_images, labels, draws, variant, size):
    """Returns D's loss and penalty, as `accumulate_gradients` needs them: (tape, loss, statistics)."""
    fakes = tf.stop_gradient(generate(state, labels, draws.fold_in("d"), variant, size))

    def d(images, **arguments):
        return state.d(images, labels, training=True, **size, **arguments)

    with tape_of(state.d) as tape:
        real_logits, fake_logits = d(real_images), d(fakes)  # [n, 1]
        losses = LOSSES[variant.config.loss].discriminator(real_logits, fake_logits, draws.fold_in("d loss"))
        penalty = smoothness_penalty(state, d, real_images, fakes, draws, variant)
        statistics = discriminator_statistics(*losses, real_logits, fake_logits, draws, penalty=penalty)
        value = statistics["loss/d_real"] + statistics["loss/d_fake"] + statistics["loss/penalty"]
    return tape, value, statistics


def generate(state, labels, draws, variant, size):
    """Generates and augments fakes, [n, h, w, C]."""
    latents = draws.normal("latents", (state.g.latent_size,))  # [n, Z]
    images = state.g(latents, labels, training=True, **size)
    return augmented(images, draws, "fakes", variant, state)


def smoothness_penalty(state, d, real_images, fakes, draws, variant):
    """Returns the penalty on D's gradient [n]: gradient penalty for wgan_gp, R1 for logistic, else zeros."""
    extra = second_order_arguments(state)
    if variant.config.loss == "wgan_gp":
        between = interpolates(tf.cast(real_images, fakes.dtype), fakes, draws.uniform("mix"))
        repeats = state.g.resolution // variant.resolution
        return GRADIENT_PENALTY * gradient_penalty(lambda x: d(x, **extra), between, repeats)
    if variant.config.loss == "logistic":
        return variant.config.r1_gamma / 2 * r1_penalty(lambda x: d(x, **extra), real_images)
    return tf.zeros_like(real_images[:, 0, 0, 0])


def discriminator_layers(d):
    """Returns D's layers in groups for `--freeze-d`: from RGB at full size, then the block of each smaller size."""
    return [[d.from_rgb[-1]], *([block] for block in reversed(d.blocks))]


def set_progress(state, stages, images_seen):
    """Stores the growth at `images_seen` in both generators."""
    growth = growth_at(stages, stage_before(stages, images_seen), images_seen)
    state.g.growth.assign(growth)
    state.g_ema.growth.assign(growth)


def scalars(stages, images_seen):
    """Returns level, resolution and alpha for TensorBoard, {name: number}."""
    stage = stage_before(stages, images_seen)
    return {
        "growth/level": level_of(stage.resolution),
        "growth/resolution": stage.resolution,
        "growth/alpha": alpha_at(stages, stage, images_seen),
    }


def describe_stage(config, stage):
    """Returns text for the progress line, such as "8x8 fading in"."""
    return f"{config.size_text_at(stage.resolution)}{' fading in' if stage.fade_images else ''}"


RECIPE = Recipe(
    phases=(Phase(train_step, STATISTICS),),
    discriminator_layers=discriminator_layers,
    schedule=growing_stages,
    set_progress=set_progress,
    scalars=scalars,
    describe_stage=describe_stage,
)
