"""Images of seeds: what the user calls image 42 is the same on every run, in every batch and on every machine."""

import numpy as np
import tensorflow as tf

from gan_tf import pictures, rng
from gan_tf.errors import UsageError
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

    Truncation psi takes images nearer to their mean: a latent z becomes psi * z. That is psi times the standard
    deviation of every component, and psi times the length of z. (Training never saw such lengths: far below 1 images
    turn pale.) It is StyleGAN's m + psi * (w - m) in the space of z, whose mean m is 0, and what Glow calls
    temperature; not BigGAN's, which draws components beyond a threshold again. 1 changes nothing, 0 leaves one image,
    which differs by noise alone.

    Raises:
        UsageError: so it is.

    Source: Karras et al. 2019 (StyleGAN), appendix B; Kingma and Dhariwal 2018 (Glow), section 6.
    """
    if not 0 <= truncation <= MOST_TRUNCATION:
        raise UsageError(f"--truncation is {truncation:g}; give a number from 0 to {MOST_TRUNCATION:g}, such as 0.9")
    reason = FAMILIES[model].cannot.get("truncation")
    if truncation != 1 and reason:
        raise UsageError(
            f"--truncation is {truncation:g}, but {model} {reason}; leave it out (--best picks the better images)"
        )


def images_of_seeds(g, seeds, batch_size, truncation=1.0, whole=False):
    """Makes one image for each seed, and yields them batch by batch.

    Batch statistics are never used, so that an image does not depend on its neighbours. All batches have one size: the
    last one is filled up with its last seed, since another size would be traced and compiled anew.

    Args:
        g: folded generator.
        seeds: list of integers, at least one.
        batch_size: images at once.
        truncation: of the latents, see `check_truncation`.
        whole: fill up a batch even if there are fewer seeds in all: what is left of a job is made as all of it is.

    Yields:
        (list of seeds, uint8 [n, R, R, 3]), n <= batch_size.
    """
    batch_size = batch_size if whole else min(batch_size, len(seeds))
    make = compiled(g, batch_size, truncation)
    for first in range(0, len(seeds), batch_size):
        some = seeds[first : first + batch_size]
        filled = some + some[-1:] * (batch_size - len(some))
        images = make(tf.constant(filled, tf.int64))[: len(some)]
        yield some, pictures.to_uint8(images)


def compiled(g, batch_size, truncation=1.0):
    """Returns a tf.function of a folded generator: seeds int64 [batch_size] -> images float32 [batch_size, R, R, 3]."""

    @tf.function(input_signature=[tf.TensorSpec([batch_size], tf.int64)], autograph=False)
    def make(seeds):
        latents = latents_of_seeds(g, seeds, truncation)
        noise = rng.noise_of_seeds(seeds, g.noise_shapes)
        return g(latents, noise=noise, training=False)

    return make


def latents_of_seeds(g, seeds, truncation=1.0):
    """Latents float32 [N, Z] of seeds int64 [N]."""
    latents = rng.latents_of_seeds(seeds, g.latent_size)
    return latents if truncation == 1 else latents * truncation


def images_of_latents(g, latents, noise_seeds, batch_size, noise=None):
    """Makes images of given latents, and yields them batch by batch, as `images_of_seeds` does.

    Args:
        g: folded generator.
        latents: float32 [N, Z], N >= 1.
        noise_seeds: N integers: image i gets the noise maps of seed `noise_seeds[i]`.
        batch_size: images at once.
        noise: the noise maps themselves in place of `noise_seeds`: a list of float32 [N, h, w, 1].

    Yields:
        uint8 [n, R, R, 3], n <= batch_size.
    """
    batch_size = min(batch_size, len(latents))
    given = [np.asarray(noise_seeds, np.int64)] if noise is None else [np.asarray(maps, np.float32) for maps in noise]
    arrays = [np.asarray(latents, np.float32), *given]
    signature = [[tf.TensorSpec([batch_size, *array.shape[1:]], array.dtype) for array in arrays]]

    @tf.function(input_signature=signature, autograph=False)
    def make(inputs):
        z, *rest = inputs
        return g(z, noise=rest if noise is not None else rng.noise_of_seeds(rest[0], g.noise_shapes), training=False)

    for first in range(0, len(latents), batch_size):
        rows = np.minimum(np.arange(first, first + batch_size), len(latents) - 1)
        images = make([tf.constant(array[rows]) for array in arrays])
        yield pictures.to_uint8(images[: len(latents) - first])
