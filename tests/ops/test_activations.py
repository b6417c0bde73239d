"""Activations, bias, gain and clamp: known numbers and derivatives."""

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.ops.activations import bias_act, biased, clamped, glu
from gan_tf.ops.forms import FAST, PLAIN, use_forms

X = np.array([[-3.0, -0.5, 0.0, 0.5, 3.0]])
BIAS = np.array([1.0, 0.0, -1.0, 0.5, 0.0])  # sums: -2, -0.5, -1, 1, 3
ROOT = 2**0.5


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(
    ("options", "want"),
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
def test_bias_act(options, want):
    np.testing.assert_allclose(bias_act(tf.constant(X), tf.constant(BIAS), **options)[0], want)


def test_swish_without_bias():
    np.testing.assert_allclose(bias_act(tf.constant(X), activation="swish"), X * ROOT / (1 + np.exp(-X)))


def test_a_clamp_stops_gradients():
    x = tf.constant([-3.0, 0.5, 3.0])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = clamped(x, 1.0)
    np.testing.assert_array_equal(tape.gradient(y, x), [0, 1, 0])


def test_the_gradient_of_a_bfloat16_bias_is_summed_in_float32():
    x, bias = tf.zeros((16, 64, 64, 2), tf.bfloat16), tf.zeros(2)
    with tf.GradientTape() as tape:
        tape.watch(bias)
        y = biased(x, bias)
    assert y.dtype == tf.bfloat16
    slope = tape.gradient(y, bias, output_gradients=tf.ones_like(y))
    np.testing.assert_allclose(slope, 16 * 64 * 64, rtol=1e-2)  # a bfloat16 sum would stop at 256


@pytest.mark.parametrize(("dtype", "rtol"), [("float32", 1e-6), ("bfloat16", 2e-2)])
def test_lean_glu_equals_its_plain_form(dtype, rtol):
    x, slopes = tf.cast(random(2, 4, 4, 6) * 3, dtype), tf.cast(random(2, 4, 4, 3, seed=1), dtype)

    @tf.function
    def run(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = glu(x)
        return tf.cast(y, tf.float32), tf.cast(tape.gradient(y, x, output_gradients=slopes), tf.float32)

    fast = run(x)
    values, gates = np.split(tf.cast(x, tf.float32).numpy(), 2, axis=-1)
    np.testing.assert_allclose(fast[0], values / (1 + np.exp(-gates)), rtol=rtol, atol=1e-6)
    with use_forms(PLAIN), tf.GradientTape() as tape:
        exact = tf.cast(x, tf.float32)
        tape.watch(exact)
        y = glu(exact)
    want = tape.gradient(y, exact, output_gradients=tf.cast(slopes, tf.float32))
    np.testing.assert_allclose(fast[1], want, rtol=rtol, atol=1e-6 if dtype == "float32" else 3e-2)


def test_lean_glu_has_the_second_derivative_of_its_plain_form():
    x, second = tf.constant([[1.5, -0.7]]), []
    for form in (FAST, PLAIN):
        with use_forms(form), tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                y = glu(x)
            slope = tf.reduce_sum(inner.gradient(y, x) ** 2)
        second.append(outer.gradient(slope, x).numpy())
    np.testing.assert_allclose(second[0], second[1], rtol=1e-5)
