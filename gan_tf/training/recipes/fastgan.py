"""FastGAN's training step: one update of the discriminator, then one of the generator on the same fakes.

Source: Liu et al. 2021, section 3; numbers and order as in the official training script. Departures that a setting
makes: the adversarial loss (`--loss`), the reconstruction loss (`--reconstruction`; the official one is "lpips").
"""

import dataclasses

import tensorflow as tf

from gan_tf.augment.choice import Augmentation, augmentation_of
from gan_tf.losses import LOSSES, RECONSTRUCTIONS
from gan_tf.models.fastgan import reconstruction_targets
from gan_tf.ops.resample import nearest_resize
from gan_tf.pretrained.lpips import load_lpips
from gan_tf.training.recipes import one_size
from gan_tf.training.state import trainable
from gan_tf.training.step import (
    add_gradients,
    augmented,
    descend,
    gradients_by_path,
    micro_batches,
    share_of_mean,
    statistics_of,
    tape_of,
    tensors_of,
)

STATISTICS = (
    "loss/d_real",
    "loss/d_fake",
    "loss/reconstruction",
    "loss/g",
    "logits/real",
    "logits/fake",
    "gradient/d",
    "gradient/g",
)


schedule, words, scalars = one_size.schedule, one_size.words, one_size.scalars
arrive, work = one_size.arrive, one_size.work


@dataclasses.dataclass(frozen=True)
class Variant:
    """What is static in a step; the step is traced once for each."""

    loss: str
    reconstruction: str
    augmentation: Augmentation
    parts: int  # micro-batches that a replica's share is worked through in
    lr: float


def frozen_networks(config, log):
    """Networks of others that the losses look through, to be made inside the strategy's scope: {name: network}.

    Raises:
        UsageError: their weights cannot be had.
    """
    if config.reconstruction != "lpips":
        return {}
    return {"lpips": load_lpips(offline=config.offline, log=log, alternative="give --reconstruction l1")}


def discriminator_layers(d):
    """D's layers in groups, from the image on, for `--freeze-d`: what makes maps of one size, on both paths.

    The first group makes the largest maps (`models.fastgan.LARGEST_MAP`, or the image's size if that is less), each
    further one maps of half the size: a down block, the excitation that ends at these maps, and the block of the small
    path whose maps are as large. What judges maps of 8 pixels, and the decoders, is in none of them.
    """
    size, groups = d.largest_map, [[*d.stem]]
    excitations = dict(zip(d.excited_sizes, d.excitations, strict=True))
    for block in d.blocks:
        size //= 2
        smaller = [layer for at, layer in zip(d.small_sizes, d.small_blocks, strict=True) if at == size]
        groups.append([block, *([excitations[size]] if size in excitations else []), *smaller])
    return groups


def variant(config, stage, images_seen, parts):
    """The variant of the steps from `images_seen` on; FastGAN has one alone."""
    return Variant(config.loss, config.reconstruction, augmentation_of(config), parts, stage.lr)


def train_step(state, reals, labels, draws, variant):
    """One update of both players on one replica.

    Args:
        state: TrainState.
        reals: [N, R, R, 3] float32 in [-1, 1], this replica's share of the global batch.
        labels: [N] int32, the classes of the reals, which the fakes have too: as often as the data set has them, and
            the same on however many replicas and in whatever micro-batches.
        draws: Draws of the N rows.
        variant: Variant.

    Returns:
        float32 [K + 1], this replica's part of STATISTICS and SIGNS: their sum over replicas is the value of the global
        batch.
    """
    shown = augmented_pair(state, reals, draws, variant)
    if variant.parts > 1:
        return _train_step_in_parts(state, shown, labels, draws, variant)

    with tape_of(state.g) as tape:
        fakes = generate(state, labels, draws, variant)
        with tape.stop_recording():
            d_gradients, d_values = discriminator_gradients(state, shown, fakes, labels, draws, variant)
            d_norm = descend(state, state.d_optimizer, d_gradients, variant.lr)
        g_loss = generator_loss(state, shown, fakes, labels, draws, variant)
        scaled = g_loss * state.loss_scale
    g_gradients = gradients_by_path(tape, scaled, trainable(state.g))
    g_norm = descend(state, state.g_optimizer, g_gradients, variant.lr)
    return statistics_of(d_values, g_loss, d_norm, g_norm)


def _train_step_in_parts(state, shown, labels, draws, variant):
    """The same update with the activations of one micro-batch in memory at a time.

    Gradients are sums over the micro-batches, so they are those of the whole batch but for batch norm, whose
    statistics are each micro-batch's own. The generator runs twice for each, once for either player, so its running
    statistics move twice for each micro-batch.
    """

    parts = [
        (tuple(x[rows] for x in shown), labels[rows], some_draws)
        for some_draws, rows in micro_batches(draws, variant.parts)
    ]
    d_gradients, d_values = None, 0.0
    for some_shown, some_labels, some_draws in parts:
        with tf.control_dependencies(tensors_of(d_gradients)):  # one after the other, or memory would not shrink
            fakes = generate(state, some_labels, some_draws, variant)
            new, values = discriminator_gradients(state, some_shown, fakes, some_labels, some_draws, variant)
            d_gradients, d_values = add_gradients(d_gradients, new), d_values + values
    d_norm = descend(state, state.d_optimizer, d_gradients, variant.lr)

    g_gradients, g_loss = None, 0.0
    for some_shown, some_labels, some_draws in parts:
        with tf.control_dependencies([d_norm, *tensors_of(g_gradients)]):
            with tape_of(state.g) as tape:
                fakes = generate(state, some_labels, some_draws, variant)
                loss = generator_loss(state, some_shown, fakes, some_labels, some_draws, variant)
                scaled = loss * state.loss_scale
            new = gradients_by_path(tape, scaled, trainable(state.g))
            g_gradients, g_loss = add_gradients(g_gradients, new), g_loss + loss
    g_norm = descend(state, state.g_optimizer, g_gradients, variant.lr)
    return statistics_of(d_values, g_loss, d_norm, g_norm)


def generate(state, labels, draws, variant):
    """Fakes as the discriminator sees them: (images, small), each augmented with draws of its own."""
    g = state.g
    latents = draws.normal("latents", (g.latent_size,))  # [N, Z]
    noise = draws.noise("noise", g.noise_shapes)
    images, small = g(latents, labels, noise=noise, training=True)
    return augmented(images, draws, "fakes", variant, state), augmented(small, draws, "small fakes", variant, state)


def augmented_pair(state, reals, draws, variant):
    """Reals as the discriminator sees them: augmented, and the nearest-neighbour resize of that."""
    shown = augmented(reals, draws, "reals", variant, state)
    return shown, nearest_resize(shown, state.g.small_resolution)


def discriminator_gradients(state, shown, fakes, labels, draws, variant):
    """Gradients of D's loss, summed over this replica's images and divided by the global batch.

    Returns:
        ({attribute path: gradient times the loss scale}, float32 [6]: the first three, the mean logits, SIGNS).
    """
    loss = LOSSES[variant.loss]
    fakes = tuple(tf.stop_gradient(x) for x in fakes)
    with tape_of(state.d) as tape:
        real_logits, rebuilt = _judge_reals(state, shown, labels, draws, variant)
        fake_logits = state.d(fakes, labels, training=True)  # [N, 50]
        real_part, fake_part = loss.discriminator(real_logits, fake_logits, draws.fold_in("d loss"))  # [N] each
        per_image = [real_part, fake_part, rebuilt, real_logits, fake_logits, tf.sign(real_logits)]
        values = tf.stack([share_of_mean(_per_image(x), draws) for x in per_image])
        scaled = tf.reduce_sum(values[:3]) * state.loss_scale
    return gradients_by_path(tape, scaled, trainable(state.d)), values


def generator_loss(state, shown, fakes, labels, draws, variant):
    """G's loss against the updated D: summed over this replica's images, divided by the global batch."""
    loss = LOSSES[variant.loss]
    real_logits = tf.stop_gradient(state.d(shown, labels, training=True)) if loss.needs_reals else None
    fake_logits = state.d(fakes, labels, training=True)  # [N, 50]
    return share_of_mean(loss.generator(fake_logits, real_logits), draws)


def reconstructions(state, reals, labels):
    """What D's decoders make of some reals, the top left quadrant's decoder included: {name: [N, S, S, 3]}."""
    small = nearest_resize(reals, state.g.small_resolution)
    return state.d.logits_and_reconstructions((reals, small), tf.constant(0), labels, training=False)[1]


def perceptual_reconstruction(lpips, rebuilt, targets, batch):
    """LPIPS of what the decoders rebuilt, added up over them and over the batch, as in the official script.

    The official loss sums over the batch where all its others are means, so the more images a step has, the more weight
    it gives to reconstruction. Here a step divides each image's value by the size of the batch; times that size, it is
    the official sum. Images are compared as the decoders give them: 128x128 as published, or half the resolution below
    256 pixels.

    Args:
        lpips: pretrained.lpips.Lpips.
        rebuilt, targets: {decoder: [N, S, S, 3]}; targets get no gradient.
        batch: images in the step, all replicas together.

    Returns:
        [N].
    """
    features = {}  # all decoders but one have the same target
    distances = []
    for name, images in rebuilt.items():
        target = targets[name]
        if target.ref() not in features:
            features[target.ref()] = lpips.features(tf.stop_gradient(target))
        distances.append(lpips.distance_of_features(lpips.features(images), features[target.ref()]))
    return batch * tf.add_n(distances)


def _judge_reals(state, shown, labels, draws, variant):
    """-> (logits [N, 50], reconstruction loss [N], summed over the decoders)."""
    d = state.d
    if variant.reconstruction == "none":
        logits = d(shown, labels, training=True)
        return logits, tf.zeros_like(logits[:, 0])
    quadrant = draws.shared_integer("quadrant", 0, 4)
    logits, rebuilt = d.logits_and_reconstructions(shown, quadrant, labels, training=True)
    targets = reconstruction_targets(shown[0], quadrant, d.small_resolution, tuple(rebuilt))
    if variant.reconstruction == "lpips":
        return logits, perceptual_reconstruction(state.frozen["lpips"], rebuilt, targets, draws.batch)
    distance = RECONSTRUCTIONS[variant.reconstruction]
    return logits, tf.add_n([distance(rebuilt[name], targets[name]) for name in rebuilt])


def _per_image(values):
    return values if len(values.shape) == 1 else tf.reduce_mean(values, axis=1)
