"""Smaller sizes: exact box means on every path, made once, also after kills."""

import shutil
import signal
import subprocess
import sys
import textwrap
from collections import namedtuple
from fractions import Fraction

import numpy as np
import pytest

from gan_tf.data import reduce
from gan_tf.data.cache import Writer
from gan_tf.data.prepare import prepare
from gan_tf.data.reduce import box_means
from gan_tf.data.sources import ArraySource
from gan_tf.errors import UsageError

COUNT, SIDE = 21, 32


def pixels(count=COUNT, side=SIDE, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), np.uint8)


def exact(images, size):
    """The rule itself: integer sums, one exact division, `rint`'s rounding, which is that of a Fraction."""
    k = images.shape[1] // size
    sums = images.reshape(len(images), size, k, size, k, 3).astype(np.int64).sum((2, 4))
    return np.vectorize(lambda value: round(Fraction(int(value), k * k)))(sums).astype(np.uint8)


def made(tmp_path, images=None, **options):
    said = []
    options = {"resolution": SIDE, "memory_gb": 0, "cache_dir": tmp_path / "cache", "log": said.append} | options
    images = pixels() if images is None else images
    return prepare(ArraySource("set", images, np.arange(len(images)) % 3, "abc"), **options), said


@pytest.mark.parametrize("size", [16, 8, 4, 2, 1])
def test_means_are_exact(size):
    images = pixels(3)
    np.testing.assert_array_equal(box_means(images, [size])[0], exact(images, size))


def test_ties_go_to_the_even_neighbour():
    block = np.zeros((6, 2, 2, 3), np.uint8)
    block[:, 0, 0] = np.arange(6)[:, None] * 2  # means 0, 0.5, 1, 1.5, 2, 2.5
    np.testing.assert_array_equal(box_means(block, [1])[0][:, 0, 0, 0], [0, 0, 1, 2, 2, 2])


def test_a_small_size_does_not_depend_on_those_between():
    """The mean of rounded means would be another one in places."""
    images = pixels(8, 64)
    many = box_means(images, [32, 16, 8, 4])
    twice = box_means(many[0], [16])[0]
    for size, means in zip((32, 16, 8, 4), many, strict=True):
        np.testing.assert_array_equal(means, box_means(images, [size])[0])
    assert (twice != many[1]).any()


@pytest.mark.parametrize("side", [256, 1024])
def test_the_largest_sums_do_not_overflow(side):
    white = np.full((1, side, side, 3), 255, np.uint8)
    for means in box_means(white, [side // 2, side // 16, 4, 1]):
        assert (means == 255).all()


def test_other_ratios_than_powers_of_two():
    images = pixels(2, 36)
    np.testing.assert_array_equal(box_means(images, [12])[0], exact(images, 12))


def test_memory_and_disk_hold_the_same(tmp_path):
    memory, _ = made(tmp_path, memory_gb=1)
    disk, said = made(tmp_path)
    assert disk.mapped
    for size in (4, 16, 8):
        np.testing.assert_array_equal(memory.at(size).images, exact(pixels(), size))
        np.testing.assert_array_equal(disk.at(size).images, memory.at(size).images)
        assert disk.at(size).mapped and not memory.at(size).mapped
        assert disk.at(size).key == memory.at(size).key
    assert len(said) == 2 and "(16, 8, 4 pixels)" in said[1] and "of disk needed in" in said[1]


def test_what_stays_and_what_changes(tmp_path):
    full, _ = made(tmp_path, memory_gb=1)
    small = full.at(8)
    assert small.resolution == 8 and len(small) == COUNT and full.resolution == SIDE
    for name in ("labels", "names", "fingerprint", "class_names", "report", "name"):
        assert getattr(small, name) is getattr(full, name)
    keys = {full.at(size).key for size in (4, 8, 16, 32)}
    assert len(keys) == 4 and all(int(key, 16) for key in keys)
    assert full.at(8) is small and full.at(SIDE) is full and small.at(8) is small


def test_a_smaller_set_reduces_the_full_pictures(tmp_path):
    full, _ = made(tmp_path, memory_gb=1)
    assert full.at(16).at(4) is full.at(4)
    with pytest.raises(ValueError, match="a set of 16x16 pixels has no size of 32"):
        full.at(16).at(32)


@pytest.mark.parametrize("size", [64, 5, 0, -4])
def test_sizes_that_do_not_divide_are_refused(tmp_path, size):
    full, _ = made(tmp_path, memory_gb=1)
    with pytest.raises(ValueError, match=f"no size of {size}; it must divide 32"):
        full.at(size)


def test_sizes_of_a_mapped_set_are_made_once(tmp_path, monkeypatch):
    made(tmp_path)[0].at(4)
    monkeypatch.setattr(reduce, "box_means", None)  # reducing again would fail
    again, said = made(tmp_path)
    for size in (16, 8, 4):
        np.testing.assert_array_equal(again.at(size).images, exact(pixels(), size))
    assert said == []


def test_a_mapped_set_may_have_sizes_of_other_ratios(tmp_path):
    full, _ = made(tmp_path, pixels(4, 36), resolution=36)
    for size in (12, 18, 9):
        np.testing.assert_array_equal(full.at(size).images, exact(pixels(4, 36), size))


def test_what_fits_the_memory_is_loaded(tmp_path):
    """A size counts together with those below it."""
    budget = COUNT * 3 * (8 * 8 + 4 * 4) / 1e9
    full, _ = made(tmp_path, memory_gb=budget)
    assert full.mapped and full.at(16).mapped
    assert not full.at(8).mapped and not full.at(4).mapped
    np.testing.assert_array_equal(full.at(8).images, exact(pixels(), 8))


def test_other_pictures_have_other_sizes(tmp_path):
    one, other = made(tmp_path)[0].at(8), made(tmp_path, pixels(seed=1))[0].at(8)
    assert one.key != other.key and (one.images != other.images).any()


def test_too_small_a_disk_is_found_out_before_anything_is_written(tmp_path, monkeypatch):
    full, _ = made(tmp_path)
    before = sorted((tmp_path / "cache").rglob("*.bin"))
    Usage = namedtuple("Usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(100, 0, 100))
    with pytest.raises(UsageError, match=r"needs 1 MB but .* has 1 MB free; set GAN_TF_CACHE"):
        full.at(4)
    assert sorted((tmp_path / "cache").rglob("*.bin")) == before


@pytest.mark.parametrize("records", [1, 4, 5, 9])
def test_an_interrupted_pass_goes_on(tmp_path, monkeypatch, records):
    """Cut off between the records of two sizes too; what lies behind a record is made again."""
    row = SIDE * SIDE * 3
    monkeypatch.setattr(reduce, "CHUNK_BYTES", row)
    monkeypatch.setattr(reduce, "RECORD_BYTES", 4 * row)
    full, said = made(tmp_path)
    record, left = Writer.record, [records]

    def failing(writer, *name):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        record(writer, *name)

    monkeypatch.setattr(Writer, "record", failing)
    with pytest.raises(KeyboardInterrupt):
        full.at(8)
    for partial in (tmp_path / "cache" / "data").glob("*.partial"):
        with open(partial / "images.bin", "ab") as file:
            file.write(b"half a row")
    monkeypatch.setattr(Writer, "record", record)
    for size in (16, 8, 4):
        np.testing.assert_array_equal(full.at(size).images, exact(pixels(), size))
    assert said[-1].endswith(f", {records // 3 * 4} of 21 images are done already") == (records >= 3)


def test_a_size_that_lost_its_record_is_made_from_the_beginning(tmp_path):
    full, _ = made(tmp_path)
    full.at(8)
    shutil.rmtree(tmp_path / "cache" / "data" / full.at(8).key)
    again, said = made(tmp_path)
    np.testing.assert_array_equal(again.at(8).images, exact(pixels(), 8))
    assert "once (8 pixels)" in said[0]


def test_killed_processes_leave_what_the_next_one_continues(tmp_path):
    """SIGKILL in the middle of the pass, between the records of two sizes; another process goes on and ends right."""
    script = textwrap.dedent(
        """
        import os, signal, sys
        import numpy as np
        from gan_tf.data import cache, reduce
        from gan_tf.data.prepare import prepare
        from gan_tf.data.sources import ArraySource

        root, records = sys.argv[1], int(sys.argv[2])
        images = np.random.default_rng(0).integers(0, 256, (21, 32, 32, 3), np.uint8)
        full = prepare(ArraySource("set", images, np.arange(21) % 3, "abc"), resolution=32, memory_gb=0, cache_dir=root)
        reduce.CHUNK_BYTES = images[0].nbytes
        reduce.RECORD_BYTES = 4 * images[0].nbytes
        record = cache.Writer.record
        def deadly(writer, *name):
            global records
            if not records:
                os.kill(os.getpid(), signal.SIGKILL)
            records -= 1
            record(writer, *name)
        cache.Writer.record = deadly
        full.at(8)
        """
    )
    said = []
    for records in (5, 4, -1):
        command = [sys.executable, "-c", script, str(tmp_path / "cache"), str(records)]
        result = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
        assert result.returncode == (0 if records < 0 else -signal.SIGKILL)
        said.append(result.stdout)
    assert "smaller sizes once" in said[2] and " of 21 images are done already" in said[2]
    full, _ = made(tmp_path)
    for size in (16, 8, 4):
        np.testing.assert_array_equal(full.at(size).images, exact(pixels(), size))


def test_two_processes_reduce_once(tmp_path):
    """The second one waits for the first and finds the sizes made."""
    from concurrent.futures import ThreadPoolExecutor

    made(tmp_path)
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda _: made(tmp_path), range(2)))
        sets = list(pool.map(lambda result: result[0].at(8), results))
    assert sorted(len(said) for _, said in results) == [0, 1]
    np.testing.assert_array_equal(sets[0].images, sets[1].images)
