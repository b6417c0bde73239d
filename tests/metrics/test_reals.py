"""Features of real images are computed once, whatever stops the computation."""

import numpy as np
import pytest

from gan_tf.io.files import cache_root
from gan_tf.metrics.reals import CHUNK_IMAGES, RealFeatures, Reals

from .stand_in import Extractor, cell_means, spread

IMAGES = np.random.default_rng(0).integers(0, 256, (3 * CHUNK_IMAGES + 7, 16, 16, 3), np.uint8)


class Stopped(Exception):
    pass


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GAN_TF_CACHE", str(tmp_path))


def real_features(extractor, images=IMAGES, key="a" * 32):
    return RealFeatures(Reals(images, key, "noise"), extractor)


def stored():
    return sorted((cache_root() / "features").glob("*.f32"))


def test_rows_are_the_images_in_their_order():
    found = real_features(Extractor()).features
    assert (found.dtype, found.shape) == (np.float32, (len(IMAGES), 2048))
    np.testing.assert_array_equal(found, spread(cell_means(IMAGES), 2048))


def test_mirrored_rows_are_of_the_mirror_images():
    found = real_features(Extractor()).compute(mirrored=True)
    np.testing.assert_array_equal(found, spread(cell_means(IMAGES[:, :, ::-1]), 2048))


def test_moments_are_those_of_all_rows():
    moments = real_features(Extractor(), images=IMAGES[:20]).moments
    cells = spread(cell_means(IMAGES[:20]), 2048)
    assert moments.count == 20
    np.testing.assert_allclose(moments.mean, cells.mean(axis=0, dtype=np.float64), rtol=1e-6)
    np.testing.assert_allclose(moments.covariance()[:5, :5], np.cov(cells[:, :5], rowvar=False), rtol=1e-5)


def test_they_are_computed_once_for_all_processes():
    first, second = Extractor(), Extractor()
    here = real_features(first).features
    again = real_features(second).features
    assert (first.streams, second.streams) == ([len(IMAGES)], [])
    np.testing.assert_array_equal(here, again)
    assert isinstance(again, np.memmap) and not again.flags.writeable
    with pytest.raises(FileNotFoundError):
        stored()[0].with_suffix(".partial").stat()


@pytest.mark.parametrize(
    "change",
    [{"key": "b" * 32}, {"resize": "clean"}, {"custom": "0123456789abcdef"}, {"precision": "bfloat16"}, {"mirror": 1}],
    ids=lambda change: next(iter(change)),
)
def test_other_images_or_another_network_are_other_features(change):
    _ = real_features(Extractor()).features
    key = change.pop("key", "a" * 32)
    mirror = change.pop("mirror", 0)
    extractor = Extractor(**change)
    found = real_features(extractor, key=key)
    found.compute(mirrored=bool(mirror))
    assert extractor.streams == [len(IMAGES)]
    assert len(stored()) == 2


def stop_at(count):
    def watch(done, total, what):
        assert (total, what) == (len(IMAGES), "real images measured")
        if done >= count:
            raise Stopped

    return watch


def test_what_was_computed_before_a_stop_is_kept():
    first, second = Extractor(), Extractor()
    with pytest.raises(Stopped):
        _ = real_features(first).compute(stop_at(48))
    assert stored() == []
    seen = []
    found = real_features(second).compute(lambda done, total, verb: seen.append(done))
    assert second.streams == [len(IMAGES) - 48]
    assert seen[0] == 64 and seen[-1] == len(IMAGES)
    np.testing.assert_array_equal(found, spread(cell_means(IMAGES), 2048))


def test_a_row_cut_in_the_middle_is_computed_again():
    with pytest.raises(Stopped):
        _ = real_features(Extractor()).compute(stop_at(48))
    [partial] = (cache_root() / "features").glob("*.partial")
    with open(partial, "r+b") as file:
        file.truncate(partial.stat().st_size - 100)
    extractor = Extractor()
    found = real_features(extractor).features
    assert extractor.streams == [len(IMAGES) - 47]
    np.testing.assert_array_equal(found, spread(cell_means(IMAGES), 2048))


@pytest.mark.parametrize("size", [0, 100, 2048 * 4 * 5, 2048 * 4 * len(IMAGES) + 4])
def test_a_file_of_another_length_is_computed_again(size):
    _ = real_features(Extractor()).features
    with open(stored()[0], "r+b") as file:
        file.truncate(size)
    found = real_features(Extractor()).features
    np.testing.assert_array_equal(found, spread(cell_means(IMAGES), 2048))
    assert stored()[0].stat().st_size == found.nbytes


def test_a_partial_file_that_is_too_long_is_cut():
    _ = real_features(Extractor()).features
    with open(stored()[0], "ab") as file:
        file.write(b"12345678")
    stored()[0].rename(stored()[0].with_suffix(".partial"))
    found = real_features(Extractor()).features
    assert stored()[0].stat().st_size == found.nbytes
    np.testing.assert_array_equal(found, spread(cell_means(IMAGES), 2048))


def test_protocol_tells_number_key_source_and_resolution():
    assert Reals(IMAGES, "0123456789abcdef0123", "panda").protocol == {
        "reals": len(IMAGES),
        "reals_key": "0123456789abcdef",
        "reals_source": "panda",
        "resolution": 16,
    }
