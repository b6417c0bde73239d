"""Looks at a run: samples of the averaged generator, its score, and pictures for people."""

import itertools

import numpy as np
import tensorflow as tf

from gan_tf import pictures, rng
from gan_tf.augment.diffaugment import diffaugment
from gan_tf.metrics.reals import measurable

GRID_SEEDS = {512: 16, 1024: 16}  # images in the sample grid where there are fewer than usual, by resolution
USUAL_GRID_SEEDS = 64
SHOWN_REALS = 8
SAMPLE_BATCH = 16  # images made at once; divides the numbers above


class Sampler:
    """Images of the averaged generator, made by its folded form, which is traced once and refreshed for each look.

    As a function of a number it returns the next so many images of a fixed sequence, uint8 [count, R, R, 3]: what a
    metric's evaluator asks for. `first` is the number of the sequence's first image. Very small images are enlarged
    for it as the reals are (`metrics.reals.measurable`).

    Args:
        g: averaged generator.
        folded: its folded form, of the same family.
        seed: the run's seed.
        batch_size: images at once.
    """

    available = None  # the sequence is endless

    def __init__(self, g, folded, seed, batch_size):
        self.first = 0
        self.g, self.folded, self.seed, self.batch_size = g, folded, seed, batch_size
        self.resolution = None
        self.refresh()

    @property
    def source(self):
        """What the images are, for a score's protocol."""
        policy = self.folded.dtype_policy.compute_dtype
        return f"averaged generator in {policy}, seed {self.seed}, images from number {self.first}"

    @property
    def latent_size(self):
        """Length of a latent vector."""
        return self.g.latent_size

    def images_of_latents(self, latents, seeds):
        """Images float32 [N, R, R, 3] of given latents [N, Z], with the noise of `seeds` int64 [N]."""
        return self._of_latents(tf.constant(latents), tf.constant(seeds))

    def refresh(self):
        """Takes the generator's present weights, and starts the sequence again."""
        self.folded.refresh(self.g)
        if self.folded.resolution != self.resolution:  # it has grown
            self.resolution = self.folded.resolution
            self._of_sequence = tf.function(self._next_images, autograph=False)
            self._of_seeds = tf.function(self._seeded_images, autograph=False)
            self._of_latents = tf.function(self._images_of_latents, autograph=False)
        self.restart()

    def restart(self, wanted=None):
        """Starts the sequence again; it is the same however many images are wanted."""
        self._made = self.first
        self._left = measurable(np.zeros((0, self.resolution, self.resolution, 3), np.uint8))

    def __call__(self, count):
        parts = [self._left]
        while sum(map(len, parts)) < count:
            parts.append(measurable(pictures.to_uint8(self._of_sequence(tf.constant(self._made, tf.int64)))))
            self._made += self.batch_size
        images = np.concatenate(parts)
        self._left = images[count:]
        return images[:count]

    def of_seeds(self, seeds):
        """The images that `gan-tf generate --seeds` makes, uint8 [N, R, R, 3]; N is a multiple of the batch size."""
        batches = np.reshape(np.asarray(seeds, np.int64), (-1, self.batch_size))
        return np.concatenate([pictures.to_uint8(self._of_seeds(tf.constant(batch))) for batch in batches])

    def _next_images(self, first):
        draws = rng.Draws(self.seed, first, self.batch_size, path="evaluation/")
        latents = draws.normal("latents", (self.g.latent_size,))
        return self.folded(latents, noise=draws.noise("noise", self.g.noise_shapes))

    def _seeded_images(self, seeds):
        latents = rng.latents_of_seeds(seeds, self.g.latent_size)
        return self.folded(latents, noise=rng.noise_of_seeds(seeds, self.g.noise_shapes))

    def _images_of_latents(self, latents, seeds):
        return self.folded(latents, noise=rng.noise_of_seeds(seeds, self.g.noise_shapes))


def sample_grid(job):
    """The grid of the run's fixed latents, uint8 [H, W, 3]: of one size from the first image to the last."""
    job.sampler.refresh()
    resolution = job.config.resolution
    images = job.sampler.of_seeds(range(GRID_SEEDS.get(resolution, USUAL_GRID_SEEDS)))
    return pictures.grid(pictures.enlarge(images, resolution))


def phase_strip(job, seen):
    """The first few images of the sample grids at the end of every phase so far: a row for each size.

    Returns:
        uint8 [H, W, 3], or None where no grid is left of them.
    """
    ends = [later.first_image for stage, later in itertools.pairwise(job.stages) if not stage.fade_images]
    paths = [job.run.grid_path(end) for end in (*(end for end in ends if end < seen), seen)]
    size = job.config.resolution
    rows = [pictures.read_png(path)[:size] for path in paths if path.exists()]
    return np.concatenate(rows) if rows else None


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
