"""Norms, minibatch standard deviation, and layers with spectral norm or equalised learning rate: known answers."""

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
from gan_tf.ops.forms import FAST, PLAIN, use_forms
from gan_tf.ops.layers import BatchNorm, NoiseInjection, SpectralConv, SpectralStem, SpectralUpConv
from gan_tf.ops.normalisation import append_minibatch_stddev, pixel_norm, spectral_normalise, unit
from tests.ops import random
from tests.parity.report import relative_l2


@pytest.mark.parametrize("shift", [0.0, 2.5])
def test_synchronised_form_on_one_replica_equals_the_fused_form(shift):
    x, slopes = tf.constant(random(4, 8, 8, 3) * 2 + 3), tf.constant(random(4, 8, 8, 3, seed=1))
    results = []
    for forms in (FAST, PLAIN):
        norm = BatchNorm()
        norm.build(x.shape)
        norm.moving_mean.assign(np.full(3, shift))
        with use_forms(forms), tf.GradientTape() as tape:
            tape.watch(x)
            y = norm(x, training=True)
        found = tape.gradient(y, [x, norm.gamma.value, norm.beta.value], output_gradients=slopes)
        results.append([y, norm.moving_mean, norm.moving_variance, *found])
    for got, want in zip(*results, strict=True):
        assert relative_l2(got.numpy(), want.numpy()) < 2e-5


def test_running_statistics_are_unbiased_and_weight_a_batch_by_a_tenth():
    x = random(2, 4, 4, 3) * 3 + 1
    norm = BatchNorm()
    norm(x, training=True)
    rows = x.reshape(-1, 3)
    np.testing.assert_allclose(norm.moving_mean, 0.1 * rows.mean(0), rtol=1e-5)
    np.testing.assert_allclose(norm.moving_variance, 0.9 + 0.1 * rows.var(0, ddof=1), rtol=1e-5)


@pytest.mark.parametrize("forms", [FAST, PLAIN])
def test_training_output_is_standardised_then_scaled(forms):
    x = random(2, 4, 4, 3) * 3 + 1
    norm = BatchNorm(seed=4)
    with use_forms(forms):
        y = norm(x, training=True)
    want = (x - x.mean((0, 1, 2))) / np.sqrt(x.var((0, 1, 2)) + 1e-5) * norm.gamma.numpy()
    np.testing.assert_allclose(y, want, rtol=1e-4, atol=1e-5)


def test_evaluation_uses_running_statistics_and_changes_nothing():
    x = random(2, 4, 4, 2)
    norm = BatchNorm()
    norm.build(x.shape)
    norm.moving_mean.assign([1.0, -1.0])
    norm.moving_variance.assign([4.0, 0.25])
    y = norm(x, training=False)
    want = (x - [1.0, -1.0]) / np.sqrt(np.array([4.0, 0.25]) + 1e-5) * norm.gamma.numpy()
    np.testing.assert_allclose(y, want, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(norm.moving_mean, [1.0, -1.0])


def test_statistics_of_bfloat16_are_computed_in_float32():
    x = tf.cast(random(8, 64, 64, 2) + 20, tf.bfloat16)  # 65,536 values of size 20: a bfloat16 sum would stop at 4,096
    norm = BatchNorm(dtype="mixed_bfloat16")
    y = norm(x, training=True)
    rows = tf.cast(x, tf.float32).numpy().reshape(-1, 2)
    assert y.dtype == tf.bfloat16
    np.testing.assert_allclose(norm.moving_mean, 0.1 * rows.mean(0), rtol=1e-4)
    np.testing.assert_allclose(norm.moving_variance, 0.9 + 0.1 * rows.var(0, ddof=1), rtol=1e-3)


def test_two_replicas_normalise_like_one(two_cpus):
    x, slopes = tf.constant(random(4, 6, 6, 3) + 2), tf.constant(random(4, 6, 6, 3, seed=1))

    def run(strategy):
        share = 4 // strategy.num_replicas_in_sync
        with strategy.scope():
            norm = BatchNorm(seed=1)
            norm.build((None, None, None, 3))

        @tf.function
        def step():
            first = tf.distribute.get_replica_context().replica_id_in_sync_group * share
            rows, wanted = x[first : first + share], slopes[first : first + share]
            with tf.GradientTape() as tape:
                tape.watch(rows)
                y = norm(rows, training=True)
                loss = tf.reduce_sum(y * wanted)
            to_rows, to_gamma = tape.gradient(loss, [rows, norm.gamma.value])
            return y, to_rows, tf.distribute.get_replica_context().all_reduce("sum", to_gamma)

        results = [strategy.experimental_local_results(value) for value in strategy.run(step)]
        joined = [np.concatenate(results[0]), np.concatenate(results[1]), results[2][0].numpy()]
        return [*joined, norm.moving_mean.numpy(), norm.moving_variance.numpy()]

    one, two = run(tf.distribute.get_strategy()), run(two_cpus)
    for got, want in zip(two, one, strict=True):
        assert relative_l2(got, want) < 1e-5


def test_power_iterations_converge_to_the_largest_singular_value():
    kernel = tf.constant(random(3, 3, 4, 6))
    u, v = unit(tf.constant(random(6, seed=1))), tf.zeros(36)
    for _ in range(200):
        normalised, u, v = spectral_normalise(kernel, u, v, training=True)
    largest = np.linalg.svd(kernel.numpy().reshape(-1, 6), compute_uv=False)[0]
    np.testing.assert_allclose(normalised, kernel / largest, rtol=1e-4)
    stored, same_u, same_v = spectral_normalise(kernel, u, v, training=False)
    np.testing.assert_allclose(stored, normalised, rtol=1e-5)
    assert same_u is u and same_v is v


def test_spectral_gradient_treats_the_vectors_as_constants():
    kernel, slopes = tf.constant(random(1, 1, 5, 4)), tf.constant(random(1, 1, 5, 4, seed=1))
    with tf.GradientTape() as tape:
        tape.watch(kernel)
        y, u, v = spectral_normalise(kernel, unit(tf.constant(random(4, seed=2))), tf.zeros(5), training=True)
    got = tape.gradient(y, kernel, output_gradients=slopes).numpy()[0, 0]
    w, g, outer = kernel.numpy()[0, 0], slopes.numpy()[0, 0], np.outer(v, u)
    sigma = np.sum(w * outer)
    np.testing.assert_allclose(got, g / sigma - np.sum(g * w) / sigma**2 * outer, rtol=1e-4, atol=1e-5)


def test_pixel_norm_of_a_known_pixel():
    got = pixel_norm(tf.constant([[[[3.0, 4.0], [0.0, 0.0]]]]))
    np.testing.assert_allclose(got[0, 0, 0], [3 / 12.5**0.5, 4 / 12.5**0.5], rtol=1e-6)
    np.testing.assert_array_equal(got[0, 0, 1], [0, 0])


def test_pixel_norm_is_computed_in_float32():
    x = tf.cast(random(2, 4, 4, 4096), tf.bfloat16)  # a bfloat16 sum of squares would stop at 256
    got, exact = pixel_norm(x), tf.cast(x, tf.float64).numpy()
    assert got.dtype == tf.bfloat16
    want = exact / np.sqrt((exact**2).mean(-1, keepdims=True))
    assert np.abs(tf.cast(got, tf.float64) - want).max() < 0.005 * np.abs(want).max()


def test_minibatch_stddev_of_a_hand_made_batch():
    """Groups of 8 images are 0, 2, 4, 6 and 1, 3, 5, 7; each statistic uses its half of the channels."""
    x = np.zeros((8, 4, 4, 4), np.float32)
    x[[0, 2]], x[[4, 6]] = 1, 3  # standard deviation 1 in all channels
    x[[1, 3], ..., 0], x[[5, 7], ..., 0] = 0, 8  # 4 in one of two channels
    x[[1, 3], ..., 3], x[[5, 7], ..., 3] = 0, 40  # 20
    got = append_minibatch_stddev(tf.constant(x), statistics=2)
    assert got.shape == (8, 4, 4, 6)
    np.testing.assert_array_equal(got[..., :4], x)
    np.testing.assert_allclose(got[0::2, ..., 4:], np.ones((4, 4, 4, 2)), rtol=1e-4)
    np.testing.assert_allclose(got[1::2, ..., 4:], np.broadcast_to([2, 10], (4, 4, 4, 2)), rtol=1e-4)


@pytest.mark.parametrize(
    ("count", "group", "size"),
    [(1, 4, 1), (2, 4, 2), (3, 4, 3), (5, 4, 1), (6, 4, 3), (10, 4, 2), (12, 4, 4)]
    + [(8, 2, 2), (8, 8, 8), (8, 32, 8), (8, None, 8), (8, 3, 2)],
)
def test_a_group_is_the_largest_divisor_of_the_batch_up_to_its_limit(count, group, size):
    x = random(count, 2, 2, 3)
    got = append_minibatch_stddev(tf.constant(x), group)[:, 0, 0, 3].numpy()
    groups = x.reshape(size, count // size, 2, 2, 3)
    want = np.sqrt(groups.var(axis=0) + 1e-8).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(got, np.tile(want, size), rtol=1e-4)


@pytest.mark.parametrize("parts", [2, 4])
def test_rows_at_equal_distances_form_the_groups_of_the_whole_batch(parts):
    x = tf.constant(random(16, 4, 4, 3))
    whole = append_minibatch_stddev(x)
    for first in range(parts):
        np.testing.assert_allclose(append_minibatch_stddev(x[first::parts]), whole[first::parts], rtol=1e-6)


def sigma(layer):
    rows = layer.kernel.numpy().reshape(-1, layer.filters)
    return layer.v.numpy() @ rows @ layer.u.numpy()


def test_stride_two_pads_one_pixel_on_every_side_as_pytorch():
    x = random(2, 8, 8, 3)
    conv = SpectralConv(4, 4, strides=2)
    got = conv(x)
    padded = tf.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    want = tf.nn.conv2d(padded, conv.kernel / sigma(conv), 2, "VALID")
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


def test_the_spectral_stem_is_a_transposed_convolution_of_one_pixel():
    z = random(2, 5)
    stem = SpectralStem(6)
    got = stem(z)
    kernel = tf.transpose(stem.kernel.value, (1, 2, 3, 0)) / sigma(stem)  # [4, 4, O, I]
    want = tf.nn.conv2d_transpose(z[:, None, None], kernel, (2, 4, 4, 6), 1, "VALID")
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_a_training_call_updates_the_spectral_vectors_once_and_evaluation_does_not():
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


def test_initial_spectral_kernels_have_the_official_spread():
    conv = SpectralConv(256, 3, seed=1)
    conv.build((None, 8, 8, 128))
    assert abs(np.std(conv.kernel) - 0.02) < 2e-4
    np.testing.assert_allclose([np.linalg.norm(conv.u), np.linalg.norm(conv.v)], 1, rtol=1e-5)


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
def test_equalised_kernels_have_unit_variance_and_are_scaled_on_use(layer, shape, fan_in):
    layer.build(shape)
    assert abs(np.std(layer.kernel) - 1) < 0.05
    np.testing.assert_allclose(layer.scaled_kernel(), layer.kernel * HE_GAIN / fan_in**0.5, rtol=1e-6)
    y = layer(random(*shape))
    if not isinstance(layer, EqualisedDownConv | EqualisedUpConv):  # their sums count some pixels more than once
        assert 0.8 * HE_GAIN < np.std(y[..., 1:-1, 1:-1, :] if len(y.shape) == 4 else y) < 1.2 * HE_GAIN
    layer.bias.assign(np.arange(64, dtype=np.float32))
    np.testing.assert_allclose(layer(random(*shape)) - y, np.broadcast_to(np.arange(64), y.shape), atol=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
def test_equalised_layers_compute_in_the_type_of_their_input(dtype):
    for layer, shape in ((EqualisedConv(4, 3, dtype="mixed_bfloat16"), (2, 4, 4, 3)), (EqualisedStem(4), (2, 3))):
        assert layer(tf.cast(random(*shape), dtype)).dtype == dtype
        assert layer.kernel.dtype == "float32"
