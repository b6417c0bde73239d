"""Sliced Wasserstein distance: pyramid, patches and projections against definitions, and properties of the score."""

import numpy as np
import pytest

from gan_tf.errors import UsageError
from gan_tf.metrics import swd
from gan_tf.metrics.image_sets import random_order

from .stubs import mapped


def textures(count, side=32, grain=2, seed=0):
    """uint8 images of noise in blocks of `grain` pixels."""
    blocks = np.random.default_rng(seed).integers(0, 256, (count, side // grain, side // grain, 3))
    return blocks.repeat(grain, 1).repeat(grain, 2).astype(np.uint8)


def score(real, fake, count=60):
    return swd.measure(swd.prepare(real, count), [fake]).value


def test_pyramid_adds_up_to_the_image_and_a_constant_is_in_its_last_level():
    images = textures(2, 64).transpose(0, 3, 1, 2).astype(np.float32)
    *details, rebuilt = swd.laplacian_pyramid(images)
    assert [level.shape for level in details] == [(2, 3, 64, 64), (2, 3, 32, 32)]
    for level in reversed(details):
        rebuilt = level + swd.double(rebuilt)
    np.testing.assert_allclose(rebuilt, images, atol=1e-3)
    for level in swd.laplacian_pyramid(np.full((1, 3, 64, 64), 7, np.float32)):
        np.testing.assert_array_equal(level, 7 if level.shape[-1] == 16 else 0)


def test_resampling_is_the_binomial_filter_with_mirrored_borders():
    x = np.random.default_rng(0).normal(size=(16, 16))

    def filtered(v):  # NumPy's "reflect" is the mirror that does not repeat the border
        for axis in (0, 1):
            padded = np.pad(v, [(2, 2) if i == axis else (0, 0) for i in range(2)], "reflect")
            v = np.apply_along_axis(np.convolve, axis, padded, np.array([1, 4, 6, 4, 1]) / 16, "valid")
        return v

    np.testing.assert_allclose(swd.halve(x), filtered(x)[::2, ::2])
    spread = np.zeros((32, 32))
    spread[::2, ::2] = x
    np.testing.assert_allclose(swd.double(x), 4 * filtered(spread))


def test_patches_are_cut_around_their_centres():
    images = np.arange(2 * 3 * 16 * 16, dtype=np.float32).reshape(2, 3, 16, 16)
    rows, columns = np.array([[3, 12], [5, 5]]), np.array([[4, 12], [12, 3]])
    patches = swd.patches_at(images, rows, columns).reshape(2, 2, 3, 7, 7)
    for n in range(2):
        for p in range(2):
            r, c = rows[n, p], columns[n, p]
            expected = images[n, :, r - 3 : r + 4, c - 3 : c + 4].swapaxes(1, 2)
            np.testing.assert_array_equal(patches[n, p], expected)


def test_normalised_channels_have_mean_0_and_deviation_1_and_constant_ones_are_0():
    descriptors = np.random.default_rng(0).normal(5, 3, (200, 147)).astype(np.float32)
    descriptors[:, :49] = 2
    values = swd.normalise(descriptors, *swd.channel_statistics(descriptors)).reshape(200, 3, 49)
    np.testing.assert_allclose(values.mean((0, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(values.std((0, 2)), [0, 1, 1], atol=1e-5)


def test_distance_of_a_shifted_distribution_is_the_shift():
    points = np.sort(np.random.default_rng(0).normal(size=500)).astype(np.float32)
    assert swd.wasserstein(points, points + np.float32(0.25)) == pytest.approx(250, rel=1e-5)


@pytest.mark.parametrize("count", [60, 9, 200])  # equal to the 60 images of the score, fewer, more
def test_the_distance_of_a_set_to_itself_in_the_same_order_is_0(count):
    images = textures(count)
    assert score(images, images[random_order(count, 60)]) == 0


def test_chunks_files_and_memory_maps_change_nothing(monkeypatch, tmp_path):
    real, fake = textures(300), textures(60, seed=1)
    reals = swd.prepare(real, 60)
    whole = swd.measure(reals, [fake])
    assert swd.measure(reals, iter([fake[:7], fake[7:59], fake[59:]])) == whole
    monkeypatch.setenv("GAN_TF_CACHE", str(tmp_path))
    monkeypatch.setattr("gan_tf.io.arrays.SCRATCH_IN_MEMORY", 1000)
    assert score(mapped(tmp_path / "images", real), fake) == pytest.approx(whole.value, rel=1e-9)
    monkeypatch.setattr(swd, "BLOCK_ROWS", 100)
    assert score(real, fake) == pytest.approx(whole.value, rel=1e-5)


def test_protocol_and_levels():
    result = swd.measure(swd.prepare(textures(7, 64), 60), [textures(60, 64, seed=1)])
    assert list(result.parts) == ["level 64", "level 32", "level 16"]
    assert result.value == pytest.approx(sum(result.parts.values()) / 3)
    assert (result.protocol["reals"], result.protocol["fakes"], result.protocol["levels"]) == (7, 60, [64, 32, 16])
    with pytest.raises(UsageError, match="16x16 pixels or more, got 64x8"):
        swd.prepare(np.zeros((2, 8, 64, 3), np.uint8), 4)


def test_levels_of_other_shapes():
    with pytest.raises(UsageError, match="66x100 has too few factors of 2"):
        swd.level_sizes((100, 66))
    assert swd.level_sizes((64, 96)) == [(64, 96), (32, 48), (16, 24)]
    assert swd.level_sizes((48, 80)) == [(48, 80), (24, 40)]
    images = np.random.default_rng(0).integers(0, 256, (5, 32, 48, 3), np.uint8)
    result = swd.measure(swd.prepare(images, 8), [images[random_order(5, 8)]])
    assert result.value == 0 and list(result.parts) == ["level 48x32", "level 24x16"]
    pyramid = swd.laplacian_pyramid(np.moveaxis(images, 3, 1).astype(np.float32))
    low = swd.laplacian_pyramid(np.moveaxis(images.swapaxes(1, 2), 3, 1).astype(np.float32))
    for level, transposed in zip(pyramid, low, strict=True):
        np.testing.assert_allclose(level, transposed.swapaxes(2, 3), atol=1e-3)
