"""Projected GAN's training step: an update of the generator, then one of the discriminator, each with its own fakes.

The discriminator sees augmented images through a frozen feature network; see models/projected.py. There is no other
regularisation.

Source: Sauer et al. 2021 (Projected GANs Converge Faster), sections 3 and 4; order and numbers as in the official
program, whose unused R1 phase still scales the discriminator's learning rate and decay.
"""

from gan_tf.losses import LOSSES
from gan_tf.ops.pixels import float_rgb
from gan_tf.pretrained.efficientnet import load_features
from gan_tf.training.recipes import stylegan2
from gan_tf.training.step import (
    SIGNS,
    Phase,
    Recipe,
    augmented,
    discriminator_statistics,
    micro_batches,
    share_of_mean,
    tape_of,
    update_player,
)

STATISTICS = ("loss/g", "gradient/g", "loss/d_real", "loss/d_fake", "logits/real", "logits/fake", "gradient/d", SIGNS)
RATE = 16 / 17  # of the discriminator, as if R1 were computed in every 16th step


def train_step(state, reals, labels, draws, variant):
    """Updates both players once on one replica; see `step.Phase`."""
    loss = LOSSES[variant.config.loss]

    def maps_of_fakes(batch_labels, batch_draws):
        images = generate(state.g, batch_labels, batch_draws, variant)
        return feature_maps(state, images, batch_draws, "fakes", variant)

    def g_loss(batch):
        batch_labels = labels[batch.rows]
        with tape_of(state.g) as tape:
            maps = maps_of_fakes(batch_labels, batch.draws.fold_in("g"))
            logits = state.d(maps, batch_labels, training=True)
            value = share_of_mean(loss.generator(logits, None), batch.draws)
        return tape, value, {"loss/g": value}

    def d_loss(batch):
        batch_labels, batch_draws = labels[batch.rows], batch.draws.fold_in("d")
        fake_maps = maps_of_fakes(batch_labels, batch_draws)
        real_maps = feature_maps(state, reals[batch.rows], batch_draws, "reals", variant)
        with tape_of(state.d) as tape:
            fake_logits = state.d(fake_maps, batch_labels, training=True)
            real_logits = state.d(real_maps, batch_labels, training=True)
            losses = loss.discriminator(real_logits, fake_logits, batch_draws.fold_in("loss"))  # reals, fakes: [N] each
            statistics = discriminator_statistics(*losses, real_logits, fake_logits, batch_draws)
            value = statistics["loss/d_real"] + statistics["loss/d_fake"]
        return tape, value, statistics

    batches = micro_batches(draws, variant.parts)
    g_statistics = update_player(state, "g", batches, g_loss, variant.lr)
    d_statistics = update_player(state, "d", batches, d_loss, RATE * variant.lr, after=[g_statistics["gradient/g"]])
    return {**g_statistics, **d_statistics}


def generate(g, labels, draws, variant):
    """Returns fakes [N, H, W, C]."""
    if variant.config.model == "stylegan2":
        return stylegan2.generate(g, labels, draws, variant)
    latents = draws.normal("latents", (g.latent_size,))
    images, _ = g(latents, labels, noise=draws.noise("noise", g.noise_shapes), training=True)
    return images


def feature_maps(state, images, draws, purpose, variant):
    """Returns the feature maps of augmented images; those smaller than `--feature-resolution` are enlarged to it."""
    images = augmented(images, draws, purpose, variant, state)
    return state.frozen["features"].enlarged_maps(float_rgb(images), variant.config.feature_resolution)


def adam_decays(config):
    """Returns {player: (beta1, beta2)} of the optimisers."""
    return {"g": (config.beta1, config.beta2), "d": (config.beta1**RATE, config.beta2**RATE)}


def frozen_networks(config, log):
    """Returns {"features": network}. Raises UsageError without its weights."""
    return {"features": load_features(config, "give --discriminator own")}


RECIPE = Recipe(
    phases=(Phase(train_step, STATISTICS),),
    discriminator_layers=lambda d: [],
    frozen_networks=frozen_networks,
    adam_decays=adam_decays,
)
