"""Prepared image sets: memory and cache, resumption after kills, several processes, errors."""

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from gan_tf.data.cache import read_rows
from gan_tf.data.prepare import prepare, select_rows
from gan_tf.data.sources import FolderSource
from gan_tf.errors import UsageError
from tests.data.encoded import encoded, write

SIDE = 8


def files(count):
    return {f"{'ab'[i % 2]}/{i:02}.png": encoded(i) for i in range(count)}


@pytest.fixture
def source(tmp_path):
    return FolderSource(write(tmp_path / "set", files(7) | {"a/03bad.png": b"?"}))


def prepare_in(tmp_path, source, **options):
    """Prepares a set in the cache: (ImageSet, logged lines)."""
    lines = []
    options = {"resolution": SIDE, "memory_gb": 0, "cache_dir": tmp_path / "cache", "log": lines.append} | options
    return prepare(source, **options), lines


def test_memory_and_disk_hold_the_same(source, tmp_path):
    memory = prepare(source, resolution=SIDE)
    disk, lines = prepare_in(tmp_path, source)
    assert disk.mapped and not memory.mapped and len(lines) == 1
    assert len(memory) == 7 and memory.resolution == SIDE and memory.images.dtype == np.uint8
    np.testing.assert_array_equal(disk.images, memory.images)
    np.testing.assert_array_equal(disk.labels, memory.labels)
    assert disk.names == memory.names and disk.fingerprint == memory.fingerprint == source.fingerprint
    assert disk.report == memory.report and list(memory.report.unreadable) == ["a/03bad.png"]
    np.testing.assert_array_equal(memory.labels, [name[0] == "b" for name in memory.names])


def test_a_finished_entry_is_used_again(source, tmp_path, monkeypatch):
    first, _ = prepare_in(tmp_path, source)
    monkeypatch.setattr("gan_tf.data.prepare.load_square", None)  # decoding again would fail
    again, lines = prepare_in(tmp_path, FolderSource(source.folder))
    in_memory, _ = prepare_in(tmp_path, FolderSource(source.folder), memory_gb=1)
    assert again.mapped and not in_memory.mapped and lines == []
    for other in (again, in_memory):
        np.testing.assert_array_equal(other.images, first.images)
        assert other.report == first.report


@pytest.mark.parametrize("other", [{"resolution": 16}, {"fit": "pad"}, {"background": "black"}, {"limit": 3}])
def test_other_settings_make_another_entry(source, tmp_path, other):
    prepare_in(tmp_path, source)
    _, lines = prepare_in(tmp_path, source, **other)
    assert len(lines) == 1


def test_changed_data_make_another_entry(source, tmp_path):
    before, _ = prepare_in(tmp_path, source)
    (source.folder / "a/00.png").write_bytes(encoded(99))
    after, lines = prepare_in(tmp_path, FolderSource(source.folder))
    assert len(lines) == 1 and after.fingerprint != before.fingerprint
    assert (after.images[0] != before.images[0]).any()


def test_limit_selects_at_even_distances(source):
    np.testing.assert_array_equal(select_rows(10, None), np.arange(10))
    np.testing.assert_array_equal(select_rows(10, 20), np.arange(10))
    np.testing.assert_array_equal(select_rows(10, 4), [1, 3, 6, 8])
    with pytest.raises(UsageError, match="--limit"):
        select_rows(10, 0)
    prepared = prepare(source, resolution=SIDE, limit=4)
    assert len(prepared) == 4 and prepared.report.left_out == 4
    assert set(prepared.labels) == {0, 1}


def test_a_small_disk_is_detected_before_anything_is_written(source, tmp_path, monkeypatch):
    Usage = namedtuple("Usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(100, 0, 100))
    with pytest.raises(UsageError, match="GAN_TF_CACHE.*--limit"):
        prepare_in(tmp_path, source)
    assert not list((tmp_path / "cache").rglob("*.bin"))


@pytest.mark.parametrize("memory_gb", [0, 1])
def test_a_source_without_readable_images_is_refused(tmp_path, memory_gb):
    source = FolderSource(write(tmp_path / "set", {"a.png": b"?", "b.png": b""}))
    with pytest.raises(UsageError, match="none of 2 images is readable; a.png: .* .and 1 more"):
        prepare_in(tmp_path, source, memory_gb=memory_gb)


@pytest.mark.parametrize(("name", "value"), [("fit", "squeeze"), ("background", "whitish"), ("resolution", 0)])
def test_invalid_settings_are_refused(source, name, value):
    with pytest.raises(UsageError, match=f"--{name}"):
        prepare(source, **{"resolution": SIDE, name: value})


def test_a_damaged_entry_is_refused(source, tmp_path):
    prepare_in(tmp_path, source)
    [path] = (tmp_path / "cache").rglob("images.bin")
    os.truncate(path, 10)
    with pytest.raises(UsageError, match="damaged"):
        prepare_in(tmp_path, source)


KILLED = """
import os, signal, sys
from gan_tf.data import prepare
from gan_tf.data.sources import FolderSource

folder, root, last = sys.argv[1], sys.argv[2], int(sys.argv[3])
prepare.FLUSH_BYTES = 3 * 8 * 8 * 3
source = FolderSource(folder)
source.digests
read = source.read
def read_or_die(i):
    if i == last:
        os.kill(os.getpid(), signal.SIGKILL)
    return read(i)
source.read = read_or_die
prepare.prepare(source, resolution=8, memory_gb=0, cache_dir=root)
"""


def test_a_killed_conversion_is_continued(tmp_path):
    """Two processes are killed by SIGKILL; the third one completes the same images and report."""
    folder = write(tmp_path / "set", files(30) | {"a/03bad.png": b"?"})
    progress = []
    for last in (14, 28, -1):
        command = [sys.executable, "-c", textwrap.dedent(KILLED), str(folder), str(tmp_path / "cache"), str(last)]
        code = subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode
        assert code == (0 if last < 0 else -signal.SIGKILL)
        [record] = (tmp_path / "cache").rglob("progress.json")
        progress.append(json.loads(record.read_text())["done"])
        if last >= 0:
            with open(record.with_name("images.bin"), "ab") as file:
                file.write(b"rows after the last record")
    assert progress[0] <= 14 and progress[0] < progress[1] <= 28
    expected = prepare(FolderSource(folder), resolution=SIDE)
    result, lines = prepare_in(tmp_path, FolderSource(folder))
    assert lines == [] and result.report == expected.report
    np.testing.assert_array_equal(result.images, expected.images)


def test_rows_read_from_the_file_are_those_of_the_map(source, tmp_path):
    images = prepare_in(tmp_path, source)[0].images
    index = np.array([3, 0, 3, 6])
    np.testing.assert_array_equal(read_rows(images, index), images[index])
    np.testing.assert_array_equal(read_rows(np.asarray(images), index), images[index])
    os.truncate(images.filename, 3 * SIDE * SIDE * 3)
    with pytest.raises(OSError, match="ends before image 6"):
        read_rows(images, [6])


def test_of_two_processes_one_converts_and_one_waits(source, tmp_path):
    source.digests  # noqa: B018
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda _: prepare_in(tmp_path, source), range(2)))
    assert sorted(len(lines) for _, lines in results) == [0, 1]
    np.testing.assert_array_equal(results[0][0].images, results[1][0].images)
