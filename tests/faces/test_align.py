"""Alignment of crops: positions of landmarks, antialiasing, mirrored edges."""

import numpy as np
import pytest
from PIL import Image

from gan_tf.faces.results import FACE
from gan_tf.faces.search import Square, crop_square, cut, shown_twice
from tests.faces.dots import find_dots, landmarks_of, photo


def face_of(landmarks, box=(0, 0, 0, 0)):
    face = np.zeros((), FACE)
    face["landmarks"], face["box"] = landmarks, box
    return face


def expected(size, margin):
    """Returns the positions [5, 2] of the dots in a crop by the docstring of gan_tf.faces.search (|EM| is u)."""
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


def test_the_crop_of_a_face_seen_from_the_side():
    landmarks = landmarks_of(100, 50, 40)
    landmarks[:, 0] = 100 + (landmarks[:, 0] - 100) * 0.5
    square = crop_square(face_of(landmarks), "eyes", 0)
    assert square.side == pytest.approx(2.75 * 40) and square.angle == 0  # not narrower
    landmarks = landmarks_of(100, 50, 40, 20)
    landmarks[:2] = landmarks[:2].mean(0)  # a profile, with both eyes at one point
    square = crop_square(face_of(landmarks), "eyes", 0)
    assert np.degrees(square.angle) == pytest.approx(20, abs=0.01)


def test_without_alignment_the_square_is_around_the_box():
    face = face_of(landmarks_of(100, 100, 40, 30), (10, 20, 60, 100))
    assert crop_square(face, "none", 0.25) == (35, 60, 80 * 1.5, 0)


def test_a_crop_without_scaling_is_the_photograph_mirrored_beyond_its_edge():
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

    def share(x, y, degrees=0, angle=0.0):
        return shown_twice(face_of(landmarks_of(x, y, 40, degrees)), Square(x, y, 160, angle), 300, 300)

    # From -60 on; features in 0..50, so that -50..0 shows them again.
    assert share(20, 100) == pytest.approx(50 * 60 / 160**2, abs=0.01)
    assert share(28, 100) == pytest.approx(52 * 60 / 160**2, abs=0.01)  # features in 0..58; -52..0 shows 0..52
    assert share(60, 100) == share(100, 100, angle=1) == 0
    assert share(100, 20, 90, np.pi / 2) == pytest.approx(50 * 60 / 160**2, abs=0.01)
