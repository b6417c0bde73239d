"""Layers with spectral norm and with equalised learning rate, against plain TensorFlow."""

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
from gan_tf.ops.layers import NoiseInjection, SpectralConv, SpectralStem, SpectralUpConv
from tests.ops import random


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
@pytest.mark.parametrize(
    ("layer", "shape"), [(EqualisedConv(4, 3, dtype="mixed_bfloat16"), (2, 4, 4, 3)), (EqualisedStem(4), (2, 3))]
)
def test_equalised_layers_compute_in_the_type_of_their_input(layer, shape, dtype):
    assert layer(tf.cast(random(*shape), dtype)).dtype == dtype
    assert layer.kernel.dtype == "float32"
