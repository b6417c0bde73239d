"""Conversion to uint8, grids, resizing, PNG files."""

import numpy as np
import pytest

from gan_tf.errors import UsageError
from gan_tf.io import image_files


def test_rounding_clips_and_inverts_the_scaling():
    values = np.array([-1.5, -1.0, -0.999, 0.0, 1.0, 1.01, 300.0], np.float32)
    np.testing.assert_array_equal(image_files.to_uint8(values), [0, 0, 0, 128, 255, 255, 255])
    values = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(image_files.to_uint8(values.astype(np.float32) / 127.5 - 1.0), values)


@pytest.mark.parametrize(
    ("count", "columns", "layout"),
    [
        (4, None, [[1, 2], [3, 4]]),
        (5, None, [[1, 2, 3], [4, 5, 0]]),
        (3, 1, [[1], [2], [3]]),
        (3, 4, [[1, 2, 3, 0]]),
        (1, None, [[1]]),
    ],
)
def test_grid_is_filled_row_by_row(count, columns, layout):
    images = np.broadcast_to(np.arange(1, count + 1, dtype=np.uint8)[:, None, None, None], (count, 2, 3, 3))
    expected = np.repeat(np.repeat(np.array(layout, np.uint8), 2, axis=0), 3, axis=1)
    np.testing.assert_array_equal(image_files.grid(images, columns), np.repeat(expected[..., None], 3, axis=2))


def test_resizing_repeats_or_averages_pixels():
    image = np.arange(4 * 4 * 3, dtype=np.uint8).reshape(4, 4, 3)
    np.testing.assert_array_equal(image_files.resize(image, (8, 8)), image.repeat(2, axis=0).repeat(2, axis=1))
    means = image.reshape(2, 2, 2, 2, 3).mean(axis=(1, 3))
    assert np.abs(image_files.resize(image, (2, 2)) - means).max() <= 0.5
    assert image_files.shrink(image[:2], 2).shape == (1, 2, 3) and image_files.shrink(image, 4) is image


@pytest.mark.parametrize(("width", "height"), [(16385, 10), (10, 16385)])
def test_too_long_sides_are_refused(width, height):
    image_files.check_image_size(16384, 16384, "--grid", "give fewer")
    with pytest.raises(UsageError, match=f"--grid.*{width}x{height}.*give fewer$"):
        image_files.check_image_size(width, height, "--grid", "give fewer")


def test_png_files_are_read_back(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    path = image_files.save_png(tmp_path / "grid.png", image)
    np.testing.assert_array_equal(image_files.read_png(path), image)
    assert image_files.png_size(path) == (7, 5)
    assert list(tmp_path.iterdir()) == [path]
