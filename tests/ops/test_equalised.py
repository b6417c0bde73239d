"""Equalised layers, pixel norm and minibatch standard deviation against known answers."""

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.ops.equalised import (
    HE_GAIN,
    EqualisedConv,
    EqualisedDense,
    EqualisedDownConv,
    EqualisedStem,
    EqualisedUpConv,
)
from gan_tf.ops.normalisation import append_minibatch_stddev, pixel_norm


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(
    ("layer", "shape", "fan_in"),
    [
        (EqualisedConv(64, 3), (8, 6, 6, 48), 9 * 48),
        (EqualisedConv(64, 1), (8, 6, 6, 48), 48),
        (EqualisedUpConv(64), (8, 6, 6, 48), 9 * 48),
        (EqualisedDownConv(64), (8, 6, 6, 48), 9 * 48),
        (EqualisedStem(64), (64, 48), 48),
        (EqualisedDense(64), (256, 48), 48),
    ],
    ids=lambda value: type(value).__name__,
)
def test_kernels_have_unit_spread_and_are_scaled_on_use(layer, shape, fan_in):
    layer.build(shape)
    assert abs(np.std(layer.kernel) - 1) < 0.05
    np.testing.assert_allclose(layer.scaled_kernel(), layer.kernel * HE_GAIN / fan_in**0.5, rtol=1e-6)
    y = layer(random(*shape))
    if not isinstance(layer, EqualisedDownConv | EqualisedUpConv):  # their sums count a pixel more than once
        assert 0.8 * HE_GAIN < np.std(y[..., 1:-1, 1:-1, :] if len(y.shape) == 4 else y) < 1.2 * HE_GAIN
    layer.bias.assign(np.arange(64, dtype=np.float32))
    np.testing.assert_allclose(layer(random(*shape)) - y, np.broadcast_to(np.arange(64), y.shape), atol=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
def test_layers_compute_in_the_type_of_their_input(dtype):
    layers = EqualisedConv(4, 3, dtype="mixed_bfloat16"), EqualisedDense(4, dtype="mixed_bfloat16")
    for layer, shape in zip(layers, ((2, 4, 4, 3), (2, 3)), strict=True):
        assert layer(tf.cast(random(*shape), dtype)).dtype == dtype
        assert layer.kernel.dtype == "float32"


def test_gradient_of_a_bfloat16_bias_is_summed_with_more_digits():
    layer = EqualisedConv(2, 1)
    x = tf.zeros((16, 64, 64, 3), tf.bfloat16)
    with tf.GradientTape() as tape:
        y = layer(x)
    slope = tape.gradient(y, layer.bias.value, output_gradients=tf.ones_like(y))
    np.testing.assert_allclose(slope, 16 * 64 * 64, rtol=1e-2)  # a bfloat16 sum would stall at 256


def test_pixel_norm_of_a_known_pixel():
    got = pixel_norm(tf.constant([[[[3.0, 4.0], [0.0, 0.0]]]]))
    np.testing.assert_allclose(got[0, 0, 0], [3 / 12.5**0.5, 4 / 12.5**0.5], rtol=1e-6)
    np.testing.assert_array_equal(got[0, 0, 1], [0, 0])


def test_pixel_norm_takes_its_statistics_in_float32():
    x = tf.cast(random(2, 4, 4, 4096), tf.bfloat16)  # of as many squares a bfloat16 sum would stall at 256
    got = pixel_norm(x)
    assert got.dtype == tf.bfloat16
    exact = tf.cast(x, tf.float64).numpy()
    want = exact / np.sqrt((exact**2).mean(-1, keepdims=True))
    assert np.abs(tf.cast(got, tf.float64) - want).max() < 0.005 * np.abs(want).max()


def test_minibatch_stddev_of_a_hand_made_batch():
    """Groups of 8 images are 0, 2, 4, 6 and 1, 3, 5, 7; in each channel of the first group, half is 1 and half is 3."""
    x = np.zeros((8, 4, 4, 2), np.float32)
    x[[0, 2]], x[[4, 6]] = 1, 3  # standard deviation 1
    x[[1, 3], ..., 0], x[[5, 7], ..., 0] = 0, 8  # 4 in one of two channels
    got = append_minibatch_stddev(tf.constant(x))
    assert got.shape == (8, 4, 4, 3)
    np.testing.assert_array_equal(got[..., :2], x)
    np.testing.assert_allclose(got[0::2, ..., 2], np.full((4, 4, 4), 1), rtol=1e-4)
    np.testing.assert_allclose(got[1::2, ..., 2], np.full((4, 4, 4), (4 + 1e-4) / 2), rtol=1e-4)


@pytest.mark.parametrize(("count", "size"), [(1, 1), (2, 2), (3, 3), (5, 1), (6, 3), (10, 2), (12, 4)])
def test_a_group_is_the_largest_divisor_of_the_batch_up_to_4(count, size):
    x = random(count, 2, 2, 3)
    got = append_minibatch_stddev(tf.constant(x))[:, 0, 0, 3].numpy()
    groups = x.reshape(size, count // size, 2, 2, 3)
    want = np.sqrt(groups.var(axis=0) + 1e-8).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(got, np.tile(want, size), rtol=1e-4)


@pytest.mark.parametrize("parts", [2, 4])
def test_rows_at_equal_distances_have_the_groups_that_they_have_in_the_batch(parts):
    x = tf.constant(random(16, 4, 4, 3))
    whole = append_minibatch_stddev(x)
    for first in range(parts):
        np.testing.assert_allclose(append_minibatch_stddev(x[first::parts]), whole[first::parts], rtol=1e-6)


def test_minibatch_stddev_has_a_second_derivative():
    x = tf.constant(random(4, 2, 2, 3))
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = append_minibatch_stddev(x)[..., -1] ** 2
        slope = tf.reduce_sum(inner.gradient(y, x) ** 2)
    second = outer.gradient(slope, x)
    assert np.isfinite(second).all() and np.abs(second).max() > 0


@pytest.mark.parametrize(("group", "size"), [(2, 2), (8, 8), (32, 8), (None, 8), (3, 2)])
def test_the_group_can_be_of_another_size_up_to_the_batch(group, size):
    x = random(8, 2, 2, 3)
    groups = x.reshape(size, 8 // size, 2, 2, 3)
    want = np.sqrt(groups.var(axis=0) + 1e-8).mean(axis=(1, 2, 3))
    got = append_minibatch_stddev(tf.constant(x), group)[:, 0, 0, 3]
    np.testing.assert_allclose(got, np.tile(want, size), rtol=1e-4)


def test_each_statistic_is_of_its_own_share_of_the_channels():
    x = np.zeros((2, 2, 2, 4), np.float32)
    x[1, ..., 0], x[1, ..., 1], x[1, ..., 3] = 2, 4, 20  # standard deviations 1, 2, 0, 10
    got = append_minibatch_stddev(tf.constant(x), 2, 2)
    assert got.shape == (2, 2, 2, 6)
    np.testing.assert_allclose(got[..., 4:], np.broadcast_to([1.5, 5], (2, 2, 2, 2)), rtol=1e-3)
