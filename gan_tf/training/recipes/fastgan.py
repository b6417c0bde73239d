"""FastGAN's training step: an update of the discriminator, then one of the generator on the same fakes.

Source: Liu et al. 2021 (Towards Faster and Stabilized GAN Training), section 3; numbers and order as in the official
training script. `--loss` can replace the official hinge loss; `--reconstruction` is "lpips" in the official script.
"""

import dataclasses
import functools

import tensorflow as tf

from gan_tf.losses import LOSSES, RECONSTRUCTIONS, energy_distance
from gan_tf.models.fastgan import reconstruction_targets
from gan_tf.ops.pixels import float_rgb
from gan_tf.ops.resample import average_pool_to, nearest_resize
from gan_tf.pretrained.lpips import load_lpips
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

STATISTICS = ("loss/d_real", "loss/d_fake", "loss/reconstruction", "loss/g", "logits/real", "logits/fake")
STATISTICS += ("gradient/d", "gradient/g", SIGNS)
ENERGY = "loss/energy"  # with `--energy-weight`


def train_step(state, reals, labels, draws, variant):
    """Updates both players once on one replica; see `step.Phase`.

    The fakes have the labels of the reals, so that their class frequencies are those of the dataset.
    """
    real_images = augmented(reals, draws, "reals", variant, state)
    real_pair = (real_images, nearest_resize(real_images, state.g.small_shape[0]))
    batches = micro_batches(draws, variant.parts)

    fakes_on_tape = functools.partial(generate, state, labels, variant)
    if len(batches) == 1:
        fakes_on_tape = functools.cache(fakes_on_tape)  # one forward pass of G serves both players

    def select(batch):
        return tuple(images[batch.rows] for images in real_pair), labels[batch.rows]

    def d_loss(batch):
        _, fakes, _ = fakes_on_tape(batch)
        return discriminator_loss(state, *select(batch), fakes, batch.draws, variant)

    def g_loss(batch):  # against the updated D
        loss, (real_pair, batch_labels) = LOSSES[variant.config.loss], select(batch)
        tape, fakes, images = fakes_on_tape(batch)
        with tape:
            real_logits = None
            if loss.needs_reals:
                real_logits = tf.stop_gradient(state.d(real_pair, batch_labels, training=True))
            fake_logits = state.d(fakes, batch_labels, training=True)  # [N, L]
            value = share_of_mean(loss.generator(fake_logits, real_logits), batch.draws)
            if not variant.config.energy_weight:
                return tape, value, {"loss/g": value}
            # Images that are not augmented: colours are what augmentation changes most.
            energy = image_energy(images, reals[batch.rows], 2 * state.g.base[0])
            energy = share_of_mean(energy, batch.draws)
            total = value + variant.config.energy_weight * energy
        return tape, total, {"loss/g": value, ENERGY: energy}

    d_statistics = update_player(state, "d", batches, d_loss, variant.lr)
    g_statistics = update_player(state, "g", batches, g_loss, variant.lr, after=[d_statistics["gradient/d"]])
    return {**d_statistics, **g_statistics}


def generate(state, labels, variant, batch):
    """Generates the fakes of a micro-batch.

    Returns (tape that recorded G, (augmented images, augmented small images), images).

    With several micro-batches, batch statistics are those of a micro-batch, and G runs once for each player, so its
    running statistics are updated twice per micro-batch.
    """
    g, draws = state.g, batch.draws
    with tape_of(g) as tape:
        latents = draws.normal("latents", (g.latent_size,))  # [N, Z]
        images, small = g(latents, labels[batch.rows], noise=draws.noise("noise", g.noise_shapes), training=True)
        fakes = (
            augmented(images, draws, "fakes", variant, state),
            augmented(small, draws, "small fakes", variant, state),
        )
    return tape, fakes, images


def image_energy(fakes, reals, height):
    """Energy distance of images reduced to a few pixels: [N]; that of whole images plus the mean of that of each pixel.

    fakes, reals [N, H, W, C]; height: of the reduced images, which are 8x8 pixels for square ones.
    """
    small = [average_pool_to(images, height) for images in (fakes, reals)]
    whole = energy_distance(*(tf.reshape(x, (x.shape[0], 1, -1)) for x in small))
    return whole + energy_distance(*(tf.reshape(x, (x.shape[0], -1, x.shape[3])) for x in small))


def discriminator_loss(state, real_pair, labels, fakes, draws, variant):
    """Returns D's loss as `accumulate_gradients` needs it: (tape, loss, statistics)."""
    loss = LOSSES[variant.config.loss]
    fakes = tuple(tf.stop_gradient(images) for images in fakes)
    with tape_of(state.d) as tape:
        real_logits, reconstruction = logits_and_reconstruction_loss(state, real_pair, labels, draws, variant)
        fake_logits = state.d(fakes, labels, training=True)  # [N, L]
        losses = loss.discriminator(real_logits, fake_logits, draws.fold_in("d loss"))  # of reals and fakes, [N] each
        statistics = discriminator_statistics(*losses, real_logits, fake_logits, draws, reconstruction=reconstruction)
        value = statistics["loss/d_real"] + statistics["loss/d_fake"] + statistics["loss/reconstruction"]
    return tape, value, statistics


def logits_and_reconstruction_loss(state, real_pair, labels, draws, variant):
    """Returns D's logits on reals [N, L], and the reconstruction loss [N], summed over its decoders."""
    d = state.d
    reconstruction = variant.config.reconstruction
    if reconstruction == "none":
        logits = d(real_pair, labels, training=True)
        return logits, tf.zeros_like(logits[:, 0])
    quadrant = draws.shared_integer("quadrant", 0, 4)
    logits, rebuilt = d.logits_and_reconstructions(real_pair, quadrant, labels, training=True)
    targets = reconstruction_targets(real_pair[0], quadrant, d.small_shape[0], tuple(rebuilt))
    if reconstruction == "lpips":
        return logits, perceptual_reconstruction(state.frozen["lpips"], rebuilt, targets, draws.batch)
    distance = RECONSTRUCTIONS[reconstruction]
    return logits, tf.add_n([distance(rebuilt[name], targets[name]) for name in rebuilt])


def perceptual_reconstruction(lpips, rebuilt, targets, batch):
    """Returns LPIPS between decoder outputs and targets, summed over decoders and multiplied by the batch size.

    The official script sums this loss over the batch, whereas all others are means. The step takes the mean of the
    values returned here, so the factor makes it the official sum. Images are compared at the decoders' size: 128x128 as
    published, or half the resolution below 256 pixels.

    Args:
        rebuilt, targets: {decoder: [N, h, w, C]}, C 1 or 3.
        batch: images per step, all replicas together.

    Returns:
        float32 [N].
    """
    features = {}  # all decoders but one have the same target
    distances = []
    for name, images in rebuilt.items():
        target = targets[name]
        if target.ref() not in features:
            features[target.ref()] = lpips.features(float_rgb(tf.stop_gradient(target)))
        distances.append(lpips.distance_of_features(lpips.features(float_rgb(images)), features[target.ref()]))
    return batch * tf.add_n(distances)


def reconstructions(state, reals, labels):
    """Returns the outputs of D's decoders for reals, {decoder: [N, h, w, C]}, with the top left quadrant."""
    small = nearest_resize(reals, state.g.small_shape[0])
    return state.d.logits_and_reconstructions((reals, small), tf.constant(0), labels, training=False)[1]


def frozen_networks(config, log):
    """Returns {"lpips": network} if the reconstruction loss is LPIPS. Raises UsageError without its weights."""
    if config.reconstruction != "lpips":
        return {}
    return {"lpips": load_lpips(offline=config.offline, log=log, alternative="give --reconstruction l1")}


def discriminator_layers(d):
    """Returns D's layers in groups for `--freeze-d`, from the image on.

    A group has the layers of both paths whose feature maps have the same size. The first has the largest maps
    (`models.fastgan.LARGEST_MAP`, or the image size if smaller). Each further one has maps of half the size: a
    down block, the excitation that ends at these maps, and the block of the small path with maps of that size. The
    final layers on 8x8 maps and the decoders are in no group.
    """
    size, groups = d.largest_map, [[*d.stem]]
    excitations = dict(zip(d.excited_sizes, d.excitations, strict=True))
    for block in d.blocks:
        size //= 2
        smaller = [layer for at, layer in zip(d.small_sizes, d.small_blocks, strict=True) if at == size]
        groups.append([block, *([excitations[size]] if size in excitations else []), *smaller])
    return groups


RECIPE = Recipe(
    phases=(Phase(train_step, STATISTICS),),
    discriminator_layers=discriminator_layers,
    frozen_networks=frozen_networks,
    reconstructions=reconstructions,
)
WITH_ENERGY = dataclasses.replace(RECIPE, phases=(Phase(train_step, (*STATISTICS, ENERGY)),))
