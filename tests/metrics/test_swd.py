import numpy as np
import pytest

from gan_tf.errors import UsageError
from gan_tf.metrics import swd


def textures(count, side=32, grain=2, seed=0):
    """uint8 images of noise in blocks of `grain` pixels."""
    blocks = np.random.default_rng(seed).integers(0, 256, (count, side // grain, side // grain, 3))
    return blocks.repeat(grain, 1).repeat(grain, 2).astype(np.uint8)


def score(real, fake, count=60, seed=0):
    return swd.measure(swd.prepare(real, count, seed), [fake])


def rebuilt(levels):
    image = levels[-1]
    for level in reversed(levels[:-1]):
        image = level + swd.double_columns(swd.double_rows(image))
    return image


def test_pyramid_of_a_constant_is_its_low_pass_alone():
    levels = swd.laplacian_pyramid(np.full((1, 3, 64, 64), 7, np.float32))
    assert [level.shape for level in levels] == [(1, 3, 64, 64), (1, 3, 32, 32), (1, 3, 16, 16)]
    assert not levels[0].any() and not levels[1].any()
    np.testing.assert_array_equal(levels[2], 7)


def test_pyramid_adds_up_to_the_image():
    images = textures(2, 64).transpose(0, 3, 1, 2).astype(np.float32)
    np.testing.assert_allclose(rebuilt(swd.laplacian_pyramid(images)), images, atol=1e-3)


@pytest.mark.parametrize("axis", [0, 1])
def test_resampling_is_the_filter_over_mirrored_borders(axis):
    x = np.random.default_rng(0).normal(size=(16, 16))
    halve, double = [(swd.halve_rows, swd.double_rows), (swd.halve_columns, swd.double_columns)][axis]
    taps = np.array([1, 4, 6, 4, 1]) / 16

    def filtered(v):  # along `axis`; NumPy's "reflect" is the mirror that does not repeat the border
        padded = np.pad(v, [(2, 2) if i == axis else (0, 0) for i in range(2)], "reflect")
        return np.apply_along_axis(np.convolve, axis, padded, taps, "valid")

    every_second = (slice(None, None, 2), slice(None)) if axis == 0 else (slice(None), slice(None, None, 2))
    np.testing.assert_allclose(halve(x), filtered(x)[every_second])
    spread = np.zeros((32, 16) if axis == 0 else (16, 32))
    spread[every_second] = x
    np.testing.assert_allclose(double(x), 2 * filtered(spread))


def test_patches_are_cut_around_their_centres():
    images = np.arange(2 * 3 * 16 * 16, dtype=np.float32).reshape(2, 3, 16, 16)
    rows, columns = np.array([[3, 12], [5, 5]]), np.array([[4, 12], [12, 3]])
    patches = swd.patches_at(images, rows, columns).reshape(2, 2, 3, 7, 7)
    for n in range(2):
        for p in range(2):
            r, c = rows[n, p], columns[n, p]
            want = images[n, :, r - 3 : r + 4, c - 3 : c + 4].swapaxes(1, 2)
            np.testing.assert_array_equal(patches[n, p], want)


def test_normalised_channels_have_no_mean_and_unit_deviation_and_flat_ones_are_zero():
    descriptors = np.random.default_rng(0).normal(5, 3, (200, 147)).astype(np.float32)
    descriptors[:, :49] = 2
    values = swd.normalise(descriptors, 3).reshape(200, 3, 49)
    np.testing.assert_allclose(values.mean((0, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(values.std((0, 2)), [0, 1, 1], atol=1e-5)


def test_distance_of_a_shifted_distribution_is_the_shift():
    points = np.random.default_rng(0).normal(size=(500, 1)).astype(np.float32)
    one = np.ones((1, 1), np.float32)
    real = swd.sorted_projections(points, one)
    fake = swd.sorted_projections(points[::-1] + np.float32(0.25), one)
    assert swd.distance(real, fake) == pytest.approx(250, rel=1e-5)


def test_directions_have_unit_length():
    directions = swd.unit_directions(np.random.default_rng(0).normal(size=(147, 8)))
    np.testing.assert_allclose(np.linalg.norm(directions, axis=0), 1, rtol=1e-6)


def test_other_textures_score_worse_than_the_same_and_the_same_images_best():
    real = textures(60)
    fakes = real, textures(60, seed=1), textures(60, grain=8, seed=1)
    same, alike, other = (score(real, fake) for fake in fakes)
    assert 0 < same < alike < other / 2


@pytest.mark.parametrize("count", [60, 9, 200])  # as many as are wanted, fewer, more
def test_a_set_gone_through_as_the_reals_are_is_at_distance_0_from_itself(count):
    images = textures(count)
    assert score(images, images[swd.choice(count, 60, 0)]) == 0


def test_colour_cast_and_contrast_are_invisible():
    real, fake = textures(60) // 2, textures(60, seed=1) // 2
    assert score(real, fake // 2 + 40) == pytest.approx(score(real, fake), rel=0.05)


def test_score_does_not_depend_on_the_batches_and_follows_the_seed():
    real, fake = textures(40), textures(60, seed=1)
    side = swd.prepare(real, 60, 5)
    whole = swd.measure(side, [fake])
    assert swd.measure(side, [fake[:7], fake[7:59], fake[59:]]) == whole
    assert swd.measure(swd.prepare(real, 60, 5), iter([fake])) == whole
    assert swd.measure(swd.prepare(real, 60, 6), [fake]) != whole


def test_fewer_reals_are_cycled_and_more_are_chosen_from(tmp_path):
    few, many = textures(7), textures(300)
    projections = list(swd.prepare(few, 60, 0).projections[0])
    assert np.concatenate(projections).shape == (swd.DIRECTIONS, 60 * swd.PATCHES_PER_IMAGE)
    mapped = np.memmap(tmp_path / "images", np.uint8, "w+", shape=many.shape)
    mapped[:] = many
    assert score(mapped, textures(60, seed=1)) == score(many, textures(60, seed=1))
    assert swd.prepare(many, 60, 0).protocol["reals"] == 300


def test_levels_are_given_besides_their_mean():
    found = swd.scores(swd.prepare(textures(60, 64), 60, 0), [textures(60, 64, seed=1)])
    assert list(found) == ["mean", "64", "32", "16"]
    assert found["mean"] == pytest.approx((found["64"] + found["32"] + found["16"]) / 3)


def test_tables_on_the_disk_and_small_blocks_change_nothing(monkeypatch):
    real, fake = textures(40), textures(60, seed=1)
    in_memory = score(real, fake)
    monkeypatch.setattr("gan_tf.metrics.spool.MEMORY_BYTES", 1000)
    assert score(real, fake) == in_memory
    monkeypatch.setattr(swd, "BLOCK_ROWS", 100)
    assert score(real, fake) == pytest.approx(in_memory, rel=1e-5)


def test_a_full_disk_is_said_in_one_line(monkeypatch):
    def full(self):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gan_tf.metrics.spool.MEMORY_BYTES", 1000)
    monkeypatch.setattr("tempfile.SpooledTemporaryFile.rollover", full)
    with pytest.raises(UsageError, match="No space left on device.*TMPDIR"):
        swd.prepare(textures(4), 60, 0)


def test_wrong_sizes_are_named():
    for side in (8, 48):
        with pytest.raises(UsageError, match=f"power of two >= 16, got {side}"):
            swd.prepare(np.zeros((2, side, side, 3), np.uint8), 4, 0)
    side = swd.prepare(textures(4), 60, 0)
    for count, got in ((59, "59"), (61, "more")):
        with pytest.raises(ValueError, match=f"60 images, got {got}"):
            swd.measure(side, [textures(count)])
