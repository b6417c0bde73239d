"""Images and draws for the tests of augmentations."""

import numpy as np
import tensorflow as tf

from gan_tf.rng import Draws

SIDE = 16


def random_images(count=6, side=SIDE, seed=0, width=None, channels=3):
    """float32 [count, side, width, channels] in [-1, 1]; square by default."""
    shape = (count, side, width or side, channels)
    return tf.constant(np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32))


def draws_for(count=6, images_seen=0, seed=1):
    """Draws for `count` images."""
    return Draws(seed, tf.constant(images_seen, tf.int64), count)


def gradient_of(images, value):
    """Gradient of sum(value(images))."""
    with tf.GradientTape() as tape:
        tape.watch(images)
        total = tf.reduce_sum(value(images))
    return tape.gradient(total, images)


def gradient_on_two_replicas(strategy, images, value):
    """Gradient of sum(value(x, draws)) with respect to images that two replicas share, in the order of `images`."""

    @tf.function
    def gradient():
        index = tf.distribute.get_replica_context().replica_id_in_sync_group
        rows = tf.ensure_shape(images[index::2], (len(images) // 2, *images.shape[1:]))
        return gradient_of(rows, lambda x: value(x, draws_for().shard(index, 2)))

    parts = strategy.experimental_local_results(strategy.run(gradient))
    return tf.reshape(tf.stack(parts, axis=1), images.shape)


def check_penalty(images, transform, step, rtol):
    """Asserts that a gradient penalty through `transform` has the derivative that differences measure."""

    def penalty(x):
        return tf.reduce_sum(gradient_of(x, lambda x: tf.sin(transform(x))) ** 2)

    slopes = gradient_of(images, penalty)
    direction = step * slopes / tf.norm(slopes)
    measured = (penalty(images + direction) - penalty(images - direction)) / (2 * step)
    np.testing.assert_allclose(tf.norm(slopes), measured, rtol=rtol)
