"""Resampling under affine maps: known shifts, adjoints, gradients, and matrices in blocks."""

import functools
import math

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.augment import ada_resample
from gan_tf.augment.ada_maps import geometric_map
from gan_tf.augment.ada_resample import LOWPASS, along_rows, banded, downsampling, resample, upsampling
from gan_tf.ops.forms import FAST, PLAIN, use_forms
from tests.augment.helpers import SIDE, check_penalty, random_images

ROTATED = {"scale": [1.3, 0.8], "rotate_pre": [0.7, -2.0], "aniso": [0.9, 1.2], "xfrac": [[0.1, -0.2], [0.0, 0.3]]}
STRAIGHT = {"scale": [1.3, 0.8], "xint": [[0.1, -0.1], [0.0, 0.1]], "rotate90": [0.0, 1.0], "aniso": [0.9, 1.2]}


def maps_of(parameters, side=SIDE, width=None):
    return geometric_map({name: tf.constant(value) for name, value in parameters.items()}, (side, width or side))


def resampled(images, **parameters):
    return resample(images, maps_of(parameters, images.shape[1])).numpy()


@pytest.mark.parametrize("side", [7, 16, 33])  # from 7 on, one reflection holds all samples that the filters need
def test_upsampling_then_downsampling_is_the_identity(side):
    matrix, texels = upsampling(side)
    up = matrix[texels[np.arange(-6, 2 * side + 6) + 2 * side - 1]]
    np.testing.assert_allclose(downsampling(side) @ up, np.eye(side), atol=1e-6)
    assert (matrix[texels[0]] == 0).all() and (matrix[texels[-2:]] == 0).all()


def test_the_identity_changes_no_bit():
    images = random_images(2)
    unchanged = resampled(images, xflip=[0.0, 0.0], rotate_pre=[0.0, 0.0], xfrac=[[0.0, 0.0]] * 2)
    np.testing.assert_array_equal(unchanged, images)


@pytest.mark.parametrize(
    "parameters",
    [
        {"xflip": [1.0]},
        {"rotate90": [1.0]},
        {"rotate90": [2.0]},
        {"rotate90": [3.0], "xflip": [1.0]},
        {"xint": [[0.1, -0.125]], "aniso": [1.3]},
        {"rotate_pre": [0.5], "scale": [1.25]},
        {"scale": [0.9], "rotate_pre": [-2.0], "aniso": [1.2], "rotate_post": [1.0], "xfrac": [[0.05, -0.02]]},
    ],
)
def test_pixels_are_read_at_the_positions_of_the_map(parameters):
    """Interpolation preserves linear ramps, so the values of an image of coordinates are the positions."""
    side = 64
    positions = np.arange(side) - (side - 1) / 2
    y, x = np.meshgrid(positions, positions, indexing="ij")
    got = resampled(tf.constant(np.stack([x, y, 0 * x], -1)[None].astype(np.float32)), **parameters)[0]
    (a, b, right), (c, d, down), _ = maps_of(parameters, side)[0].numpy()
    # The filter's centre of mass is not at its middle tap, when upsampling and, reversed, when downsampling.
    off = (LOWPASS @ np.arange(12) - 5) / 2
    want = np.stack([a * (x + off) + b * (y + off) + right - off, c * (x + off) + d * (y + off) + down - off], -1)
    inner = slice(20, 44)  # away from the reflection
    np.testing.assert_allclose(got[inner, inner, :2], want[inner, inner], atol=1e-4)


def test_maps_of_single_transforms():
    def map_of(**parameters):
        return maps_of(parameters, 64)[0, :2].numpy()

    np.testing.assert_array_equal(map_of(xflip=[1.0]), [[-1, 0, 0], [0, 1, 0]])
    np.testing.assert_array_equal(map_of(rotate90=[1.0]), [[0, -1, 0], [1, 0, 0]])
    np.testing.assert_array_equal(map_of(xint=[[0.11, -0.02]]), [[1, 0, -7], [0, 1, 1]])  # whole pixels
    np.testing.assert_allclose(map_of(xfrac=[[0.11, -0.02]]), [[1, 0, -7.04], [0, 1, 1.28]], rtol=1e-6)
    np.testing.assert_allclose(map_of(scale=[2.0], aniso=[4.0]), [[0.125, 0, 0], [0, 2, 0]])
    cos, sin = math.cos(1.2), math.sin(1.2)
    np.testing.assert_allclose(map_of(rotate_pre=[0.5], rotate_post=[0.7]), [[cos, -sin, 0], [sin, cos, 0]], rtol=1e-5)


@pytest.mark.parametrize("right, down", [(2, 0), (0, -1), (-2, 2)])
def test_whole_shifts_continue_by_reflection(right, down):
    image = random_images(1)
    padded = np.pad(image[0], [(4, 4), (4, 4), (0, 0)], mode="reflect")
    want = padded[4 - down : 20 - down, 4 - right : 20 - right]
    np.testing.assert_allclose(resampled(image, xint=[[right / SIDE, down / SIDE]])[0], want, atol=1e-5)
    np.testing.assert_allclose(resampled(image, xfrac=[[right / SIDE, down / SIDE]])[0], want, atol=1e-5)


def test_images_are_zero_beyond_one_reflection():
    np.testing.assert_allclose(resampled(tf.ones([1, SIDE, SIDE, 3]), xfrac=[[0.0, 3.0]]), 0, atol=1e-6)


@pytest.mark.parametrize(("side", "width"), [(2, 2), (4, 4), (16, 16), (33, 33), (16, 24), (12, 5)])
def test_methods_agree_and_have_their_transposes(side, width):
    images, slopes = random_images(2, side, width=width), random_images(2, side, seed=1, width=width)
    straight, rotated = maps_of(STRAIGHT, side, width), maps_of(ROTATED, side, width)
    if side != width:  # no quarter turns
        straight = maps_of({name: value for name, value in STRAIGHT.items() if name != "rotate90"}, side, width)
    for maps, method, transposed in (
        (straight, ada_resample.by_axis, ada_resample.by_axis_transposed),
        (rotated, ada_resample.general, ada_resample.general_transposed),
    ):
        output, back = method(images, maps), transposed(slopes, maps)
        one, other = (np.sum(np.float64(a) * b) for a, b in ((output, slopes), (back, images)))
        assert abs(one - other) < 1e-5 * np.linalg.norm(output) * np.linalg.norm(slopes)
    by_axis, general = ada_resample.by_axis(images, straight), ada_resample.general(images, straight)
    np.testing.assert_allclose(by_axis, general, atol=1e-5)
    np.testing.assert_array_equal(ada_resample._method(straight, (side, width)), [1, 1])  # the faster one is used


@pytest.mark.parametrize("forms", [FAST, PLAIN])
def test_gradients_of_the_first_and_second_order(forms):
    with use_forms(forms):
        check_penalty(random_images(2), functools.partial(resample, maps=maps_of(ROTATED)), step=0.05, rtol=1e-3)


def test_parts_of_a_batch_give_the_same_images(monkeypatch):
    images = random_images(6)
    maps = tf.concat([maps_of(ROTATED), maps_of(STRAIGHT), maps_of({"xflip": [0.0, 0.0]})], axis=0)
    whole = resample(images, maps)
    monkeypatch.setattr(ada_resample, "CPU_TEXELS", 1)  # one image at a time
    single = tf.function(functools.partial(resample, maps=maps))(images)
    np.testing.assert_allclose(single, whole, atol=1e-5)
    np.testing.assert_array_equal(single[4:], images[4:])


def band(rows, columns, width=5, seed=0):
    matrix = np.random.default_rng(seed).normal(size=(rows, columns)).astype(np.float32)
    distance = np.abs(np.arange(rows)[:, None] * columns / rows - np.arange(columns))
    return np.where(distance < width, matrix, 0)


@pytest.mark.parametrize("rows, block", [(24, 8), (25, 8), (3, 32), (12, 1)])
def test_blocks_of_rows_equal_the_matrix(rows, block):
    matrix, images = band(rows, 12), random_images(2, 12)
    want = np.einsum("ji,niwc->njwc", matrix, images)
    np.testing.assert_allclose(along_rows(images, banded(matrix, block)), want, atol=1e-5)
    np.testing.assert_allclose(along_rows(images, tf.constant(matrix)), want, atol=1e-5)
    np.testing.assert_array_equal(along_rows(images, banded(0 * matrix, block)), 0 * want)


def test_a_block_uses_few_columns_of_a_band():
    assert banded(band(256, 256, width=3), block=16).sources.shape == (16, 20)  # 16 and two on each side
