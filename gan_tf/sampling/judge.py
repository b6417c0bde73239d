"""The discriminator of a run as a judge of finished images."""

import numpy as np
import tensorflow as tf

from gan_tf.models import FAMILIES
from gan_tf.models.variables import load_weights
from gan_tf.runs.weights import newest_weights


def load_judge(run, config, generator, log=print):
    """The discriminator in a run's newest checkpoint.

    Each image is judged by itself, with the statistics of training: what it is worth does not depend on the images
    around it. (Progressive GAN's discriminator then sees a batch without spread, the same for all images.) It sees
    what it sees of real images, FastGAN's a smaller version that is made of the image. Every adversarial loss teaches
    it to give real images larger logits.

    Args:
        run: run.Run.
        config: TrainConfig.
        generator: whose images are judged: a discriminator that grew is taken at its size.
        say: told about damaged checkpoints.

    Returns:
        (function of uint8 [N, R, R, 3] and their classes [N] or None -> float32 [N], larger is more real; images that
        the discriminator has seen).

    Raises:
        UsageError: the run has no checkpoint, or none can be read.
    """
    weights, seen, where = newest_weights(run, "d", log)
    network = FAMILIES[config.model].discriminator(config, "float32")
    load_weights(network, weights, where)
    logits = FAMILIES[config.model].image_logits(network, generator)

    @tf.function(reduce_retracing=True, autograph=False)
    def judge(images, labels):
        images = tf.cast(images, tf.float32) / 127.5 - 1.0
        if labels is None:
            return tf.map_fn(lambda image: tf.reduce_mean(logits(image[None])), images)
        both = (images, labels)
        return tf.map_fn(
            lambda pair: tf.reduce_mean(logits(pair[0][None], pair[1][None])), both, fn_output_signature=tf.float32
        )

    def judged(images, labels=None):
        return np.asarray(judge(tf.constant(images), None if labels is None else tf.constant(labels, tf.int32)))

    return judged, seen
