"""Nearest-neighbour index and pixel vectors against their definitions, and invariances of the aligned distance."""

import numpy as np
import pytest

from gan_tf.errors import UsageError
from gan_tf.metrics import neighbour_index
from gan_tf.metrics.neighbour_index import (
    NeighbourIndex,
    aligned_distance,
    pixel_index,
    pixel_vectors,
    window_weights,
)

from .stubs import mapped, noise


@pytest.mark.parametrize("mirror", [False, True])
def test_the_nearest_images_are_those_of_all_pairs(mirror):
    index = pixel_index(noise(30), mirror)
    queries = pixel_vectors(noise(10, seed=1))
    rows, distances = index.nearest_images(queries, 30)
    for query, row, distance in zip(queries, rows, distances, strict=True):
        all_distances = aligned_distance(np.broadcast_to(query, index.vectors.shape), index.vectors)
        assert sorted(row % 30) == list(range(30))
        np.testing.assert_allclose(distance, np.sort(all_distances.reshape(-1, 30).min(axis=0)), rtol=1e-6)
        np.testing.assert_allclose(all_distances[row], distance, rtol=1e-6)
    np.testing.assert_array_equal(index.nearest(queries)[0], rows[:, 0])


def test_the_nearest_of_many_images():
    index = pixel_index(noise(120), mirror=True)
    queries = pixel_vectors(noise(20, seed=1))
    few, full = index.nearest_images(queries, 3)[0], index.nearest_images(queries, 120)[0]
    assert np.mean(few == full[:, :3]) > 0.95  # candidates are selected by Euclidean distance


def test_ratio_is_the_distance_over_that_of_the_neighbour():
    index = NeighbourIndex(np.array([[0], [4], [10], [18], [28]], np.float32), 5, "test")
    rows, distances = index.nearest(np.array([[1], [12], [17]], np.float32))
    np.testing.assert_array_equal(rows, [0, 2, 3])
    np.testing.assert_array_equal(distances, [1, 2, 1])
    np.testing.assert_allclose(index.ratios(rows, distances), [1 / 4, 2 / 6, 1 / 8])
    # Each training image against the others: 4/6, 4/10, 6/4, 8/6 and 10/8 of the neighbour's distance to a third.
    np.testing.assert_allclose(sorted(index.sample_ratios), [4 / 10, 4 / 6, 10 / 8, 8 / 6, 6 / 4])


def test_blocks_and_memory_maps_do_not_change_the_result(monkeypatch, tmp_path):
    vectors = pixel_vectors(noise(90))
    queries = pixel_vectors(noise(20, seed=1))
    whole = NeighbourIndex(vectors, 90, "test")
    rows, distances = whole.nearest(queries)
    monkeypatch.setattr(neighbour_index, "BLOCK_ROWS", 7)
    monkeypatch.setattr(neighbour_index, "BLOCK_VALUES", 450)
    parts = NeighbourIndex(mapped(tmp_path / "vectors", vectors), 90, "test")
    np.testing.assert_array_equal(parts.nearest(queries)[0], rows)
    np.testing.assert_allclose(parts.ratios(*parts.nearest(queries)), whole.ratios(rows, distances), rtol=1e-6)
    np.testing.assert_allclose(parts.sample_ratios, whole.sample_ratios, rtol=1e-6)


def test_a_single_image_is_an_error():
    with pytest.raises(UsageError, match="at least 2 training images, got 1"):
        pixel_index(noise(1))


# Pixel vectors


def test_vectors_are_window_means_without_mean_and_contrast(monkeypatch):
    images = noise(20)
    weights = window_weights(32).astype(np.float64)
    small = np.einsum("yh,nhwc,xw->nyxc", weights, images, weights)
    small -= small.mean((1, 2), keepdims=True)
    small /= np.sqrt(np.square(small).mean((1, 2, 3), keepdims=True) + neighbour_index.FAINT**2)
    expected = small.transpose(0, 3, 1, 2).reshape(20, -1)
    np.testing.assert_allclose(pixel_vectors(images), expected, atol=1e-4)
    monkeypatch.setattr(neighbour_index, "CHUNK_PIXELS", 3000)
    np.testing.assert_allclose(pixel_vectors(images), expected, atol=1e-4)


# Aligned distance


def spots(side=64, shift=(0, 0), zoom=1.0):
    """uint8 images [3, side, side, 3] of two soft spots, moved by `shift` and zoomed about the centre."""
    y, x = ((np.mgrid[:side, :side] + 0.5 - np.reshape(shift, (2, 1, 1))) / side - 0.5) / zoom + 0.5
    values = []
    for centre in (0.4, 0.5, 0.6):
        spot = np.exp(-((y - centre) ** 2 + (x - 0.5) ** 2) / 0.03)
        spot += np.exp(-((y - 0.3) ** 2 + (x - centre) ** 2) / 0.02)
        values.append(np.stack([spot, 1 - spot, spot**2], -1) * 100 + 20)
    return np.rint(values).astype(np.uint8)


@pytest.mark.parametrize("change", [{"shift": (2, 0)}, {"shift": (0, -3)}, {"shift": (2, 2)}, {"zoom": 1.06}])
def test_small_shifts_and_zooms_are_aligned_but_no_large_shifts(change):
    a, b, far = (pixel_vectors(spots(**options)) for options in ({}, change, {"shift": (12, 0)}))
    assert (aligned_distance(a, b) < 0.35 * np.linalg.norm(a - b, axis=1)).all()
    assert (aligned_distance(a, far) > 0.5 * np.linalg.norm(a - far, axis=1)).all()


def test_aligned_distance_is_symmetric_and_at_most_the_euclidean_distance():
    a, b = pixel_vectors(noise(20)), pixel_vectors(noise(20, seed=1))
    distance = aligned_distance(a, b)
    assert not aligned_distance(a, a).any()
    np.testing.assert_allclose(aligned_distance(b, a), distance, rtol=1e-5)
    euclidean = np.linalg.norm(a - b, axis=1)
    assert (distance <= euclidean * (1 + 1e-6)).all()
    assert (distance > 0.8 * euclidean).all()  # alignment has 3 of 768 dimensions
    constant = np.zeros_like(a)
    np.testing.assert_allclose(aligned_distance(constant, constant), 0)


def test_a_distance_does_not_depend_on_the_other_pairs():
    """Else a continued run, which searches neighbours in other groups, would measure other shares of copies."""
    a, b = pixel_vectors(noise(65)), pixel_vectors(noise(65, seed=1))
    together = aligned_distance(a, b)
    for step in (1, 3, 64):
        apart = [aligned_distance(a[i : i + step], b[i : i + step]) for i in range(0, 65, step)]
        np.testing.assert_array_equal(np.concatenate(apart), together)
