"""Bias, activation, gain and clamp of known numbers."""

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.ops.activations import bias_act, clamped

X = np.array([[-3.0, -0.5, 0.0, 0.5, 3.0]])
BIAS = np.array([1.0, 0.0, -1.0, 0.5, 0.0])  # sums: -2, -0.5, -1, 1, 3
ROOT = 2**0.5


@pytest.mark.parametrize(
    ("how", "want"),
    [
        ({}, [-2, -0.5, -1, 1, 3]),
        ({"activation": "relu"}, [0, 0, 0, ROOT, 3 * ROOT]),
        ({"activation": "lrelu"}, [-0.4 * ROOT, -0.1 * ROOT, -0.2 * ROOT, ROOT, 3 * ROOT]),
        ({"activation": "lrelu", "gain": 1}, [-0.4, -0.1, -0.2, 1, 3]),
        ({"activation": "lrelu", "gain": 10, "leak": 0.5}, [-10, -2.5, -5, 10, 30]),
        ({"activation": "lrelu", "gain": 10, "clamp": 3}, [-3, -1, -2, 3, 3]),
        ({"clamp": 1.5}, [-1.5, -0.5, -1, 1, 1.5]),
    ],
)
def test_known_numbers(how, want):
    np.testing.assert_allclose(bias_act(tf.constant(X), tf.constant(BIAS), **how)[0], want)


def test_swish_and_no_bias():
    want = X * ROOT / (1 + np.exp(-X))
    np.testing.assert_allclose(bias_act(tf.constant(X), activation="swish"), want)


def test_the_type_stays_and_a_clamp_stops_gradients():
    x = tf.constant([-3.0, 0.5, 3.0])
    assert bias_act(tf.cast(x[None], tf.bfloat16), tf.zeros(3), "lrelu").dtype == tf.bfloat16
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = clamped(x, 1.0)
    np.testing.assert_array_equal(tape.gradient(y, x), [0, 1, 0])
