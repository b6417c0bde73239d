"""Changes of resolution against their plain forms and known answers."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.ops.forms import PLAIN, use_forms
from gan_tf.ops.resample import average_pool_to, down_convolution, nearest_resize, up_convolution, upsample_nearest
from tests.parity.report import relative_l2


@pytest.mark.parametrize("size", [8, 12, 24])
def test_transposed_up_convolution_equals_upsampling_then_convolving(size):
    rng = np.random.default_rng(0)
    x = tf.constant(rng.normal(size=(2, size, size, 5)), tf.float32)
    kernel = tf.constant(rng.normal(size=(3, 3, 5, 7)), tf.float32)
    slopes = tf.constant(rng.normal(size=(2, 2 * size, 2 * size, 7)), tf.float32)

    def run():
        with tf.GradientTape() as tape:
            tape.watch([x, kernel])
            y = up_convolution(x, kernel, tf.float32)
        return y, *tape.gradient(y, [x, kernel], output_gradients=slopes)

    fast = run()
    with use_forms(PLAIN):
        plain = run()
    for got, want in zip(fast, plain, strict=True):
        assert relative_l2(got.numpy(), want.numpy()) < 1e-5


@pytest.mark.parametrize("shape", [(2, 8, 8, 5), (2, 24, 24, 5), (2, 6, 10, 5)])
def test_strided_down_convolution_equals_convolving_then_averaging(shape):
    rng = np.random.default_rng(0)
    x = tf.constant(rng.normal(size=shape), tf.float32)
    kernel = tf.constant(rng.normal(size=(3, 3, 5, 7)), tf.float32)

    def run():
        """The convolution, its gradients, and gradients of a length of a gradient."""
        with tf.GradientTape(persistent=True) as outer:
            outer.watch([x, kernel])
            with tf.GradientTape() as inner:
                inner.watch(x)
                y = down_convolution(x, kernel, tf.float32)
                values = tf.tanh(y)
            length = tf.reduce_sum(inner.gradient(values, x) ** 2)
        return y, *outer.gradient(values, [x, kernel]), *outer.gradient(length, [x, kernel])

    fast = run()
    with use_forms(PLAIN):
        plain = run()
    assert fast[0].shape == (shape[0], shape[1] // 2, shape[2] // 2, 7)
    for got, want in zip(fast, plain, strict=True):
        assert relative_l2(got.numpy(), want.numpy()) < 1e-5


def test_down_convolution_of_a_constant_with_an_averaging_kernel_is_constant_inside():
    y = down_convolution(tf.ones((1, 16, 16, 1)), tf.fill((3, 3, 1, 1), 1 / 9), tf.float32)
    np.testing.assert_allclose(y[:, 1:-1, 1:-1], np.ones((1, 6, 6, 1)), rtol=1e-6)
    np.testing.assert_allclose(y[0, 0, 0, 0], (4 + 6 + 6 + 9) / 36, rtol=1e-6)  # zero padding at the corner


def test_up_convolution_of_a_constant_with_an_averaging_kernel_is_constant_inside():
    y = up_convolution(tf.ones((1, 16, 16, 1)), tf.fill((3, 3, 1, 1), 1 / 9), tf.float32)
    np.testing.assert_allclose(y[:, 1:-1, 1:-1], np.ones((1, 30, 30, 1)), rtol=1e-6)
    np.testing.assert_allclose(y[0, 0, 0, 0], 4 / 9, rtol=1e-6)  # zero padding at the corner


def test_nearest_resize_takes_the_first_pixel_of_each_block():
    images = tf.reshape(tf.range(64), (1, 8, 8, 1))
    np.testing.assert_array_equal(nearest_resize(images, 2)[0, :, :, 0], [[0, 4], [32, 36]])
    with pytest.raises(ValueError, match="8 pixels"):
        nearest_resize(images, 3)


def test_average_pool_to_averages_blocks():
    x = tf.reshape(tf.range(16, dtype=tf.float32), (1, 4, 4, 1))
    np.testing.assert_allclose(average_pool_to(x, 2)[0, :, :, 0], [[2.5, 4.5], [10.5, 12.5]])
    assert average_pool_to(x, 4) is x


def test_one_resize_operation_repeats_pixels_as_well():
    x = tf.random.stateless_normal([2, 3, 5, 4], [0, 1])
    with use_forms(dataclasses.replace(PLAIN, resize_operation=True)):
        np.testing.assert_array_equal(upsample_nearest(x), np.repeat(np.repeat(x, 2, 1), 2, 2))
