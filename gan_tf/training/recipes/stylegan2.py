"""StyleGAN2-ADA's training step: generator, path lengths, discriminator and R1, each phase with its own latents.

Both regularisers are lazy: they are separate phases in every k-th step, with k times their weight, and the optimisers'
learning rates and decays account for the additional steps.

Source: Karras et al. 2020 (Analyzing and Improving the Image Quality of StyleGAN), sections 3.1 and 3.2 and appendix B;
Karras et al. 2020 (Training Generative Adversarial Networks with Limited Data); order and numbers as in the official
program. Departures: the mean path length is that of the whole batch over all devices; non-finite gradients lead to a
rollback instead of being replaced by numbers.
"""

import tensorflow as tf

from gan_tf.losses import logistic_discriminator, logistic_generator, path_length_penalty, path_lengths, r1_penalty
from gan_tf.training.step import (
    SIGNS,
    Phase,
    Recipe,
    augmented,
    discriminator_statistics,
    micro_batches,
    second_order_arguments,
    share_of_mean,
    share_of_replica,
    tape_of,
    update_player,
)

R1_EVERY, PATH_EVERY = 16, 4
PATH_SHRINK = 2  # path lengths are computed for 1 / PATH_SHRINK of a batch
PATH_MEAN = "path_length_mean"  # key of the running mean of path lengths in TrainState.extra


def lazy_factors(config):
    """Returns {player: k / (k + 1)} if its regulariser is a phase of every k-th step, 1 without a regulariser.

    An optimiser that takes an additional step every k steps has its learning rate multiplied by this factor, and its
    decays raised to this power. Source: Karras et al. 2020 (StyleGAN2), appendix B.
    """
    return {
        "g": PATH_EVERY / (PATH_EVERY + 1) if config.path_weight else 1.0,
        "d": R1_EVERY / (R1_EVERY + 1) if config.r1_gamma != 0 else 1.0,
    }


def adam_decays(config):
    """Returns {player: (beta1, beta2)} of the optimisers."""
    return {player: (config.beta1**factor, config.beta2**factor) for player, factor in lazy_factors(config).items()}


def lr_of(player, variant):
    """Returns the learning rate of a player's optimiser."""
    return variant.lr * lazy_factors(variant.config)[player]


def update_generator(state, reals, labels, draws, variant):
    """Updates the generator with the adversarial loss on one replica; see `step.Phase`."""

    def loss(batch):
        batch_labels = labels[batch.rows]
        with tape_of(state.g) as tape:
            images = generate(state.g, batch_labels, batch.draws, variant)
            fakes = augmented(images, batch.draws, "fakes", variant, state)
            value = share_of_mean(logistic_generator(state.d(fakes, batch_labels, training=True)), batch.draws)
        return tape, value, {"loss/g": value}

    return update_player(state, "g", micro_batches(draws.fold_in("g"), variant.parts), loss, lr_of("g", variant))


def regularise_path_length(state, reals, labels, draws, variant):
    """Updates the generator with path length regularisation on one replica."""
    weight = variant.config.path_weight
    if not weight:
        return {"loss/path_length": 0.0, "path_length": 0.0, "gradient/path_length": 0.0}
    mean = state.extra[PATH_MEAN]
    mean_before = tf.convert_to_tensor(mean)

    def loss(batch):
        with tape_of(state.g) as tape:
            lengths = path_lengths_of_half(state, labels[batch.rows], batch.draws, variant)
            penalty, mean_after = path_length_penalty(lengths, mean_before)
            value = tf.reduce_mean(penalty) / variant.parts
            value = weight * PATH_EVERY * share_of_replica(value)
        change = (mean_after - mean_before) / variant.parts
        return tape, value, {"loss/path_length": value / PATH_EVERY, "change": change}

    batches = micro_batches(draws.fold_in("path length"), variant.parts)
    statistics = update_player(state, "g", batches, loss, lr_of("g", variant), norm="gradient/path_length")
    mean_after = mean_before + statistics.pop("change")
    mean.assign(mean_after)
    return {**statistics, "path_length": share_of_replica(mean_after)}


def path_lengths_of_half(state, labels, draws, variant):
    """Returns the path lengths of the first half of a micro-batch, [n / 2], of at least one image."""
    g = state.g
    count = max(draws.count // PATH_SHRINK, 1)
    ws = styles(g, labels, draws, variant)[:count]
    noise = [maps[:count] for maps in draws.noise("noise", g.noise_shapes)]
    directions = draws.normal("directions", g.image_shape)[:count]
    extra = second_order_arguments(state)
    lengths = path_lengths(lambda styles: g.synthesis(styles, noise=noise, **extra), ws, directions)
    return tf.cast(lengths, tf.float32)  # like all losses, and like the running mean


def update_discriminator(state, reals, labels, draws, variant):
    """Updates the discriminator with the adversarial loss on one replica."""

    def loss(batch):
        batch_labels, batch_draws = labels[batch.rows], batch.draws
        fakes = tf.stop_gradient(generate(state.g, batch_labels, batch_draws, variant))
        with tape_of(state.d) as tape:
            real_images = augmented(reals[batch.rows], batch_draws, "reals", variant, state)
            real_logits = state.d(real_images, batch_labels, training=True)
            fake_images = augmented(fakes, batch_draws, "fakes", variant, state)
            fake_logits = state.d(fake_images, batch_labels, training=True)
            real_loss, fake_loss = logistic_discriminator(real_logits, fake_logits)
            value = share_of_mean(real_loss + fake_loss, batch_draws)
        return tape, value, discriminator_statistics(real_loss, fake_loss, real_logits, fake_logits, batch_draws)

    return update_player(state, "d", micro_batches(draws.fold_in("d"), variant.parts), loss, lr_of("d", variant))


def regularise_r1(state, reals, labels, draws, variant):
    """Updates the discriminator with the R1 penalty on one replica.

    The gradient is taken with respect to the images before augmentation.
    """
    gamma = variant.config.r1_weight(variant.batch_size)
    if not gamma:
        return {"loss/r1": 0.0, "gradient/r1": 0.0}

    def loss(batch):
        def d(images):
            real_images = augmented(images, batch.draws, "reals", variant, state)
            return state.d(real_images, labels[batch.rows], training=True, **second_order_arguments(state))

        with tape_of(state.d) as tape:
            penalty = gamma / 2 * share_of_mean(r1_penalty(d, reals[batch.rows]), batch.draws)
            value = R1_EVERY * penalty
        return tape, value, {"loss/r1": penalty}

    batches = micro_batches(draws.fold_in("r1"), variant.parts)
    return update_player(state, "d", batches, loss, lr_of("d", variant), norm="gradient/r1")


def styles(g, labels, draws, variant):
    """Returns the styles [n, S, W] of random latents, in some steps mixed: later layers get those of other latents.

    Whether styles are mixed, and from which layer on, is drawn once for the batch, as in the official program. Source:
    Karras et al. 2019 (StyleGAN), section 3.1.
    """
    ws = g.mapping(draws.normal("latents", (g.latent_size,)), labels, training=True)
    mixing = variant.config.style_mixing
    if not mixing:
        return ws
    others = g.mapping(draws.normal("other latents", (g.latent_size,)), labels, training=True, update_average=False)
    layers = ws.shape[1]
    first = draws.shared_integer("mixes from", 1, layers)
    mixes = draws.shared_integer("mixes", 0, 2**24) < round(mixing * 2**24)
    later = (tf.range(layers) >= first) & mixes
    return tf.where(later[None, :, None], others, ws)


def generate(g, labels, draws, variant):
    """Generates fakes [n, H, W, C], without augmentation."""
    ws = styles(g, labels, draws, variant)
    return g.synthesis(ws, noise=draws.noise("noise", g.noise_shapes))


def discriminator_layers(d):
    """Returns D's layers in groups for `--freeze-d`: from RGB, then the block of each size, from the image on.

    The official program counts the layers of a block one by one: from RGB, two convolutions and the skip connection at
    full size, then three more at each smaller size. Here a block is frozen as a whole.
    """
    return [[d.from_rgb], *([block] for block in d.blocks)]


RECIPE = Recipe(
    phases=(
        Phase(update_generator, ("loss/g", "gradient/g")),
        Phase(regularise_path_length, ("loss/path_length", "path_length", "gradient/path_length"), PATH_EVERY),
        Phase(update_discriminator, ("loss/d_real", "loss/d_fake", "logits/real", "logits/fake", SIGNS, "gradient/d")),
        Phase(regularise_r1, ("loss/r1", "gradient/r1"), R1_EVERY),
    ),
    discriminator_layers=discriminator_layers,
    extra=(PATH_MEAN,),
    adam_decays=adam_decays,
)
