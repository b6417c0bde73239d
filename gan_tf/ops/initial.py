"""Initial values that depend on a seed and a name alone, not on what the process built before."""

import tensorflow as tf

from gan_tf.rng import stream_key, unit_normal


def normal_initializer(seed: int, name: str, mean=0.0, stddev=1.0):
    """Returns a Keras initializer that draws N(mean, stddev^2) from the stream `name` of `seed`."""

    def initialise(shape, dtype=None):
        key = tf.constant([stream_key(seed, name), 0], tf.int64)
        return tf.cast(mean + stddev * unit_normal(shape, key), dtype or tf.float32)

    return initialise


def unit_initializer(seed: int, name: str):
    """Returns a Keras initializer that draws a uniformly distributed vector of length 1."""

    def initialise(shape, dtype=None):
        draw = normal_initializer(seed, name)(shape, tf.float32)
        return tf.cast(draw / tf.norm(draw), dtype or tf.float32)

    return initialise
