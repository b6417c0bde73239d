"""Images of seeds: what the user calls image 42 is the same on every run, in every batch and on every machine."""

import tensorflow as tf

from gan_tf import pictures, rng

PIXELS_AT_ONCE = 16 * 256**2  # in a batch: larger ones are no faster on a CPU
MOST_AT_ONCE = 64
GPU_FACTOR = 4


def suitable_batch_size(resolution: int, on_gpu: bool) -> int:
    """Images at once that keep the machine busy and need little memory."""
    images = max(1, min(MOST_AT_ONCE, PIXELS_AT_ONCE // resolution**2))
    return images * GPU_FACTOR if on_gpu else images


def images_of_seeds(g, seeds, batch_size):
    """Makes one image for each seed, and yields them batch by batch.

    Batch statistics are never used, so that an image does not depend on its neighbours. All batches have one size: the
    last one is filled up with its last seed, since another size would be traced and compiled anew.

    Args:
        g: folded generator.
        seeds: list of integers, at least one.
        batch_size: images at once.

    Yields:
        (list of seeds, uint8 [n, R, R, 3]), n <= batch_size.
    """
    batch_size = min(batch_size, len(seeds))
    make = compiled(g, batch_size)
    for first in range(0, len(seeds), batch_size):
        some = seeds[first : first + batch_size]
        filled = some + some[-1:] * (batch_size - len(some))
        images = make(tf.constant(filled, tf.int64))[: len(some)]
        yield some, pictures.to_uint8(images)


def compiled(g, batch_size):
    """Returns a tf.function of a folded generator: seeds int64 [batch_size] -> images float32 [batch_size, R, R, 3]."""

    @tf.function(input_signature=[tf.TensorSpec([batch_size], tf.int64)], autograph=False)
    def make(seeds):
        latents = rng.latents_of_seeds(seeds, g.latent_size)
        noise = rng.noise_of_seeds(seeds, g.noise_shapes)
        return g(latents, noise=noise, training=False)

    return make
