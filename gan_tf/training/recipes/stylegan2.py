"""StyleGAN2-ADA's training step: generator, its path lengths, discriminator, R1, each with latents of its own.

Both regularisers are lazy: they come in a step of their own every few steps, with a weight that makes up for it, and
the optimisers' rates and decays are those of as many steps more.

Source: Karras et al. 2020 (Analyzing and Improving the Image Quality of StyleGAN), sections 3.1 and 3.2 and appendix B;
Karras et al. 2020 (Training Generative Adversarial Networks with Limited Data); order and numbers as in the official
program. Departures: the mean of the path lengths is that of the whole batch, over all devices; gradients that are not
finite end in a roll-back instead of being set to numbers.
"""

import dataclasses

import tensorflow as tf

from gan_tf.augment.choice import Augmentation, augmentation_of
from gan_tf.losses import logistic_discriminator, logistic_generator, path_length_penalty, path_lengths, r1_penalty
from gan_tf.training.recipes import one_size
from gan_tf.training.state import trainable
from gan_tf.training.step import (
    SIGNS,
    Phase,
    add_gradients,
    augmented,
    descend,
    gradients_by_path,
    micro_batches,
    of_replica,
    precise,
    share_of_mean,
    tape_of,
    tensors_of,
)

STATISTICS = (
    "loss/d_real",
    "loss/d_fake",
    "loss/r1",
    "loss/g",
    "loss/path_length",
    "logits/real",
    "logits/fake",
    "path_length",
    "gradient/d",
    "gradient/g",
    "gradient/r1",
    "gradient/path_length",
)
R1_EVERY, PATH_EVERY = 16, 4
PATH_SHRINK = 2  # path lengths are taken of this part of a batch
PATH_MEAN = "path_length_mean"
EXTRA = (PATH_MEAN,)  # numbers, 0 at first, that a checkpoint holds beside networks and optimisers
reconstructions = None  # D has no decoders
schedule, words, scalars = one_size.schedule, one_size.words, one_size.scalars
arrive, work, frozen_networks = one_size.arrive, one_size.work, one_size.no_networks


@dataclasses.dataclass(frozen=True)
class Variant:
    """What is static in a step; the step is traced once for each."""

    r1_gamma: float
    path_weight: float
    mixing: float  # probability of mixing two styles
    augmentation: Augmentation
    parts: int  # micro-batches that a replica's share is worked through in
    lr: float
    lazy_g: float  # what lazy regularisation leaves of the players' rates
    lazy_d: float


def variant(config, stage, images_seen, parts):
    """The variant of all steps."""
    shares = lazy_shares(config)
    return Variant(
        r1_gamma=config.r1_weight(stage.batch_size),
        path_weight=config.path_weight,
        mixing=config.style_mixing,
        augmentation=augmentation_of(config),
        parts=parts,
        lr=stage.lr,
        lazy_g=shares["g"],
        lazy_d=shares["d"],
    )


def lazy_shares(config):
    """{player: k / (k + 1)} where its regulariser comes in every k-th step, 1 without one.

    An optimiser that takes a step more for every k of them has its rate multiplied by this, and its decays raised to
    this power. Source: Karras et al. 2020 (StyleGAN2), appendix B.
    """
    return {
        "g": PATH_EVERY / (PATH_EVERY + 1) if config.path_weight else 1.0,
        "d": R1_EVERY / (R1_EVERY + 1) if config.r1_gamma != 0 else 1.0,
    }


def decays(config):
    """{player: (beta1, beta2)} of the optimisers."""
    return {player: (config.beta1**share, config.beta2**share) for player, share in lazy_shares(config).items()}


def discriminator_layers(d):
    """D's layers in groups, from the image on, for `--freeze-d`: from RGB, and then one for each size of maps.

    The official program counts the layers of a block one by one: from RGB and two convolutions and the connection
    beside them at full size, then three more at each smaller one; here a block freezes as a whole.
    """
    return [[d.from_rgb], *([block] for block in d.blocks)]


def g_step(state, reals, labels, draws, variant):
    """One update of the generator by the adversarial loss, on one replica.

    Args:
        state: TrainState.
        reals: [N, R, R, 3] float32 in [-1, 1], this replica's share of the global batch.
        labels: [N] int32, the classes of the reals, which the fakes have too.
        draws: Draws of the N rows.
        variant: Variant.

    Returns:
        float32 [K + 1], this replica's part of STATISTICS and of the mean sign of the logits on reals, 0 for what this
        phase does not measure.
    """
    gradients, loss = None, 0.0
    for part, rows in micro_batches(draws.fold_in("g"), variant.parts):
        with tf.control_dependencies(tensors_of(gradients)), tape_of(state.g) as tape:
            fakes = augmented(generate(state.g, labels[rows], part, variant), part, "fakes", variant, state)
            value = share_of_mean(logistic_generator(state.d(fakes, labels[rows], training=True)), part)
            scaled = value * state.loss_scale
        gradients = add_gradients(gradients, gradients_by_path(tape, scaled, trainable(state.g)))
        loss += value
    norm = descend(state, state.g_optimizer, gradients, variant.lr * variant.lazy_g)
    return _statistics({"loss/g": loss, "gradient/g": of_replica(norm)})


def path_length_step(state, reals, labels, draws, variant):
    """One update of the generator by path length regularisation, on one replica; as `g_step`."""
    if not variant.path_weight:
        return _statistics({})
    mean, gradients, loss = state.extra[PATH_MEAN], None, 0.0
    before, moves = tf.convert_to_tensor(mean), 0.0
    for part, rows in micro_batches(draws.fold_in("path length"), variant.parts):
        with tf.control_dependencies(tensors_of(gradients)), tape_of(state.g) as tape:
            lengths = lengths_of_paths(state, labels[rows], part, variant)
            penalty, after = path_length_penalty(lengths, before)
            value = tf.reduce_mean(penalty) / (variant.parts * _replicas())
            scaled = variant.path_weight * PATH_EVERY * value * state.loss_scale
        gradients = add_gradients(gradients, gradients_by_path(tape, scaled, trainable(state.g)))
        loss, moves = loss + value, moves + (after - before) / variant.parts
    mean.assign(before + moves)
    norm = descend(state, state.g_optimizer, gradients, variant.lr * variant.lazy_g)
    told = {"loss/path_length": variant.path_weight * loss, "path_length": of_replica(before + moves)}
    return _statistics({**told, "gradient/path_length": of_replica(norm)})


def lengths_of_paths(state, labels, draws, variant):
    """Path lengths of the first half of some rows, [n / 2], at least one."""
    g = state.g
    count = max(draws.count // PATH_SHRINK, 1)
    ws = styles(g, labels, draws, variant)[:count]
    noise = [maps[:count] for maps in draws.noise("noise", g.noise_shapes)]
    directions = draws.normal("directions", (g.resolution, g.resolution, 3))[:count]
    lengths = path_lengths(lambda some: g.synthesis(some, noise=noise, **precise(state)), ws, directions)
    return tf.cast(lengths, tf.float32)  # as all losses are, and the mean that they move


def d_step(state, reals, labels, draws, variant):
    """One update of the discriminator by the adversarial loss, on one replica; as `g_step`."""
    gradients, values = None, 0.0
    for part, rows in micro_batches(draws.fold_in("d"), variant.parts):
        with tf.control_dependencies(tensors_of(gradients)):
            fakes = tf.stop_gradient(generate(state.g, labels[rows], part, variant))
            with tape_of(state.d) as tape:
                real_logits = state.d(
                    augmented(reals[rows], part, "reals", variant, state), labels[rows], training=True
                )
                fake_logits = state.d(augmented(fakes, part, "fakes", variant, state), labels[rows], training=True)
                losses = logistic_discriminator(real_logits, fake_logits)
                scaled = share_of_mean(losses[0] + losses[1], part) * state.loss_scale
        gradients = add_gradients(gradients, gradients_by_path(tape, scaled, trainable(state.d)))
        per_image = [*losses, real_logits[:, 0], fake_logits[:, 0], tf.sign(real_logits[:, 0])]
        values += tf.stack([share_of_mean(x, part) for x in per_image])
    norm = descend(state, state.d_optimizer, gradients, variant.lr * variant.lazy_d)
    names = ("loss/d_real", "loss/d_fake", "logits/real", "logits/fake", SIGNS)
    known = dict(zip(names, tf.unstack(values), strict=True))
    return _statistics({**known, "gradient/d": of_replica(norm)})


def r1_step(state, reals, labels, draws, variant):
    """One update of the discriminator by the R1 penalty, on one replica; as `g_step`.

    The slopes are those at the images before augmentation, so they pass through it.
    """
    if not variant.r1_gamma:
        return _statistics({})
    gradients, penalty = None, 0.0
    for part, rows in micro_batches(draws.fold_in("r1"), variant.parts):

        def judge(images, part=part, rows=rows):
            shown = augmented(images, part, "reals", variant, state)
            return state.d(shown, labels[rows], training=True, **precise(state))

        with tf.control_dependencies(tensors_of(gradients)), tape_of(state.d) as tape:
            value = share_of_mean(r1_penalty(judge, reals[rows]), part)
            scaled = variant.r1_gamma / 2 * R1_EVERY * value * state.loss_scale
        gradients = add_gradients(gradients, gradients_by_path(tape, scaled, trainable(state.d)))
        penalty += value
    norm = descend(state, state.d_optimizer, gradients, variant.lr * variant.lazy_d)
    return _statistics({"loss/r1": variant.r1_gamma / 2 * penalty, "gradient/r1": of_replica(norm)})


PHASES = (
    Phase(g_step),
    Phase(path_length_step, PATH_EVERY, ("loss/path_length", "path_length", "gradient/path_length")),
    Phase(d_step),
    Phase(r1_step, R1_EVERY, ("loss/r1", "gradient/r1")),
)


def styles(g, labels, draws, variant):
    """Styles [n, S, W] of random latents; in some steps, the later layers take those of other latents.

    Whether, and from which layer on, is the same for all images of a step. Source: Karras et al. 2019 (StyleGAN),
    section 3.1; one draw for the batch as in the official program.
    """
    ws = g.mapping(draws.normal("latents", (g.latent_size,)), labels, training=True)
    if not variant.mixing:
        return ws
    others = g.mapping(draws.normal("other latents", (g.latent_size,)), labels, training=True, update_average=False)
    layers = ws.shape[1]
    first = draws.shared_integer("mixes from", 1, layers)
    mixes = draws.shared_integer("mixes", 0, 2**24) < round(variant.mixing * 2**24)
    later = (tf.range(layers) >= first) & mixes
    return tf.where(later[None, :, None], others, ws)


def generate(g, labels, draws, variant):
    """Fakes [n, R, R, 3], not augmented."""
    ws = styles(g, labels, draws, variant)
    return g.synthesis(ws, noise=draws.noise("noise", g.noise_shapes))


def _statistics(known):
    """What a phase returns, of which some values are known: float32 [K + 1]."""
    return tf.stack([tf.cast(known.get(name, 0.0), tf.float32) for name in (*STATISTICS, SIGNS)])


def _replicas():
    return tf.distribute.get_replica_context().num_replicas_in_sync
