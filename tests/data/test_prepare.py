"""Prepared image sets and their smaller sizes: memory and cache, resumption after kills, several processes, errors."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from gan_tf.data.cache import CacheEntry, read_rows
from gan_tf.data.listing import select_rows
from gan_tf.data.prepare import _key, box_means, prepare
from gan_tf.data.sources import ArraySource, FolderSource
from gan_tf.errors import UsageError
from tests.data.encoded import encoded, write

SIDE, SIZES = 32, (16, 8, 4)


def files(count):
    return {f"{'ab'[i % 2]}/{i:02}.png": encoded(i) for i in range(count)}


@pytest.fixture
def source(tmp_path):
    return FolderSource(write(tmp_path / "set", files(7) | {"a/03bad.png": b"?"}))


@pytest.fixture
def memory(source):
    return prepare(source, size=(SIDE, SIDE))


def prepare_in(tmp_path, source, **options):
    """Prepares a set in the cache: (ImageSet, logged lines)."""
    lines = []
    options = {"size": (SIDE, SIDE), "memory_gb": 0, "cache_dir": tmp_path / "cache", "log": lines.append} | options
    return prepare(source, **options), lines


def exact(images, size):
    """Box means by exact division, rounded as Fraction does: ties to even."""
    k = images.shape[1] // size
    sums = images.reshape(len(images), size, k, size, k, 3).astype(np.int64).sum((2, 4))
    return np.vectorize(lambda value: round(Fraction(int(value), k * k)))(sums).astype(np.uint8)


def assert_sizes(image_set, full):
    """Asserts that the set has the smaller sizes of the full-size pixels, whichever is asked for first."""
    for size in (4, 16, 8):
        np.testing.assert_array_equal(image_set.at(size).images, exact(full, size))


def test_memory_and_disk_hold_the_same(source, memory, tmp_path):
    disk, lines = prepare_in(tmp_path, source)
    assert disk.mapped and not memory.mapped and len(lines) == 1
    assert len(memory) == 7 and memory.shape == (SIDE, SIDE, 3) and memory.images.dtype == np.uint8
    np.testing.assert_array_equal(disk.images, memory.images)
    np.testing.assert_array_equal(disk.labels, memory.labels)
    assert disk.names == memory.names and disk.fingerprint == memory.fingerprint == source.fingerprint
    assert disk.report == memory.report and list(memory.report.unreadable) == ["a/03bad.png"]
    np.testing.assert_array_equal(memory.labels, [name[0] == "b" for name in memory.names])
    for image_set in (memory, disk):
        assert_sizes(image_set, memory.images)
    for size in SIZES:
        assert disk.at(size).mapped and not memory.at(size).mapped and disk.at(size).key == memory.at(size).key
    assert len(lines) == 2 and "(16, 8, 4 pixels high)" in lines[1]


def test_finished_entries_are_used_again(source, memory, tmp_path, monkeypatch):
    prepare_in(tmp_path, source)[0].at(4)
    for function in ("load_image", "box_means"):
        monkeypatch.setattr(f"gan_tf.data.prepare.{function}", None)  # decoding or reducing again would fail
    again, lines = prepare_in(tmp_path, FolderSource(source.folder))
    loaded, _ = prepare_in(tmp_path, FolderSource(source.folder), memory_gb=1)
    assert again.mapped and not loaded.mapped and again.report == loaded.report == memory.report
    for image_set in (again, loaded):
        np.testing.assert_array_equal(image_set.images, memory.images)
    assert_sizes(again, memory.images)
    assert lines == []


def test_other_settings_make_other_entries(source, tmp_path):
    prepare_in(tmp_path, source)
    for other in ({"size": (16, 16)}, {"fit": "pad"}, {"background": "black"}, {"bits": 12}, {"limit": 3}):
        assert len(prepare_in(tmp_path, source, **other)[1]) == 1, other


def test_changed_data_make_other_entries(source, tmp_path):
    before, _ = prepare_in(tmp_path, source)
    small = before.at(4)
    (source.folder / "a/00.png").write_bytes(encoded(99))
    after, lines = prepare_in(tmp_path, FolderSource(source.folder))
    assert len(lines) == 1 and after.fingerprint != before.fingerprint and after.at(4).key != small.key
    assert (after.images[0] != before.images[0]).any() and (after.at(4).images[0] != small.images[0]).any()


def test_scores_of_earlier_versions_stay_valid_for_sets_with_the_same_pixels():
    """Keys of version 0.1, which runs store with their scores; images that are now read otherwise give another key."""
    images = list(np.zeros((2, 8, 8, 3), np.uint8))
    before = prepare(ArraySource("set", images), size=(8, 8), background="#010203", limit=2)
    assert (before.key, before.at(4).key) == ("922407ff20c6780f0fe07282e674afbb", "d91107344cef30ed2f4f93597c11447e")
    plain, other = (
        prepare(ArraySource("set", [encoded(0, **options), encoded(1)]), size=(8, 8))
        for options in ({}, {"icc_profile": b"?"})
    )
    assert plain.key == _key(plain.fingerprint, (8, "crop", (255, 255, 255)), None)
    assert other.key != _key(other.fingerprint, (8, "crop", (255, 255, 255)), None)


def test_installing_a_package_for_a_format_makes_another_entry(source, tmp_path, monkeypatch):
    monkeypatch.setattr("gan_tf.data.prepare.FORMATS", ["PNG"])
    without, _ = prepare_in(tmp_path, source)
    monkeypatch.setattr("gan_tf.data.prepare.FORMATS", ["PNG", "HEIF"])
    again, lines = prepare_in(tmp_path, source)
    assert len(lines) == 1 and again.key == without.key


def test_limit_selects_at_even_distances(source):
    np.testing.assert_array_equal(select_rows(10, None), np.arange(10))
    np.testing.assert_array_equal(select_rows(10, 20), np.arange(10))
    np.testing.assert_array_equal(select_rows(10, 4), [1, 3, 6, 8])
    with pytest.raises(UsageError, match="--limit"):
        select_rows(10, 0)
    prepared = prepare(source, size=(SIDE, SIDE), limit=4)
    assert len(prepared) == 4 and prepared.report.left_out == 4
    assert set(prepared.labels) == {0, 1}


def test_a_small_disk_is_detected_before_anything_is_written(source, tmp_path, monkeypatch):
    full, _ = prepare_in(tmp_path, source)
    before = sorted((tmp_path / "cache").rglob("*.bin"))
    Usage = namedtuple("Usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(100, 0, 100))
    for convert in (lambda: full.at(4), lambda: prepare_in(tmp_path, source, size=(16, 16))):
        with pytest.raises(UsageError, match="GAN_TF_CACHE.*--limit"):
            convert()
    assert sorted((tmp_path / "cache").rglob("*.bin")) == before


def test_a_source_without_readable_images_is_refused(tmp_path):
    source = FolderSource(write(tmp_path / "set", {"a.png": b"?", "b.png": b""}))
    for memory_gb in (0, 1):
        with pytest.raises(UsageError, match="none of 2 images is readable; a.png: .* .and 1 more"):
            prepare_in(tmp_path, source, memory_gb=memory_gb)


def test_invalid_settings_are_refused(source):
    invalid = {"fit": "squeeze", "background": "whitish", "size": (0, 9), "bits": 7}
    for (name, value), shown in zip(invalid.items(), ("squeeze", "whitish", "9x0", "7"), strict=True):
        with pytest.raises(UsageError, match=f"--{name}.*{shown}"):
            prepare(source, **{"size": (SIDE, SIDE), name: value})


def test_rows_are_read_from_the_file_and_a_damaged_entry_is_refused(source, tmp_path):
    images = prepare_in(tmp_path, source)[0].images
    index = np.array([3, 0, 3, 6])
    for stored in (images, np.asarray(images)):
        np.testing.assert_array_equal(read_rows(stored, index), images[index])
    os.truncate(images.filename, 3 * SIDE * SIDE * 3)
    with pytest.raises(UsageError, match="ends before image 6"):
        read_rows(images, [6])
    with pytest.raises(UsageError, match="damaged"):
        prepare_in(tmp_path, source)


KILLED = """
import os, signal, sys
from gan_tf.data import prepare
from gan_tf.data.sources import FolderSource

folder, root, last = sys.argv[1], sys.argv[2], int(sys.argv[3])
prepare.FLUSH_BYTES = 3 * 32 * 32 * 3
source = FolderSource(folder)
source.digests
read = source.read
def read_or_die(i):
    if i == last:
        os.kill(os.getpid(), signal.SIGKILL)
    return read(i)
source.read = read_or_die
prepare.prepare(source, size=(32, 32), memory_gb=0, cache_dir=root)
"""


def test_a_killed_conversion_is_continued(tmp_path):
    """Two processes are killed by SIGKILL; the third one completes the same images and report."""
    folder = write(tmp_path / "set", files(30) | {"a/03bad.png": b"?"})
    progress = []
    for last in (14, 28, -1):
        command = [sys.executable, "-c", KILLED, str(folder), str(tmp_path / "cache"), str(last)]
        process = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
        assert process.returncode == (0 if last < 0 else -signal.SIGKILL)
        [record] = (tmp_path / "cache").rglob("progress.json")
        progress.append(json.loads(record.read_text())["done"])
        if last >= 0:
            with open(record.with_name("images.bin"), "ab") as file:
                file.write(b"rows after the last record")
    assert progress[0] <= 14 and progress[0] < progress[1] <= 28
    assert f"{progress[1]} of 31 images are done already" in process.stdout
    expected = prepare(FolderSource(folder), size=(SIDE, SIDE))
    result, lines = prepare_in(tmp_path, FolderSource(folder))
    assert lines == [] and result.report == expected.report
    np.testing.assert_array_equal(result.images, expected.images)


@pytest.mark.parametrize("name", ["images.bin", "facts.bin"])
def test_a_conversion_with_a_truncated_file_is_started_again(source, memory, tmp_path, name):
    finished = Path(prepare_in(tmp_path, source)[0].images.filename).parent
    partial = finished.rename(f"{finished}.partial")  # as a process killed before the last step leaves it
    (partial / "entry.json").rename(partial / "progress.json")
    os.truncate(partial / name, 10)
    again, _ = prepare_in(tmp_path, source)
    np.testing.assert_array_equal(again.images, memory.images)
    assert again.names == memory.names


def test_an_interrupted_reduction_is_repeated(source, memory, tmp_path, monkeypatch):
    full, _ = prepare_in(tmp_path, source)
    record = CacheEntry.record

    def failing(entry, name):
        if entry.shape[0] == 4:  # the sizes 16 and 8 are not finished either
            raise KeyboardInterrupt
        record(entry, name)

    monkeypatch.setattr(CacheEntry, "record", failing)
    with pytest.raises(KeyboardInterrupt):
        full.at(8)
    monkeypatch.setattr(CacheEntry, "record", record)
    assert_sizes(full, memory.images)
    shutil.rmtree(tmp_path / "cache" / "data" / full.at(8).key)
    again, lines = prepare_in(tmp_path, source)
    assert_sizes(again, memory.images)
    assert "(8 pixels high)" in lines[0]


def test_of_two_processes_one_converts_and_one_waits(source, tmp_path):
    source.digests  # noqa: B018
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda _: prepare_in(tmp_path, source), range(2)))
        assert sorted(len(lines) for _, lines in results) == [0, 1]
        small = list(pool.map(lambda result: result[0].at(8), results))
    assert sum(len(lines) for _, lines in results) == 2
    np.testing.assert_array_equal(results[0][0].images, results[1][0].images)
    np.testing.assert_array_equal(small[0].images, small[1].images)


def test_attributes_of_a_smaller_set(memory):
    small = memory.at(8)
    assert small.shape[0] == 8 and len(small) == len(memory) and memory.shape[0] == SIDE
    for name in ("labels", "names", "fingerprint", "class_names", "report", "name"):
        assert getattr(small, name) is getattr(memory, name)
    assert len({memory.at(size).key for size in (SIDE, *SIZES)}) == 4
    assert memory.at(8) is small and memory.at(SIDE) is memory and small.at(8) is small
    assert memory.at(16).at(4) is memory.at(4)  # reduced from the full size
    for image_set, size in ((memory.at(16), 32), (memory, 64), (memory, 5), (memory, 2), (memory, 0)):
        with pytest.raises(ValueError, match=f"no images of height {size}"):
            image_set.at(size)


def test_sizes_within_the_memory_limit_are_loaded(source, memory, tmp_path):
    """A size counts together with all smaller ones."""
    full, _ = prepare_in(tmp_path, source, memory_gb=len(memory) * 3 * (8 * 8 + 4 * 4) / 1e9)
    assert full.mapped and full.at(16).mapped
    assert not full.at(8).mapped and not full.at(4).mapped
    assert_sizes(full, memory.images)


@pytest.mark.parametrize(("side", "sizes"), [(64, (32, 16, 8, 4, 1)), (36, (12,))])
def test_means_are_exact_and_ties_rounded_to_even(side, sizes):
    """Smaller sizes are means of the pixels, not of rounded means."""
    images = np.random.default_rng(0).integers(0, 256, (3, side, side, 3), np.uint8)
    for size, means in zip(sizes, box_means(images, sizes), strict=True):
        np.testing.assert_array_equal(means, exact(images, size))


@pytest.mark.parametrize("side", [256, 1024])
def test_the_largest_sums_do_not_overflow(side):
    for means in box_means(np.full((1, side, side, 3), 255, np.uint8), [side // 2, side // 16, 4, 1]):
        assert (means == 255).all()


# Memory of a mapped set

BATCHES, BATCH_SIZE = 200, 32


def peak_gb():
    """Returns this process's peak memory in 10^9 bytes. (getrusage would include the parent's at the fork.)"""
    [kilobytes] = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(kilobytes) * 1024 / 1e9


def measure(count, resolution, cache_folder):
    """Prepares a set, reduces it and reads batches; returns its size and the peak memory after each step.

    `python -m tests.data.test_prepare 70000 256 CACHE_FOLDER` measures a full set, which must need less than 4 GB of
    memory, and needs 14 GB of disk.
    """
    pixels = np.random.default_rng(0).integers(0, 256, 3 * (resolution**2 + 7 * count), np.uint8)
    # Each image is the one before shifted by 7 pixels, in the same memory.
    shape, strides = (count, resolution, resolution, 3), (21, 3 * resolution, 3, 1)
    images = np.lib.stride_tricks.as_strided(pixels, shape, strides, writeable=False)
    source = ArraySource("shifted", images)
    prepared = prepare(
        source, size=(resolution, resolution), memory_gb=0.1, cache_dir=cache_folder, log=lambda line: None
    )
    figures = {"set_gb": prepared.images.nbytes / 1e9, "prepare_peak_gb": peak_gb()}
    smallest = prepared.at(4)  # makes all sizes in between too
    figures["reduce_peak_gb"] = peak_gb()
    assert not smallest.mapped and (smallest.images[-1] == box_means(images[count - 1][None], [4])[0][0]).all()
    from gan_tf.data.pipeline import InputPipeline  # imported late, to separate the memory of TensorFlow

    dataset = InputPipeline(prepared, BATCH_SIZE, seed=0, mirror=False).dataset(0)
    for element in dataset.take(BATCHES):
        assert (element["images"][-1].numpy() == images[int(element["index"][-1])]).all()
    return figures | {"peak_gb": peak_gb()}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_mapped_set_needs_little_memory(tmp_path):
    """At a tenth of the images."""
    command = [sys.executable, "-m", "tests.data.test_prepare", "7000", "256", str(tmp_path)]
    figures = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    assert figures["set_gb"] > 1.3
    assert figures["prepare_peak_gb"] < 0.4 and figures["reduce_peak_gb"] < 0.4
    assert figures["peak_gb"] < 1.2  # most of it is TensorFlow


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])))
