import numpy as np
import pytest

from gan_tf.metrics import copy_panel
from gan_tf.metrics.memorisation import Pair


def ramp(count, side=32):
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), np.uint8)


def test_generated_images_stand_above_their_training_images():
    fakes, reals = ramp(3), 255 - ramp(3)
    pairs = [Pair(fakes[0], 2, False, 1.0, 0.1), Pair(fakes[1], 0, True, 2.0, 0.9)]
    picture = copy_panel.panel(pairs, reals, threshold=0.5)
    assert picture.shape == (2 * 32 + 3 + copy_panel.LEAST_CAPTION, 2 * 34, 3) and picture.dtype == np.uint8
    first, second = picture[:, :34], picture[:, 34:]
    np.testing.assert_array_equal(first[1:33, 1:33], fakes[0])
    np.testing.assert_array_equal(first[34:66, 1:33], reals[2])
    np.testing.assert_array_equal(second[34:66, 1:33], reals[0, :, ::-1])
    assert (first[:66, 0] == copy_panel.COPY).all() and (second[:66, 0] == copy_panel.NEW).all()
    assert (first[67:] != copy_panel.COPY).any() and (second[67:] != copy_panel.NEW).any()  # the ratios are written


def test_sixteen_pairs_make_two_rows_and_large_images_are_shown_smaller():
    pairs = [Pair(image, 0, False, 1.0, 1.0) for image in ramp(16, 512)]
    height, width, _ = copy_panel.panel(pairs, ramp(1, 512), 0.5).shape
    assert (height, width) == (2 * (2 * 256 + 3 * 8 + 32), 8 * (256 + 16))


def test_no_pairs_no_panel():
    with pytest.raises(ValueError, match="at least one pair"):
        copy_panel.panel([], ramp(1), 0.5)
