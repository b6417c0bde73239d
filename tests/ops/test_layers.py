"""Layers against plain TensorFlow, their config round trip and their initial values."""

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.ops.activations import glu
from gan_tf.ops.forms import PLAIN, use_forms
from gan_tf.ops.layers import NoiseInjection, SpectralConv, SpectralStem, SpectralUpConv


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def sigma(layer):
    rows = layer.kernel.numpy().reshape(-1, layer.filters)
    return layer.v.numpy() @ rows @ layer.u.numpy()


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


def test_glu_has_a_second_derivative():
    x = tf.constant([[1.5, -0.7]])
    second = []
    for form in (None, PLAIN):
        with use_forms(form) if form else tf.name_scope("lean"), tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                y = glu(x)
            slope = tf.reduce_sum(inner.gradient(y, x) ** 2)
        second.append(outer.gradient(slope, x).numpy())
    np.testing.assert_allclose(second[0], second[1], rtol=1e-5)


def test_stride_two_pads_one_pixel_on_every_side_like_pytorch():
    x = random(2, 8, 8, 3)
    conv = SpectralConv(4, 4, strides=2)
    got = conv(x)
    padded = tf.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    want = tf.nn.conv2d(padded, conv.kernel / sigma(conv), 2, "VALID")
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


def test_stem_is_a_transposed_convolution_of_one_pixel():
    z = random(2, 5)
    stem = SpectralStem(6)
    got = stem(z)
    kernel = tf.transpose(stem.kernel.value, (1, 2, 3, 0)) / sigma(stem)  # [4, 4, O, I]
    want = tf.nn.conv2d_transpose(z[:, None, None], kernel, (2, 4, 4, 6), 1, "VALID")
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_training_moves_the_spectral_vectors_once_and_evaluation_does_not():
    conv = SpectralUpConv(4)
    conv.build((None, 4, 4, 3))
    u, matrix = conv.u.numpy(), conv.kernel.numpy().reshape(-1, 4)
    conv(random(1, 4, 4, 3), training=False)
    np.testing.assert_array_equal(conv.u, u)
    conv(random(1, 4, 4, 3), training=True)
    v = matrix @ u / np.linalg.norm(matrix @ u)
    np.testing.assert_allclose(conv.v, v, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(conv.u, matrix.T @ v / np.linalg.norm(matrix.T @ v), rtol=1e-4, atol=1e-6)


def test_noise_has_no_effect_at_first_and_is_scaled_by_its_strength():
    x, noise = random(2, 4, 4, 3), random(2, 4, 4, 1, seed=1)
    layer = NoiseInjection()
    np.testing.assert_array_equal(layer(x, noise), x)
    layer.strength.assign([0.5])
    np.testing.assert_allclose(layer(x, noise), x + 0.5 * noise, rtol=1e-6)
    np.testing.assert_array_equal(layer(x), x)


def test_initial_kernels_have_the_official_spread():
    conv = SpectralConv(256, 3, seed=1)
    conv.build((None, 8, 8, 128))
    assert abs(np.std(conv.kernel) - 0.02) < 2e-4
    np.testing.assert_allclose([np.linalg.norm(conv.u), np.linalg.norm(conv.v)], 1, rtol=1e-5)
