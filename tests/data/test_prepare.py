"""Decoded once, in memory or on the disk: the same pictures, also after kills."""

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections import namedtuple

import numpy as np
import pytest

from gan_tf.data import cache
from gan_tf.data.cache import read_rows
from gan_tf.data.prepare import chosen, prepare
from gan_tf.data.sources import ArraySource, FolderSource
from gan_tf.errors import UsageError
from tests.data.pictures import encoded, write

SIDE = 8


def files(count):
    return {f"{'ab'[i % 2]}/{i:02}.png": encoded(i) for i in range(count)}


@pytest.fixture
def source(tmp_path):
    return FolderSource(write(tmp_path / "set", files(7) | {"a/03bad.png": b"?"}))


def mapped(source, tmp_path, **options):
    said = []
    options = {"resolution": SIDE, "memory_gb": 0, "cache_dir": tmp_path / "cache", "log": said.append} | options
    return prepare(source, **options), said


def test_memory_and_disk_hold_the_same(source, tmp_path):
    memory = prepare(source, resolution=SIDE)
    disk, said = mapped(source, tmp_path)
    assert disk.mapped and not memory.mapped and len(said) == 1 and "of disk needed in" in said[0]
    assert len(memory) == 7 and memory.resolution == SIDE and memory.images.dtype == np.uint8
    for left, right in ((disk.images, memory.images), (disk.labels, memory.labels)):
        np.testing.assert_array_equal(left, right)
    assert disk.names == memory.names and disk.fingerprint == memory.fingerprint == source.fingerprint
    assert disk.report == memory.report and list(memory.report.unreadable) == ["a/03bad.png"]
    np.testing.assert_array_equal(memory.labels, [name[0] == "b" for name in memory.names])


def test_a_finished_entry_is_used_again(source, tmp_path, monkeypatch):
    first, _ = mapped(source, tmp_path)
    monkeypatch.setattr("gan_tf.data.prepare.load_square", None)  # decoding again would fail
    again, said = mapped(FolderSource(source.folder), tmp_path)
    in_memory, _ = mapped(FolderSource(source.folder), tmp_path, memory_gb=1)
    assert again.mapped and not in_memory.mapped and said == []
    for other in (again, in_memory):
        np.testing.assert_array_equal(other.images, first.images)
        assert other.report == first.report


@pytest.mark.parametrize(
    "other", [{"resolution": 16}, {"fit": "pad"}, {"fit": "pad", "background": "black"}, {"limit": 3}]
)
def test_other_settings_make_another_entry(source, tmp_path, other):
    mapped(source, tmp_path)
    _, said = mapped(source, tmp_path, **other)
    assert len(said) == 1


def test_changed_data_make_another_entry(source, tmp_path):
    before, _ = mapped(source, tmp_path)
    (source.folder / "a/00.png").write_bytes(encoded(99))
    after, said = mapped(FolderSource(source.folder), tmp_path)
    assert len(said) == 1 and after.fingerprint != before.fingerprint
    assert (after.images[0] != before.images[0]).any()


def test_limit_is_spread_evenly():
    np.testing.assert_array_equal(chosen(10, None), np.arange(10))
    np.testing.assert_array_equal(chosen(10, 20), np.arange(10))
    np.testing.assert_array_equal(chosen(10, 4), [1, 3, 6, 8])
    with pytest.raises(UsageError, match="--limit must be positive, got 0"):
        chosen(10, 0)


def test_limit_is_reported(source):
    prepared = prepare(source, resolution=SIDE, limit=4)
    assert len(prepared) == 4 and prepared.report.left_out == 4
    assert set(prepared.labels) == {0, 1}


def test_too_small_a_disk_is_found_out_before_anything_is_written(source, tmp_path, monkeypatch):
    Usage = namedtuple("Usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(100, 0, 100))
    with pytest.raises(UsageError, match=r"needs 1 MB but .* has 1 MB free; set GAN_TF_CACHE"):
        mapped(source, tmp_path)
    assert not list((tmp_path / "cache").rglob("*.bin"))


def test_nothing_readable_ends_in_one_line(tmp_path):
    source = FolderSource(write(tmp_path / "set", {"a.png": b"?", "b.png": b""}))
    for memory_gb in (0, 1):
        with pytest.raises(UsageError, match="none of 2 images is readable; a.png: .* .and 1 more"):
            mapped(source, tmp_path, memory_gb=memory_gb)


def test_wrong_settings_are_named(source):
    for options, message in (({"fit": "squeeze"}, "--fit"), ({"background": "whitish"}, "--background")):
        with pytest.raises(UsageError, match=message):
            prepare(source, resolution=SIDE, **options)


def test_a_damaged_entry_is_named(source, tmp_path):
    mapped(source, tmp_path)
    [path] = (tmp_path / "cache").rglob("images.bin")
    os.truncate(path, 10)
    with pytest.raises(UsageError, match="is damaged; delete this folder"):
        mapped(source, tmp_path)


def test_an_interrupted_conversion_goes_on(source, tmp_path, monkeypatch):
    """Cut off after each picture in turn; rows written behind the last record of progress are made again."""
    want = prepare(source, resolution=SIDE)
    monkeypatch.setattr(cache, "FLUSH_BYTES", 2 * SIDE * SIDE * 3)
    read, reads = FolderSource.read, []

    def failing(self, i):
        reads.append(i)
        if i == stop:
            raise KeyboardInterrupt
        return read(self, i)

    source.digests  # noqa: B018  hash first, so that only the conversion's reads are counted
    monkeypatch.setattr(FolderSource, "read", failing)
    for stop in (5, 7, 2, None):
        reads.clear()
        if stop is not None and stop > 2:
            with pytest.raises(KeyboardInterrupt):
                mapped(source, tmp_path)
            [partial] = (tmp_path / "cache" / "data").glob("*.partial")
            with open(partial / "images.bin", "ab") as file:
                file.write(b"half a row")
        elif stop is None:
            got, said = mapped(source, tmp_path)
            assert min(reads) >= 4 and "images are done already" in said[0]
    np.testing.assert_array_equal(got.images, want.images)
    assert got.report == want.report


def test_killed_processes_leave_what_the_next_one_continues(tmp_path):
    """SIGKILL in the middle of a conversion, twice; the third process ends with the right pictures."""
    folder = write(tmp_path / "set", files(30))
    script = textwrap.dedent(
        """
        import os, signal, sys
        from gan_tf.data import cache
        from gan_tf.data.prepare import prepare
        from gan_tf.data.sources import FolderSource

        folder, root, last = sys.argv[1], sys.argv[2], int(sys.argv[3])
        cache.FLUSH_BYTES = 3 * 8 * 8 * 3
        source = FolderSource(folder)
        source.digests
        read = source.read
        def deadly(i):
            if i == last:
                os.kill(os.getpid(), signal.SIGKILL)
            return read(i)
        source.read = deadly
        prepare(source, resolution=8, memory_gb=0, cache_dir=root)
        """
    )
    progress = []
    for last in (14, 28, -1):
        command = [sys.executable, "-c", script, str(folder), str(tmp_path / "cache"), str(last)]
        code = subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode
        assert code == (0 if last < 0 else -signal.SIGKILL)
        records = list((tmp_path / "cache").rglob("progress.json"))
        progress.append(json.loads(records[0].read_text())["done"])
    assert progress[0] <= 14 and progress[0] < progress[1] <= 28
    got, said = mapped(FolderSource(folder), tmp_path)
    assert said == []
    np.testing.assert_array_equal(got.images, prepare(FolderSource(folder), resolution=SIDE).images)


def test_rows_read_from_the_file_are_those_of_the_map(source, tmp_path):
    images, _ = mapped(source, tmp_path)
    index = np.array([3, 0, 3, 6])
    np.testing.assert_array_equal(read_rows(images.images, index), images.images[index])
    np.testing.assert_array_equal(read_rows(np.asarray(images.images), index), images.images[index])
    os.truncate(images.images.filename, 3 * SIDE * SIDE * 3)
    with pytest.raises(OSError, match="ends before image 6"):
        read_rows(images.images, [6])


def test_two_processes_convert_once(source, tmp_path):
    """The second one waits for the first and finds the entry finished."""
    from concurrent.futures import ThreadPoolExecutor

    source.digests  # noqa: B018
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda _: mapped(source, tmp_path), range(2)))
    assert sorted(len(said) for _, said in results) == [0, 1]
    np.testing.assert_array_equal(results[0][0].images, results[1][0].images)


def test_pictures_of_the_target_size_are_kept_as_they_are():
    pixels = np.random.default_rng(0).integers(0, 256, (4, SIDE, SIDE, 3), np.uint8)
    np.testing.assert_array_equal(prepare(ArraySource("set", pixels), resolution=SIDE).images, pixels)
