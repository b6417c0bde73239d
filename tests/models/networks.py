"""Helpers for the tests of networks."""

import numpy as np
import tensorflow as tf

from gan_tf.models.variables import named_variables


def random(*shape, seed=0):
    """Normally distributed numbers, float32."""
    return tf.constant(np.random.default_rng(seed).normal(size=shape), tf.float32)


def values(network):
    """{attribute path: array} of all variables."""
    return {name: v.numpy() for name, v in named_variables(network).items()}


def assert_round_trip(network):
    """Asserts that a copy made from the configuration of a built network has the same variables and configuration."""
    copy = type(network).from_config(network.get_config())
    copy.build()
    before, after = values(network), values(copy)
    assert before.keys() == after.keys()
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value, err_msg=name)
    assert copy.get_config() == network.get_config()
