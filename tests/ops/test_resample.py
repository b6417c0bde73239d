"""Changes of resolution against their plain forms and known answers."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.ops.forms import PLAIN, use_forms
from gan_tf.ops.resample import average_pool_to, down_convolution, nearest_resize, up_convolution, upsample_nearest
from tests.ops import check_forms, random


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
