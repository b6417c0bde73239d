"""Looks at a run: samples of the averaged generator, its score, and pictures for people."""

import numpy as np
import tensorflow as tf

from gan_tf import pictures, rng
from gan_tf.augment.diffaugment import diffaugment

GRID_SEEDS = {64: 64, 128: 64, 256: 64, 512: 16, 1024: 16}  # images in the sample grid, by resolution
SHOWN_REALS = 8
SCORE_BATCH = 16  # images made at once for a score


class Sampler:
    """Images of a generator, from the first of a fixed sequence on; a new Sampler starts the sequence again.

    Args:
        g: generator.
        seed: the run's seed.
        batch_size: images at once.
    """

    def __init__(self, g, seed, batch_size):
        self.g, self.seed, self.batch_size = g, seed, batch_size
        self._batch = tf.function(self._make, autograph=False)
        self._made = 0
        self._left = np.zeros((0, g.resolution, g.resolution, 3), np.uint8)

    def __call__(self, count):
        """Returns the next `count` images, uint8 [count, R, R, 3]."""
        parts = [self._left]
        while sum(map(len, parts)) < count:
            parts.append(pictures.to_uint8(self._batch(tf.constant(self._made, tf.int64))))
            self._made += self.batch_size
        images = np.concatenate(parts)
        self._left = images[count:]
        return images[:count]

    def _make(self, first):
        draws = rng.Draws(self.seed, first, self.batch_size, path="evaluation/")
        latents = draws.normal("latents", (self.g.latent_size,))
        return self.g(latents, noise=draws.noise("noise", self.g.noise_shapes), training=False)[0]


def seeded_images(g, seeds, batch_size=16):
    """The images of some seeds, uint8 [N, R, R, 3]: those that `gan-tf generate --seeds` makes."""
    made = []
    for first in range(0, len(seeds), batch_size):
        some = seeds[first : first + batch_size]
        latents = rng.latents_of_seeds(some, g.latent_size)
        noise = rng.noise_of_seeds(some, g.noise_shapes)
        made.append(pictures.to_uint8(g(latents, noise=noise, training=False)[0]))
    return np.concatenate(made)


def sample_grid(job):
    """The grid of the run's fixed latents, uint8 [H, W, 3]."""
    seeds = list(range(GRID_SEEDS[job.config.resolution]))
    return pictures.grid(seeded_images(job.state.g_ema, seeds))


def reconstruction_grid(job):
    """Reals and what D's decoders make of them: a column for each, uint8 [H, W, 3]."""
    reals, labels = shown_reals(job)
    rebuilt = job.recipe.reconstructions(job.state, reals, labels)
    size = next(iter(rebuilt.values())).shape[1]
    rows = [tf.image.resize(reals, (size, size), antialias=True), *rebuilt.values()]
    return pictures.grid(pictures.to_uint8(tf.concat(rows, axis=0)), columns=len(reals))


def augmented_grid(job):
    """Reals as they are and as D sees them, four times, uint8 [H, W, 3]."""
    reals, _ = shown_reals(job)
    rows = [reals]
    for i in range(4):
        draws = rng.Draws(job.config.seed, tf.constant(i, tf.int64), len(reals), path="shown/")
        rows.append(diffaugment(reals, draws, job.config.policies, job.config.augment_probability))
    return pictures.grid(pictures.to_uint8(tf.concat(rows, axis=0)), columns=len(reals))


def shown_reals(job):
    """The first few reals and their labels: float32 [n, R, R, 3] in [-1, 1], int32 [n]."""
    data = job.feed.image_set
    images = np.asarray(data.images[:SHOWN_REALS]).astype(np.float32) / 127.5 - 1.0
    return tf.constant(images), tf.constant(data.labels[:SHOWN_REALS])
