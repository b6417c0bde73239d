"""Convolutions that change the resolution, against their definition in separate steps."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.ops.upfirdn import fir_filter, resampled_conv
from tests.ops.test_upfirdn import ASYMMETRIC, by_loops, random

SQUARE = np.pad(ASYMMETRIC, ((0, 1), (0, 0)))  # 4 x 4, no two taps of which agree but those of the last row


def correlated(x, kernel, step):
    size = kernel.shape[0]
    rows, columns = ((side - size) // step + 1 for side in x.shape[1:3])
    out = np.zeros((len(x), rows, columns, kernel.shape[3]))
    for row, column in itertools.product(range(rows), range(columns)):
        seen = x[:, row * step : row * step + size, column * step : column * step + size]
        out[:, row, column] = np.einsum("nijc,ijco->no", seen, kernel)
    return out


def by_definition(x, kernel, f, up, down, convolve):
    """Insert zeros, pad, filter, then correlate in every so many places."""
    size, width = kernel.shape[0], 1 if f is None else len(f)
    pad = [size // 2] * 2
    if up > 1:
        pad = [pad[0] + (width + up - 1) // 2, pad[1] + (width - up) // 2]
    if down > 1:
        pad = [pad[0] + (width - down + 1) // 2, pad[1] + (width - down) // 2]
    x = by_loops(x, f if max(up, down) > 1 else None, up=up, pad=(*pad, *pad), gain=up**2)
    return correlated(x, kernel[::-1, ::-1] if convolve else kernel, down)


@pytest.mark.parametrize("convolve", [False, True])
@pytest.mark.parametrize("f", [None, SQUARE, fir_filter((1, 2, 1))], ids=["none", "asymmetric", "three"])
@pytest.mark.parametrize(("up", "down"), [(1, 1), (2, 1), (3, 1), (1, 2)])
@pytest.mark.parametrize("size", [1, 3, 5])
def test_definition(size, up, down, f, convolve):
    x, kernel = random(2, 6, 4, 5), random(size, size, 5, 2, seed=1)
    got = resampled_conv(tf.constant(x), tf.constant(kernel), f, up, down, convolve)
    want = by_definition(x, kernel, f, up, down, convolve)
    assert got.shape == (2, 6 * up // down, 4 * up // down, 2)
    np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9)


def test_a_constant_map_is_doubled_at_its_brightness():
    kernel = np.zeros((3, 3, 1, 1))
    kernel[1, 1] = 1
    got = resampled_conv(tf.ones((1, 8, 8, 1), tf.float64), tf.constant(kernel), fir_filter(), up=2, convolve=True)
    np.testing.assert_allclose(got[0, 2:-2, 2:-2], np.ones((12, 12, 1)))


@pytest.mark.parametrize(("up", "down"), [(1, 1), (2, 1), (1, 2)])
def test_computes_in_the_type_of_the_map(up, down):
    x, kernel = random(1, 8, 8, 6), random(3, 3, 6, 6, seed=1)
    want = by_definition(x, kernel, fir_filter(), up, down, False)
    for dtype, error in (("bfloat16", 0.02), ("float16", 0.003)):
        got = resampled_conv(tf.cast(x, dtype), tf.constant(kernel, tf.float32), fir_filter(), up, down)
        assert got.dtype == dtype
        assert np.linalg.norm(tf.cast(got, tf.float64) - want) < error * np.linalg.norm(want)


def test_up_and_down_at_once_is_refused():
    with pytest.raises(ValueError, match="either up or down, got up 2 and down 2"):
        resampled_conv(tf.ones((1, 4, 4, 1)), tf.ones((3, 3, 1, 1)), None, 2, 2)
