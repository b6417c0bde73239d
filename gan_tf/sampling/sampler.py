"""Generates a fixed sequence of images for the metrics, and scores images by the logits of a discriminator."""

import itertools

import numpy as np
import tensorflow as tf

from gan_tf import rng
from gan_tf.data.class_labels import UNCONDITIONAL
from gan_tf.io.image_files import to_uint8
from gan_tf.metrics.image_sets import measurable
from gan_tf.models import FAMILIES
from gan_tf.models.variables import load_weights
from gan_tf.ops.pixels import float_rgb, from_uint8
from gan_tf.pretrained.efficientnet import load_features
from gan_tf.runs.weights import newest_networks
from gan_tf.sampling.generate import compiled, compiled_for_latents, has_mapping, images_in_batches

SAMPLE_BATCH = 16  # images per call; divides the number of images in every sample grid


class Sampler:
    """Generates a fixed sequence of images for the metrics' evaluator.

    Called with a number, it returns the next images, uint8 [count, H, W, C]. Very small images are enlarged like the
    reals (`metrics.image_sets.measurable`). Class labels have the frequencies of the training images.

    Args:
        generator: folded generator (`Family.fold`).
        seed: seed of the run.
        batch_size: images per call of the generator.
        classes: data.class_labels.ClassLabels of a conditional generator.

    Attributes:
        first: number of the sequence's first image; set by `load`.
        only: class label of all images instead; None for all classes. Call `restart` after setting it.
        available: None, since the sequence has no end.
        mapping: function of latents [N, Z] and seeds int64 [N] (for their classes) that returns w [N, 1, W], which
            `images_of_latents` also takes; None without a mapping network.
    """

    def __init__(self, generator, seed, batch_size=SAMPLE_BATCH, classes=UNCONDITIONAL):
        self.generator, self.seed, self.batch_size = generator, seed, batch_size
        self.classes, self.only = classes, None
        self.available, self.latent_size = None, generator.latent_size
        self.mapping = self._w_of_latents if has_mapping(generator) else None
        self.first, self.resolution = 0, None
        self._trace()

    def load(self, weights, first=0):
        """Sets the generator's weights, {attribute path: array or variable}, and restarts the sequence at `first`."""
        self.generator.refresh(weights)
        self.first = first
        self._trace()

    def _trace(self):
        g = self.generator
        if g.resolution != self.resolution:  # the networks have grown: functions are traced again
            self.resolution = g.resolution
            self._of_sequence = tf.function(self._next_images, autograph=False)
            self._of_seeds = compiled(g)
            self._of_latents = compiled_for_latents(g)
            self._of_mapping = tf.function(lambda latents, labels: g.mapping(latents, labels)[:, :1], autograph=False)
        self.restart()

    def restart(self, count=None):
        """Restarts the sequence. `count` has no effect: the evaluator passes it to samplers of image files."""
        self._images = self._sequence()

    def __call__(self, count):
        return np.stack(list(itertools.islice(self._images, count)))

    def _sequence(self):
        """Yields the images one by one."""
        for first in itertools.count(self.first, self.batch_size):
            only = -1 if self.only is None else self.only
            yield from measurable(to_uint8(self._of_sequence(tf.constant(first, tf.int64), tf.constant(only))))

    def _next_images(self, first, only):
        draws = rng.Draws(self.seed, first, self.batch_size, path="evaluation/")
        latents, labels = draws.normal("latents", (self.latent_size,)), self.classes.sample(draws)
        if labels is not None:  # a tensor, so that all classes share one trace; -1: all classes
            labels = tf.where(only < 0, labels, only)
        return self.generator(latents, labels, noise=draws.noise("noise", self.generator.noise_shapes))

    @property
    def source(self):
        """Description of the images, for a score's protocol."""
        policy = self.generator.dtype_policy.compute_dtype
        only = f", class {self.classes.names[self.only]}" if self.only is not None else ""
        return f"averaged generator in {policy}, seed {self.seed}{only}, images from number {self.first}"

    def _w_of_latents(self, latents, seeds):
        return self._of_mapping(tf.constant(latents), self.classes.of_seeds(seeds, self.only))

    def images_of_latents(self, latents, seeds):
        """Returns images float32 [N, H, W, C] of latents [N, Z] or w [N, 1, W], with the noise of `seeds` int64 [N].

        Latents get the classes of the seeds; for w, `mapping` has applied them.
        """
        return self._of_latents(tf.constant(latents), tf.constant(seeds), self.classes.of_seeds(seeds, self.only))

    def of_seeds(self, seeds, labels=None):
        """Returns the images of `gan-tf generate --seeds`, uint8 [N, H, W, C]. labels: [N]; default: of the seeds."""
        labels = self.classes.of_seeds(seeds) if labels is None else np.asarray(labels, np.int32)
        inputs = [np.asarray(seeds, np.int64), labels]
        return np.concatenate(list(images_in_batches(self._of_seeds, inputs, self.batch_size)))


def projected_logits(discriminator, features, least):
    """Returns a function as `Family.image_logits` does, for the discriminator of Projected GAN."""
    return lambda image, labels=None: discriminator(features.enlarged_maps(float_rgb(image), least), labels)


def load_discriminator_scorer(run, config, generator, log=print):
    """Loads the discriminator of a run's newest checkpoint. A growing one is used at the resolution of `generator`.

    Each image is scored alone, with the batch norm statistics of training, so its score does not depend on a batch.

    Returns:
        (function from images uint8 [N, H, W, C] and class labels [N] or None to logits float32 [N], where larger means
        more real; images_seen of the checkpoint).

    Raises:
        UsageError: the run has no checkpoint, or none can be read.
    """
    networks, images_seen, where = newest_networks(run, ["d"], log)
    network = FAMILIES[config.model].discriminator(config, "float32")
    load_weights(network, networks["d"], where)
    if config.is_projected:
        features = load_features(config)
        logits = projected_logits(network, features, config.feature_resolution)
    else:
        logits = FAMILIES[config.model].image_logits(network, generator)

    @tf.function(reduce_retracing=True, autograph=False)
    def logits_of(images, *labels):
        images = from_uint8(images)
        return tf.map_fn(
            lambda one: tf.reduce_mean(logits(*(value[None] for value in one))),
            (images, *labels),
            fn_output_signature=tf.float32,
        )

    def score(images, labels=None):
        labels = [] if labels is None else [tf.constant(labels, tf.int32)]
        return logits_of(tf.constant(images), *labels).numpy()

    return score, images_seen
