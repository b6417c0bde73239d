"""Activations and changes of resolution without filters: known numbers, derivatives and plain forms."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.ops.activations import bias_act, biased, clamped, glu
from gan_tf.ops.forms import PLAIN, use_forms
from gan_tf.ops.resample import average_pool_to, down_convolution, nearest_resize, up_convolution, upsample_nearest
from tests.ops import check_forms, random
from tests.parity.report import relative_l2

X = np.array([[-3.0, -0.5, 0.0, 0.5, 3.0]])
BIAS = np.array([1.0, 0.0, -1.0, 0.5, 0.0])  # sums: -2, -0.5, -1, 1, 3
ROOT = 2**0.5


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
def test_glu(dtype, rtol):
    x = tf.cast(random(2, 4, 4, 6) * 3, dtype)
    values, gates = np.split(tf.cast(x, tf.float32).numpy(), 2, axis=-1)
    np.testing.assert_allclose(tf.cast(glu(x), tf.float32), values / (1 + np.exp(-gates)), rtol=rtol, atol=1e-6)


def test_lean_glu_has_the_derivatives_of_its_plain_form():
    check_forms(glu, random(2, 4, 4, 6))


def test_the_gradient_of_lean_glu_in_bfloat16_is_near_that_in_float32():
    x, slopes = random(2, 4, 4, 6) * 3, []
    for dtype in (tf.bfloat16, tf.float32):
        given = tf.cast(x, dtype)
        with tf.GradientTape() as tape:
            tape.watch(given)
            y = tf.reduce_sum(tf.cast(glu(given), tf.float32) ** 2)
        slopes.append(tf.cast(tape.gradient(y, given), tf.float32))
    assert relative_l2(slopes[0], slopes[1]) < 0.02


@pytest.mark.parametrize("convolution", [up_convolution, down_convolution])
@pytest.mark.parametrize("shape", [(2, 8, 8, 5), (2, 24, 24, 5), (2, 6, 10, 5)])
def test_fast_convolutions_equal_their_plain_forms(convolution, shape):
    check_forms(convolution, random(*shape), random(3, 3, 5, 7))


@pytest.mark.parametrize(("convolution", "size"), [(up_convolution, 32), (down_convolution, 8)])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_output_has_the_type_of_the_map(convolution, size, dtype):
    y = convolution(tf.ones((1, 16, 16, 3), dtype), tf.ones((3, 3, 3, 4)))
    assert y.shape == (1, size, size, 4) and y.dtype == dtype


@pytest.mark.parametrize(("convolution", "corner"), [(up_convolution, 4 / 9), (down_convolution, (4 + 6 + 6 + 9) / 36)])
def test_a_constant_and_an_averaging_kernel_give_a_constant_inside(convolution, corner):
    y = convolution(tf.ones((1, 16, 16, 1)), tf.fill((3, 3, 1, 1), 1 / 9)).numpy()
    np.testing.assert_allclose(y[:, 1:-1, 1:-1], 1, rtol=1e-6)
    np.testing.assert_allclose(y[0, 0, 0, 0], corner, rtol=1e-6)  # zero padding


def test_nearest_resize_takes_the_first_pixel_of_each_block():
    images = tf.reshape(tf.range(64), (1, 8, 8, 1))
    np.testing.assert_array_equal(nearest_resize(images, 2)[0, :, :, 0], [[0, 4], [32, 36]])


def test_average_pool_to_averages_blocks():
    x = tf.reshape(tf.range(16, dtype=tf.float32), (1, 4, 4, 1))
    np.testing.assert_allclose(average_pool_to(x, 2)[0, :, :, 0], [[2.5, 4.5], [10.5, 12.5]])
    assert average_pool_to(x, 4) is x


def test_upsampling_repeats_pixels_also_as_one_resize_operation():
    x = random(2, 3, 5, 4)
    want = np.repeat(np.repeat(x, 2, 1), 2, 2)
    np.testing.assert_array_equal(upsample_nearest(tf.constant(x)), want)
    with use_forms(dataclasses.replace(PLAIN, resize_operation=True)):
        np.testing.assert_array_equal(upsample_nearest(tf.constant(x)), want)
