"""Images of seeds: what the user calls image 42 is the same on every run, in every batch and on every machine."""

import numpy as np
import tensorflow as tf

from gan_tf import rng
from gan_tf.errors import UsageError
from gan_tf.io import image_files
from gan_tf.models import FAMILIES

PIXELS_AT_ONCE = 16 * 256**2  # in a batch: larger ones are no faster on a CPU
MOST_AT_ONCE = 64
GPU_FACTOR = 4
MOST_TRUNCATION = 2.0


def suitable_batch_size(resolution: int, on_gpu: bool) -> int:
    """Images at once that keep the machine busy and need little memory."""
    images = max(1, min(MOST_AT_ONCE, PIXELS_AT_ONCE // resolution**2))
    return images * GPU_FACTOR if on_gpu else images


def check_truncation(truncation: float, model: str):
    """Refuses a truncation that is out of bounds, or that the networks of `model` do not have.

    Truncation psi takes images nearer to their mean. With a mapping network w becomes m + psi * (w - m), m the mean w:
    StyleGAN's. Without one a latent z becomes psi * z: psi times the standard deviation of every component, and psi
    times the length of z. (Training never saw such lengths: far below 1 images turn pale.) It is StyleGAN's in the
    space of z, whose mean is 0, and what Glow calls temperature; not BigGAN's, which draws components beyond a
    threshold again. 1 changes nothing, 0 leaves one image, which differs by noise alone.

    Raises:
        UsageError: so it is.

    Source: Karras et al. 2019 (StyleGAN), appendix B; Kingma and Dhariwal 2018 (Glow), section 6.
    """
    if not 0 <= truncation <= MOST_TRUNCATION:
        raise UsageError(f"--truncation is {truncation:g}; give a number from 0 to {MOST_TRUNCATION:g}, such as 0.9")
    reason = FAMILIES[model].unsupported.get("truncation")
    if truncation != 1 and reason:
        raise UsageError(
            f"--truncation is {truncation:g}, but {model} {reason}; leave it out (--best picks the better images)"
        )


def images_of_seeds(g, seeds, batch_size, truncation=1.0, whole=False, labels=None):
    """Makes one image for each seed, and yields them batch by batch.

    Batch statistics are never used, so that an image does not depend on its neighbours. All batches have one size: the
    last one is filled up with its last seed, since another size would be traced and compiled anew.

    Args:
        g: folded generator.
        seeds: list of integers, at least one.
        batch_size: images at once.
        truncation: of the latents, see `check_truncation`.
        whole: fill up a batch even if there are fewer seeds in all: what is left of a job is made as all of it is.
        labels: classes [N] of the images, None for unconditional networks.

    Yields:
        (list of seeds, uint8 [n, R, R, 3]), n <= batch_size.
    """
    batch_size = batch_size if whole else min(batch_size, len(seeds))
    make = compiled(g, batch_size, truncation, labels is not None)
    for first in range(0, len(seeds), batch_size):
        some = seeds[first : first + batch_size]
        rows = filled_rows(first, batch_size, len(seeds))
        filled = [tf.constant([seeds[row] for row in rows], tf.int64)]
        if labels is not None:
            filled.append(tf.constant([labels[row] for row in rows], tf.int32))
        yield some, image_files.to_uint8(make(*filled)[: len(some)])


def filled_rows(first, batch_size, count):
    """Numbers of the rows of a batch from `first` on, of `count` in all: the last one stands for those beyond."""
    return [min(row, count - 1) for row in range(first, first + batch_size)]


def compiled(g, batch_size, truncation=1.0, conditional=False):
    """Returns a tf.function of a folded generator: seeds int64 [batch_size] -> images float32 [batch_size, R, R, 3].

    With `conditional` it takes their classes, int32 [batch_size], as well.
    """
    signature = [tf.TensorSpec([batch_size], tf.int64)] + conditional * [tf.TensorSpec([batch_size], tf.int32)]

    @tf.function(input_signature=signature, autograph=False)
    def make(seeds, labels=None):
        latents = latents_of_seeds(g, seeds, truncation, labels)
        noise = rng.noise_of_seeds(seeds, g.noise_shapes)
        return g(latents, labels, noise=noise, training=False)

    return make


def latents_of_seeds(g, seeds, truncation=1.0, labels=None):
    """What `g` is given for seeds int64 [N]: latents float32 [N, Z], or what `truncated` makes of them."""
    return truncated(g, rng.latents_of_seeds(seeds, g.latent_size), truncation, labels)


def has_mapping(g):
    """True if a folded generator has a mapping network, hence w: it then takes w [N, 1, W] and ws [N, S, W] too."""
    return hasattr(g, "mapping")


def truncated(g, latents, truncation, labels=None):
    """Latents nearer to their mean, in the space where this is meant; see `check_truncation`.

    latents float32 [N, Z] -> [N, Z]. Where `g` has a mapping network: [N, Z], [N, 1, W] or [N, S, W] -> ws [N, S, W],
    with the classes `labels` [N] of conditional networks in them; the mean w is that of all classes.
    A truncation of 1 gives back what it is given.
    """
    if truncation == 1:
        return latents
    return g.ws_of(latents, labels, truncation=truncation) if has_mapping(g) else latents * truncation


def images_of_latents(g, latents, noise_seeds, batch_size, noise=None, labels=None, truncation=1.0):
    """Makes images of given latents, and yields them as `images_of_seeds` does.

    Args:
        g: folded generator.
        latents: float32 [N, Z], N >= 1; with a mapping network also w [N, 1, W] or ws [N, S, W].
        noise_seeds: N integers: image i gets the noise maps of seed `noise_seeds[i]`.
        batch_size: images at once.
        noise: the noise maps themselves in place of `noise_seeds`: a list of float32 [N, h, w, 1].
        labels: classes [N] of the images, None for unconditional networks; not read for w and ws, which have theirs.
        truncation: of the latents.

    Yields:
        uint8 [n, R, R, 3], n <= batch_size.
    """
    batch_size = min(batch_size, len(latents))
    given = [np.asarray(noise_seeds, np.int64)] if noise is None else [np.asarray(maps, np.float32) for maps in noise]
    classes = [] if labels is None else [np.asarray(labels, np.int32)]
    arrays = [np.asarray(latents, np.float32), *classes, *given]
    signature = [[tf.TensorSpec([batch_size, *array.shape[1:]], array.dtype) for array in arrays]]

    @tf.function(input_signature=signature, autograph=False)
    def make(inputs):
        latents, *rest = inputs
        of_classes = rest.pop(0) if classes else None
        maps = rest if noise is not None else rng.noise_of_seeds(rest[0], g.noise_shapes)
        return g(truncated(g, latents, truncation, of_classes), of_classes, noise=maps, training=False)

    for first in range(0, len(latents), batch_size):
        rows = filled_rows(first, batch_size, len(latents))
        images = make([tf.constant(array[rows]) for array in arrays])
        yield image_files.to_uint8(images[: len(latents) - first])
