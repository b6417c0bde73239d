"""Looks at a run: samples of the averaged generator, its score, and pictures for people."""

import itertools
import math

import numpy as np
import tensorflow as tf

from gan_tf import rng
from gan_tf.augment.choice import ADA_P, augment, augmentation_of
from gan_tf.data.class_labels import UNCONDITIONAL
from gan_tf.io import image_files
from gan_tf.metrics.image_sets import measurable

GRID_SEEDS = {512: 16, 1024: 16}  # images in the sample grid where there are fewer than usual, by resolution
USUAL_GRID_SEEDS = 64
SHOWN_REALS = 8
SAMPLE_BATCH = 16  # images made at once; divides the numbers above


class Sampler:
    """Images of the averaged generator, made by its folded form, which is traced once and refreshed for each look.

    As a function of a number it returns the next so many images of a fixed sequence, uint8 [count, R, R, 3]: what a
    metric's evaluator asks for. `first` is the number of the sequence's first image. Very small images are enlarged
    for it as the reals are (`metrics.reals.measurable`). Conditional networks are asked for classes as often as the
    reals have them, or for `only`, the number of one.

    Args:
        g: averaged generator.
        folded: its folded form, of the same family.
        seed: the run's seed.
        batch_size: images at once.
        classes: ClassLabels of conditional networks.
    """

    available = None  # the sequence is endless

    def __init__(self, g, folded, seed, batch_size, classes=UNCONDITIONAL):
        self.first = 0
        self.classes, self.only = classes, None
        self.g, self.folded, self.seed, self.batch_size = g, folded, seed, batch_size
        self.resolution = None
        self.refresh()

    @property
    def source(self):
        """What the images are, for a score's protocol."""
        policy = self.folded.dtype_policy.compute_dtype
        asked = f", class {self.classes.names[self.only]}" if self.only is not None else ""
        return f"averaged generator in {policy}, seed {self.seed}{asked}, images from number {self.first}"

    @property
    def latent_size(self):
        """Length of a latent vector."""
        return self.g.latent_size

    @property
    def mapping(self):
        """A function from latents [N, Z] and seeds int64 [N], for their classes, to w [N, 1, W], which
        `images_of_latents` takes too; None where there is no mapping network.
        """
        return self._styles_of if hasattr(self.folded, "mapping") else None

    def images_of_latents(self, latents, seeds):
        """Images float32 [N, R, R, 3] of given latents [N, Z] or w [N, 1, W], with the noise of `seeds` int64 [N].

        Latents have the classes of the seeds too; w have had theirs from `mapping`.
        """
        return self._of_latents(tf.constant(latents), tf.constant(seeds), self.classes.of_seeds(seeds, self.only))

    def _styles_of(self, latents, seeds):
        return self._of_mapping(tf.constant(latents), self.classes.of_seeds(seeds, self.only))

    def refresh(self):
        """Takes the generator's present weights, and starts the sequence again."""
        self.folded.refresh(self.g)
        if self.folded.resolution != self.resolution:  # it has grown
            self.resolution = self.folded.resolution
            self._of_sequence = tf.function(self._next_images, autograph=False)
            self._of_seeds = tf.function(self._seeded_images, autograph=False)
            self._of_latents = tf.function(self._images_of_latents, autograph=False)
            self._of_mapping = tf.function(self._mapped, autograph=False)
        self.restart()

    def restart(self, wanted=None):
        """Starts the sequence again; it is the same however many images are wanted."""
        self._made = self.first
        self._left = measurable(np.zeros((0, self.resolution, self.resolution, 3), np.uint8))

    def __call__(self, count):
        parts = [self._left]
        while sum(map(len, parts)) < count:
            parts.append(measurable(image_files.to_uint8(self._of_sequence(*self._where()))))
            self._made += self.batch_size
        images = np.concatenate(parts)
        self._left = images[count:]
        return images[:count]

    def of_seeds(self, seeds, labels=None):
        """The images that `gan-tf generate --seeds` makes, uint8 [N, R, R, 3]; N is a multiple of the batch size.

        Args:
            labels: classes [N] of the images; default those of the seeds.
        """
        labels = self.classes.of_seeds(seeds) if labels is None else labels
        made = []
        for i in range(0, len(seeds), self.batch_size):
            rows = slice(i, i + self.batch_size)
            some = None if labels is None else tf.constant(labels[rows], tf.int32)
            made.append(image_files.to_uint8(self._of_seeds(tf.constant(np.asarray(seeds[rows], np.int64)), some)))
        return np.concatenate(made)

    def _where(self):
        """What `_next_images` takes: the number of the next image, and the class that is asked for, -1 for all."""
        return tf.constant(self._made, tf.int64), tf.constant(-1 if self.only is None else self.only)

    def _next_images(self, first, only):
        draws = rng.Draws(self.seed, first, self.batch_size, path="evaluation/")
        latents, labels = draws.normal("latents", (self.g.latent_size,)), self.classes.sample(draws)
        if labels is not None:  # one function for all classes: whether one is asked for is known when it runs
            labels = tf.where(only < 0, labels, only)
        return self.folded(latents, labels, noise=draws.noise("noise", self.g.noise_shapes))

    def _seeded_images(self, seeds, labels):
        latents = rng.latents_of_seeds(seeds, self.g.latent_size)
        return self.folded(latents, labels, noise=rng.noise_of_seeds(seeds, self.g.noise_shapes))

    def _mapped(self, latents, labels):
        return self.folded.mapping(latents, labels)[:, :1]

    def _images_of_latents(self, latents, seeds, labels):
        return self.folded(latents, labels, noise=rng.noise_of_seeds(seeds, self.g.noise_shapes))


def sample_grid(job):
    """The grid of the run's fixed latents, uint8 [H, W, 3]: of one size from the first image to the last.

    Conditional networks show a class in each row, or in several; see `grid_seeds`.
    """
    job.sampler.refresh()
    images = job.sampler.of_seeds(*grid_seeds(job))
    return image_files.grid(image_files.enlarge(images, job.config.resolution))


def grid_seeds(job):
    """(seeds, their classes or None) of the sample grid, row by row.

    Each class begins with the first seeds anew, so that what is below each other differs in its class alone.
    """
    count, classes = GRID_SEEDS.get(job.config.resolution, USUAL_GRID_SEEDS), job.sampler.classes
    if not classes:
        return list(range(count)), None
    side = math.isqrt(count)
    labels = [number for number in classes.of_rows(side) for _ in range(side)]
    seeds = [i - labels.index(number) for i, number in enumerate(labels)]
    return seeds, labels


def phase_strip(job, seen):
    """The first few images of the sample grids at the end of every phase so far: a row for each size.

    Returns:
        uint8 [H, W, 3], or None where no grid is left of them.
    """
    ends = [later.first_image for stage, later in itertools.pairwise(job.stages) if not stage.fade_images]
    paths = [job.run.grid_path(end) for end in (*(end for end in ends if end < seen), seen)]
    size = job.config.resolution
    rows = [image_files.read_png(path)[:size] for path in paths if path.exists()]
    return np.concatenate(rows) if rows else None


def reconstruction_grid(job):
    """Reals and what D's decoders make of them: a column for each, uint8 [H, W, 3]."""
    reals, labels = shown_reals(job)
    rebuilt = job.recipe.reconstructions(job.state, reals, labels)
    size = next(iter(rebuilt.values())).shape[1]
    rows = [tf.image.resize(reals, (size, size), antialias=True), *rebuilt.values()]
    return image_files.grid(image_files.to_uint8(tf.concat(rows, axis=0)), columns=len(reals))


def augmented_grid(job):
    """Reals as they are and as D sees them, four times, uint8 [H, W, 3]."""
    reals, _ = shown_reals(job)
    rows, chosen, p = [reals], augmentation_of(job.config), job.state.extra.get(ADA_P)
    for i in range(4):
        draws = rng.Draws(job.config.seed, tf.constant(i, tf.int64), len(reals), path="shown/")
        rows.append(augment(reals, draws, "reals", chosen, p))
    return image_files.grid(image_files.to_uint8(tf.concat(rows, axis=0)), columns=len(reals))


def shown_reals(job):
    """The first few reals and their labels: float32 [n, R, R, 3] in [-1, 1], int32 [n]."""
    data = job.feed.image_set
    images = np.asarray(data.images[:SHOWN_REALS]).astype(np.float32) / 127.5 - 1.0
    return tf.constant(images), tf.constant(data.labels[:SHOWN_REALS])
