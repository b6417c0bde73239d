"""Sampler: the fixed sequence of images of a generator that metrics score, and images by seed."""

import numpy as np
import tensorflow as tf

from gan_tf import rng
from gan_tf.data.class_labels import UNCONDITIONAL
from gan_tf.io.image_files import to_uint8
from gan_tf.metrics.image_sets import measurable

SAMPLE_BATCH = 16  # images per call; divides the number of images in every sample grid


class Sampler:
    """Images of a folded generator, as the metrics' evaluator takes them.

    Called with a number, it returns the next images of a fixed sequence, uint8 [count, R, R, 3]. `first` is the number
    of the sequence's first image. Very small images are enlarged like the reals (`metrics.image_sets.measurable`).
    Conditional generators get labels with the frequencies of the data set, or the class `only`.

    Args:
        generator: folded generator (`Family.fold`).
        seed: seed of the run.
        batch_size: images per call of the generator.
        classes: data.class_labels.ClassLabels of a conditional generator.
    """

    available = None  # the sequence has no end

    def __init__(self, generator, seed, batch_size=SAMPLE_BATCH, classes=UNCONDITIONAL):
        self.generator, self.seed, self.batch_size = generator, seed, batch_size
        self.classes, self.only = classes, None
        self.first = 0
        self.resolution = None
        self._trace()

    def load(self, weights, first=0):
        """Sets the generator's weights, {attribute path: array or variable}, and restarts the sequence at `first`."""
        self.generator.refresh(weights)
        self.first = first
        self._trace()

    def _trace(self):
        if self.generator.resolution != self.resolution:  # the networks have grown: functions are traced again
            self.resolution = self.generator.resolution
            self._of_sequence = tf.function(self._next_images, autograph=False)
            self._of_seeds = tf.function(self._seeded_images, autograph=False)
            self._of_latents = tf.function(self._images_of_latents, autograph=False)
            self._of_mapping = tf.function(self._mapped, autograph=False)
        self.restart()

    def restart(self, count=None):
        """Restarts the sequence; it does not depend on the number of images that are taken."""
        self._made = self.first
        self._left = measurable(np.zeros((0, self.resolution, self.resolution, 3), np.uint8))

    def __call__(self, count):
        parts = [self._left]
        while sum(map(len, parts)) < count:
            only = -1 if self.only is None else self.only
            images = self._of_sequence(tf.constant(self._made, tf.int64), tf.constant(only))
            parts.append(measurable(to_uint8(images)))
            self._made += self.batch_size
        images = np.concatenate(parts)
        self._left = images[count:]
        return images[:count]

    @property
    def source(self):
        """Description of the images for a score's protocol."""
        policy = self.generator.dtype_policy.compute_dtype
        only = f", class {self.classes.names[self.only]}" if self.only is not None else ""
        return f"averaged generator in {policy}, seed {self.seed}{only}, images from number {self.first}"

    @property
    def latent_size(self):
        """Length of a latent vector."""
        return self.generator.latent_size

    @property
    def mapping(self):
        """Function of latents [N, Z] and seeds int64 [N] (for their classes) that returns w [N, 1, W], which
        `images_of_latents` also takes; None without a mapping network.
        """
        return self._styles_of if hasattr(self.generator, "mapping") else None

    def images_of_latents(self, latents, seeds):
        """Images float32 [N, R, R, 3] of latents [N, Z] or of w [N, 1, W], with the noise of `seeds` int64 [N].

        Latents get the classes of the seeds; for w, `mapping` has applied them.
        """
        return self._of_latents(tf.constant(latents), tf.constant(seeds), self.classes.of_seeds(seeds, self.only))

    def of_seeds(self, seeds, labels=None):
        """The images of `gan-tf generate --seeds`, uint8 [N, R, R, 3]; N is a multiple of the batch size.

        Args:
            labels: class labels [N]; default those of the seeds.
        """
        labels = self.classes.of_seeds(seeds) if labels is None else labels
        images = []
        for i in range(0, len(seeds), self.batch_size):
            rows = slice(i, i + self.batch_size)
            batch_labels = None if labels is None else tf.constant(labels[rows], tf.int32)
            batch_seeds = tf.constant(np.asarray(seeds[rows], np.int64))
            images.append(to_uint8(self._of_seeds(batch_seeds, batch_labels)))
        return np.concatenate(images)

    def _styles_of(self, latents, seeds):
        return self._of_mapping(tf.constant(latents), self.classes.of_seeds(seeds, self.only))

    def _next_images(self, first, only):
        draws = rng.Draws(self.seed, first, self.batch_size, path="evaluation/")
        latents, labels = draws.normal("latents", (self.latent_size,)), self.classes.sample(draws)
        if labels is not None:  # a tensor, so that all classes share one trace; -1: all classes
            labels = tf.where(only < 0, labels, only)
        return self.generator(latents, labels, noise=draws.noise("noise", self.generator.noise_shapes))

    def _seeded_images(self, seeds, labels):
        latents = rng.latents_of_seeds(seeds, self.latent_size)
        return self.generator(latents, labels, noise=rng.noise_of_seeds(seeds, self.generator.noise_shapes))

    def _mapped(self, latents, labels):
        return self.generator.mapping(latents, labels)[:, :1]

    def _images_of_latents(self, latents, seeds, labels):
        return self.generator(latents, labels, noise=rng.noise_of_seeds(seeds, self.generator.noise_shapes))
