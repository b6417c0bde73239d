"""Smaller sizes of an image set: exact box means in memory and in the cache, resumption, several processes."""

import shutil
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import numpy as np
import pytest

from gan_tf.data import prepare as module
from gan_tf.data.cache import CacheWriter
from gan_tf.data.prepare import box_means, prepare
from gan_tf.data.sources import ArraySource
from gan_tf.errors import UsageError

COUNT, SIDE = 21, 32


def pixels(count=COUNT, side=SIDE, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), np.uint8)


def exact(images, size):
    """Box means by exact division, rounded as Fraction does: ties to even."""
    k = images.shape[1] // size
    sums = images.reshape(len(images), size, k, size, k, 3).astype(np.int64).sum((2, 4))
    return np.vectorize(lambda value: round(Fraction(int(value), k * k)))(sums).astype(np.uint8)


def prepare_in(tmp_path, images=None, **options):
    """Prepares a set in the cache: (ImageSet, logged lines)."""
    lines = []
    options = {"resolution": SIDE, "memory_gb": 0, "cache_dir": tmp_path / "cache", "log": lines.append} | options
    images = pixels() if images is None else images
    return prepare(ArraySource("set", images, np.arange(len(images)) % 3, "abc"), **options), lines


@pytest.mark.parametrize(("side", "size"), [(32, 16), (32, 8), (32, 4), (32, 1), (36, 12)])
def test_means_are_exact(side, size):
    images = pixels(3, side)
    np.testing.assert_array_equal(box_means(images, [size])[0], exact(images, size))


def test_ties_are_rounded_to_even():
    block = np.zeros((6, 2, 2, 3), np.uint8)
    block[:, 0, 0] = np.arange(6)[:, None] * 2  # means 0, 0.5, 1, 1.5, 2, 2.5
    np.testing.assert_array_equal(box_means(block, [1])[0][:, 0, 0, 0], [0, 0, 1, 2, 2, 2])


def test_a_size_does_not_depend_on_the_sizes_between():
    """The mean of rounded means would differ in places."""
    images = pixels(8, 64)
    sizes = (32, 16, 8, 4)
    means = dict(zip(sizes, box_means(images, sizes), strict=True))
    for size in sizes:
        np.testing.assert_array_equal(means[size], box_means(images, [size])[0])
    assert (box_means(means[32], [16])[0] != means[16]).any()


@pytest.mark.parametrize("side", [256, 1024])
def test_the_largest_sums_do_not_overflow(side):
    white = np.full((1, side, side, 3), 255, np.uint8)
    for means in box_means(white, [side // 2, side // 16, 4, 1]):
        assert (means == 255).all()


def test_memory_and_disk_hold_the_same(tmp_path):
    memory, _ = prepare_in(tmp_path, memory_gb=1)
    disk, lines = prepare_in(tmp_path)
    assert disk.mapped
    for size in (4, 16, 8):
        np.testing.assert_array_equal(memory.at(size).images, exact(pixels(), size))
        np.testing.assert_array_equal(disk.at(size).images, memory.at(size).images)
        assert disk.at(size).mapped and not memory.at(size).mapped
        assert disk.at(size).key == memory.at(size).key
    assert len(lines) == 2 and "(16, 8, 4 pixels)" in lines[1]


def test_attributes_of_a_smaller_set(tmp_path):
    full, _ = prepare_in(tmp_path, memory_gb=1)
    small = full.at(8)
    assert small.resolution == 8 and len(small) == COUNT and full.resolution == SIDE
    for name in ("labels", "names", "fingerprint", "class_names", "report", "name"):
        assert getattr(small, name) is getattr(full, name)
    keys = {full.at(size).key for size in (4, 8, 16, 32)}
    assert len(keys) == 4 and all(int(key, 16) for key in keys)
    assert full.at(8) is small and full.at(SIDE) is full and small.at(8) is small
    assert full.at(16).at(4) is full.at(4)  # reduced from the full size
    with pytest.raises(ValueError, match="no size of 32"):
        full.at(16).at(32)


@pytest.mark.parametrize("size", [64, 5, 2, 0])
def test_sizes_that_are_not_halvings_are_refused(tmp_path, size):
    full, _ = prepare_in(tmp_path, memory_gb=1)
    with pytest.raises(ValueError, match=f"no size of {size}"):
        full.at(size)


def test_cached_sizes_are_made_once_per_content(tmp_path, monkeypatch):
    one, other = prepare_in(tmp_path)[0].at(4), prepare_in(tmp_path, pixels(seed=1))[0].at(4)
    assert one.key != other.key and (one.images != other.images).any()
    monkeypatch.setattr(module, "box_means", None)  # reducing again would fail
    again, lines = prepare_in(tmp_path)
    for size in (16, 8, 4):
        np.testing.assert_array_equal(again.at(size).images, exact(pixels(), size))
    assert lines == []


def test_sizes_within_the_memory_limit_are_loaded(tmp_path):
    """A size counts together with all smaller ones."""
    full, _ = prepare_in(tmp_path, memory_gb=COUNT * 3 * (8 * 8 + 4 * 4) / 1e9)
    assert full.mapped and full.at(16).mapped
    assert not full.at(8).mapped and not full.at(4).mapped
    np.testing.assert_array_equal(full.at(8).images, exact(pixels(), 8))


def test_a_small_disk_is_detected_before_anything_is_written(tmp_path, monkeypatch):
    full, _ = prepare_in(tmp_path)
    before = sorted((tmp_path / "cache").rglob("*.bin"))
    Usage = namedtuple("Usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(100, 0, 100))
    with pytest.raises(UsageError, match="GAN_TF_CACHE"):
        full.at(4)
    assert sorted((tmp_path / "cache").rglob("*.bin")) == before


def test_an_interrupted_pass_is_repeated(tmp_path, monkeypatch):
    full, _ = prepare_in(tmp_path)
    record = CacheWriter.record

    def failing(writer, name):
        if writer.entry.shape[0] == 4:  # the sizes 16 and 8 are not finished either
            raise KeyboardInterrupt
        record(writer, name)

    monkeypatch.setattr(CacheWriter, "record", failing)
    with pytest.raises(KeyboardInterrupt):
        full.at(8)
    monkeypatch.setattr(CacheWriter, "record", record)
    for size in (16, 8, 4):
        np.testing.assert_array_equal(full.at(size).images, exact(pixels(), size))


def test_a_deleted_size_is_made_again(tmp_path):
    full, _ = prepare_in(tmp_path)
    full.at(8)
    shutil.rmtree(tmp_path / "cache" / "data" / full.at(8).key)
    again, lines = prepare_in(tmp_path)
    np.testing.assert_array_equal(again.at(8).images, exact(pixels(), 8))
    assert "(8 pixels)" in lines[0]


def test_of_two_processes_one_reduces_and_one_waits(tmp_path):
    prepare_in(tmp_path)
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda _: prepare_in(tmp_path), range(2)))
        sets = list(pool.map(lambda result: result[0].at(8), results))
    assert sorted(len(lines) for _, lines in results) == [0, 1]
    np.testing.assert_array_equal(sets[0].images, sets[1].images)
