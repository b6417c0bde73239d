"""Scores images with the discriminator of a run."""

import numpy as np
import tensorflow as tf

from gan_tf.models import FAMILIES
from gan_tf.models.variables import load_weights
from gan_tf.runs.weights import newest_weights


def load_discriminator_scorer(run, config, generator, log=print):
    """Loads the discriminator of a run's newest checkpoint; one that grows is used at the size of `generator`.

    Each image is scored alone, with the statistics of training, so its score does not depend on a batch.

    Returns:
        (function (images uint8 [N, R, R, 3], classes [N] or None) -> logits float32 [N], larger is more real;
        real images that the discriminator was trained on).

    Raises:
        UsageError: the run has no checkpoint, or none can be read.
    """
    weights, images_seen, where = newest_weights(run, "d", log)
    network = FAMILIES[config.model].discriminator(config, "float32")
    load_weights(network, weights, where)
    logits = FAMILIES[config.model].image_logits(network, generator)

    @tf.function(reduce_retracing=True, autograph=False)
    def compiled(images, labels):
        images = tf.cast(images, tf.float32) / 127.5 - 1.0
        if labels is None:
            return tf.map_fn(lambda image: tf.reduce_mean(logits(image[None])), images)
        return tf.map_fn(
            lambda pair: tf.reduce_mean(logits(pair[0][None], pair[1][None])),
            (images, labels),
            fn_output_signature=tf.float32,
        )

    def score(images, labels=None):
        return np.asarray(compiled(tf.constant(images), None if labels is None else tf.constant(labels, tf.int32)))

    return score, images_seen
