"""Alignment of crops: positions of landmarks, antialiasing, mirrored edges."""

import numpy as np
import pytest
from PIL import Image

from gan_tf.faces.align import FACE, Square, crop_square, cut, shown_twice
from tests.faces.dots import find_dots, landmarks_of, photo


def face_of(landmarks, box=(0, 0, 0, 0)):
    face = np.zeros((), FACE)
    face["landmarks"], face["box"] = landmarks, box
    return face


def expected(size, margin):
    """Returns the positions [5, 2] of the dots in a crop by the docstring of gan_tf.faces.align (|EM| is u)."""
    side = 2.75 * (1 + 2 * margin)
    return (landmarks_of(0, 0, 1.0) - (0, 0.2)) / side * size + size / 2


@pytest.mark.parametrize("degrees", [0, 10, -25, 45, 90, 180])
@pytest.mark.parametrize(("eyes", "size"), [(30.3, 128), (64.0, 64), (150.7, 48)])
def test_landmarks_are_at_the_documented_positions(eyes, size, degrees):
    around = 2.4 * eyes
    face = around + 0.37, around - 0.21, eyes, degrees
    image = photo((round(2 * around),) * 2, [face])
    square = crop_square(face_of(landmarks_of(*face)), "eyes", 0.1)
    np.testing.assert_allclose(find_dots(cut(image, square, size)), expected(size, 0.1), atol=0.1)


def test_geometry_of_a_level_face():
    square = crop_square(face_of(landmarks_of(100, 50, 40)), "eyes", 0.25)
    np.testing.assert_allclose(square, (100, 50 + 0.2 * 40, 2.75 * 40 * 1.5, 0), atol=1e-4)


def test_the_crop_of_a_face_seen_from_the_side_is_not_narrower():
    landmarks = landmarks_of(100, 50, 40)
    landmarks[:, 0] = 100 + (landmarks[:, 0] - 100) * 0.5
    square = crop_square(face_of(landmarks), "eyes", 0)
    assert square.side == pytest.approx(2.75 * 40) and square.angle == 0


def test_a_profile_is_rotated_by_eyes_and_mouth():
    landmarks = landmarks_of(100, 50, 40, 20)
    landmarks[:2] = landmarks[:2].mean(0)  # both eyes at one point
    square = crop_square(face_of(landmarks), "eyes", 0)
    assert np.degrees(square.angle) == pytest.approx(20, abs=0.01)


def test_without_alignment_the_square_is_around_the_box():
    face = face_of(landmarks_of(100, 100, 40, 30), (10, 20, 60, 100))
    assert crop_square(face, "none", 0.25) == (35, 60, 80 * 1.5, 0)


def test_a_crop_without_scaling_is_the_photograph():
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    np.testing.assert_array_equal(cut(Image.fromarray(pixels), Square(25, 20, 16, 0), 16), pixels[12:28, 17:33])


def test_the_photograph_is_mirrored_beyond_its_edge():
    pixels = np.random.default_rng(0).integers(0, 256, (12, 10, 3), np.uint8)
    crop = cut(Image.fromarray(pixels), Square(0, 12, 20, 0), 20)
    wide = np.pad(pixels, ((20, 20), (20, 20), (0, 0)), mode="symmetric")
    np.testing.assert_array_equal(crop, wide[20 + 2 : 20 + 22, 20 - 10 : 20 + 10])


@pytest.mark.parametrize("degrees", [0, 17])
def test_large_reductions_do_not_alias(degrees):
    stripes = np.zeros((800, 800, 3), np.uint8)
    stripes[:, ::2] = 255  # reading only a few pixels would give waves of black and white
    crop = cut(Image.fromarray(stripes), Square(400.3, 400.1, 500, np.radians(degrees)), 30)
    assert np.abs(crop.astype(float) - 127.5).max() <= 2


def test_share_that_shows_the_face_twice():
    """u = 40: features are from x - 30 to x + 30 and from y - 10 to y + 50, mirrored at x = 0 from 30 - x on."""
    square = Square(20, 100, 160, 0)  # from -60 on; features in 0..50, so that -50..0 shows them again
    assert shown_twice(face_of(landmarks_of(20, 100, 40)), square, 300, 300) == pytest.approx(
        50 * 60 / 160**2, abs=0.01
    )
    near = Square(28, 100, 160, 0)  # features in 0..58, of which -52..0 shows 0..52
    assert shown_twice(face_of(landmarks_of(28, 100, 40)), near, 300, 300) == pytest.approx(52 * 60 / 160**2, abs=0.01)
    assert shown_twice(face_of(landmarks_of(60, 100, 40)), Square(60, 100, 160, 0), 300, 300) == 0
    assert shown_twice(face_of(landmarks_of(100, 100, 40)), Square(100, 100, 160, 1), 300, 300) == 0
    turned = shown_twice(face_of(landmarks_of(100, 20, 40, 90)), Square(100, 20, 160, np.pi / 2), 300, 300)
    assert turned == pytest.approx(50 * 60 / 160**2, abs=0.01)
