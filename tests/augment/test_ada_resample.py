import functools
import math

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.augment import ada_resample
from gan_tf.augment.ada_geometry import geometric_map
from gan_tf.augment.ada_lowpass import downsampling, lowpass, reflected, upsampling
from gan_tf.augment.ada_resample import resample
from gan_tf.ops.forms import FAST, PLAIN, use_forms

SIDE = 16
TURN = {"scale": [1.3, 0.8], "rotate_pre": [0.7, -2.0], "aniso": [0.9, 1.2], "xfrac": [[0.1, -0.2], [0.0, 0.3]]}
STRAIGHT = {"scale": [1.3, 0.8], "xint": [[0.1, -0.1], [0.0, 0.1]], "rotate90": [0.0, 1.0], "aniso": [0.9, 1.2]}


def images_of(count=2, side=SIDE, seed=0):
    return tf.constant(np.random.default_rng(seed).uniform(-1, 1, (count, side, side, 3)).astype(np.float32))


def maps_of(parameters, side=SIDE):
    return geometric_map({name: tf.constant(value) for name, value in parameters.items()}, side)


def shown(images, **parameters):
    return resample(images, maps_of(parameters, images.shape[1])).numpy()


def test_filter_is_orthogonal_to_its_shifts():
    taps = lowpass() * math.sqrt(2)
    for shift in range(0, 12, 2):
        assert taps[shift:] @ taps[: 12 - shift] == pytest.approx(float(shift == 0), abs=1e-10)


@pytest.mark.parametrize("side", [7, 16, 33])  # from 7 on, one reflection holds all that the filters need
def test_up_and_down_again_is_the_identity(side):
    matrix, texels = upsampling(side)
    up = matrix[texels[np.arange(-6, 2 * side + 6) + 2 * side - 1]]
    np.testing.assert_allclose(downsampling(side) @ up, np.eye(side), atol=1e-6)
    assert (matrix[texels[0]] == 0).all() and (matrix[texels[-2:]] == 0).all()


def test_reflection_is_that_of_numpy():
    want = np.pad(np.arange(5), (4, 4), mode="reflect")
    np.testing.assert_array_equal(reflected(np.arange(-4, 9), 5), want)


def test_identity_changes_no_bit():
    images = images_of()
    np.testing.assert_array_equal(
        shown(images, xflip=[0.0, 0.0], rotate_pre=[0.0, 0.0], xfrac=[[0.0, 0.0]] * 2), images
    )


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
def test_slopes_show_which_place_each_pixel_shows(parameters):
    """Slopes along x and y pass interpolation unchanged: their values tell the place exactly."""
    side = 64
    places = np.arange(side) - (side - 1) / 2
    y, x = np.meshgrid(places, places, indexing="ij")
    got = shown(tf.constant(np.stack([x, y, 0 * x], -1)[None].astype(np.float32)), **parameters)[0]
    (a, b, right), (c, d, down), _ = maps_of(parameters, side)[0].numpy()
    # The filter's centre of mass lies off its middle tap, going up and, the other way, going down.
    off = (lowpass() @ np.arange(12) - 5) / 2
    want = np.stack([a * (x + off) + b * (y + off) + right - off, c * (x + off) + d * (y + off) + down - off], -1)
    inner = slice(20, 44)  # away from what is reflected
    np.testing.assert_allclose(got[inner, inner, :2], want[inner, inner], atol=1e-4)


def test_maps_are_those_of_the_transforms():
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
    image = images_of(1)
    padded = np.pad(image[0], [(4, 4), (4, 4), (0, 0)], mode="reflect")
    want = padded[4 - down : 20 - down, 4 - right : 20 - right]
    np.testing.assert_allclose(shown(image, xint=[[right / SIDE, down / SIDE]])[0], want, atol=1e-5)
    np.testing.assert_allclose(shown(image, xfrac=[[right / SIDE, down / SIDE]])[0], want, atol=1e-5)


def test_beyond_one_reflection_is_black():
    far = shown(tf.ones([1, SIDE, SIDE, 3]), xfrac=[[0.0, 3.0]])
    np.testing.assert_allclose(far, 0, atol=1e-6)


@pytest.mark.parametrize("side", [2, 4, 16, 33])
@pytest.mark.parametrize("way", [1, 2])
def test_every_transposed_way_is_the_transpose(way, side):
    images, slopes = images_of(side=side), images_of(side=side, seed=1)
    maps = maps_of(STRAIGHT if way == 1 else TURN, side)
    np.testing.assert_array_equal(ada_resample._way(maps), [way, way])
    outcome, back = ada_resample.WAYS[way](images, maps), ada_resample.TRANSPOSED_WAYS[way](slopes, maps)
    forward, backward = (np.sum(np.float64(one) * other) for one, other in ((outcome, slopes), (back, images)))
    size = np.linalg.norm(outcome) * np.linalg.norm(slopes)
    assert abs(forward - backward) < 1e-5 * size


@pytest.mark.parametrize("side", [2, 4, 16, 33])
def test_axes_alone_are_what_any_map_gives(side):
    images, maps = images_of(side=side), maps_of(STRAIGHT, side)
    one, other = ada_resample.by_axis(images, maps), ada_resample.anywhere(images, maps)
    np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("forms", [FAST, PLAIN])
def test_gradients_of_the_first_and_second_order(forms):
    images, maps = images_of(), maps_of(TURN)

    def penalty(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = tf.reduce_sum(tf.sin(resample(x, maps)))
        return tf.reduce_sum(tape.gradient(value, x) ** 2)

    with use_forms(forms):
        with tf.GradientTape() as tape:
            tape.watch(images)
            value = penalty(images)
        slopes = tape.gradient(value, images)
        toward = slopes / tf.norm(slopes)
        step = 0.05
        measured = (penalty(images + step * toward) - penalty(images - step * toward)) / (2 * step)
    np.testing.assert_allclose(tf.norm(slopes), measured, rtol=1e-3)


def test_parts_of_a_batch_are_the_batch(monkeypatch):
    images = images_of(6)
    maps = tf.concat([maps_of(TURN), maps_of(STRAIGHT), maps_of({"xflip": [0.0, 0.0]})], axis=0)
    together = resample(images, maps)
    monkeypatch.setattr(ada_resample, "CPU_TEXELS", 1)  # one image at a time
    apart = tf.function(functools.partial(resample, maps=maps))(images)
    np.testing.assert_allclose(apart, together, atol=1e-5)
    np.testing.assert_array_equal(apart[4:], images[4:])


def test_images_must_be_square():
    with pytest.raises(ValueError, match="square"):
        resample(tf.zeros([1, 4, 8, 3]), maps_of({"xflip": [1.0]}))
