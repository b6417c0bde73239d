"""Locks: waiting, file systems without locks, and that all code locks files in the same way."""

import errno
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from gan_tf.data import prepare as prepare_module
from gan_tf.data.prepare import prepare
from gan_tf.data.sources import ArraySource
from gan_tf.faces.results import PartialResult
from gan_tf.io import locks
from gan_tf.io.files import cache_root
from gan_tf.io.locks import locked, take_lock
from gan_tf.runs.folder import Run


@pytest.fixture(params=[errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL], ids=errno.errorcode.get)
def no_locks(request, monkeypatch):
    def fail(file):
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(locks, "_lock", fail)
    monkeypatch.setattr(locks, "folders_without_locks", set())


def test_without_locks_one_line_names_each_folder(no_locks, tmp_path, capfd):
    for name in ("first", "second"):
        run = Run(tmp_path / name)
        assert not run.create() and not Run(run.folder).create()
        run.close()
    PartialResult(tmp_path / "faces", {}).close()
    for name in ("pretrained/a.lock", "data/b.lock"):
        with locked(cache_root() / name) as own:
            assert own
    lines = capfd.readouterr().err.splitlines()
    folders = [tmp_path / "first", tmp_path / "second", tmp_path / "faces.partial", cache_root()]
    assert [Path(line.partition(":")[0]) for line in lines] == folders
    assert all("no locks" in line and "same time" in line for line in lines)


def test_without_locks_processes_convert_at_the_same_time(no_locks, tmp_path, monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (12, 16, 16, 3), np.uint8)
    meet = threading.Barrier(2)
    check_space = prepare_module.check_space

    def wait_for_the_other(*arguments):  # both have seen that nothing is finished
        meet.wait()
        check_space(*arguments)

    def prepare_both(_):
        source = ArraySource("images", images)
        image_set = prepare(source, size=(16, 16), memory_gb=0, cache_dir=tmp_path, log=lambda line: None)
        return image_set.images, image_set.at(8).images

    monkeypatch.setattr(prepare_module, "check_space", wait_for_the_other)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(prepare_both, range(2))
    for ours, others in zip(first, second, strict=True):
        np.testing.assert_array_equal(ours, others)
    np.testing.assert_array_equal(first[0], images)
    assert not list(tmp_path.rglob("*.partial"))


def test_a_long_wait_prints_a_line(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(locks, "WAIT_SECONDS", 0.05)
    with open(tmp_path / "lock", "w") as first, open(tmp_path / "lock", "w") as second:
        assert take_lock(first)
        with pytest.raises(BlockingIOError):
            take_lock(second)
        timer = threading.Timer(0.3, first.close)
        timer.start()
        assert take_lock(second, wait=True)
    [line] = capfd.readouterr().err.splitlines()
    assert f"{tmp_path / 'lock'}" in line
