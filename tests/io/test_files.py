"""Places that cannot be written are found before the work, and the cache is named where it is the cache."""

import errno

import numpy as np
import pytest

from gan_tf.config.settings import TrainConfig
from gan_tf.data.arrays import open_npz
from gan_tf.errors import UsageError
from gan_tf.io.files import check_writable, locked, part_file, user_path, write_atomically


def full(*arguments):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("folder", [False, True])
def test_a_trial_leaves_nothing(tmp_path, folder):
    check_writable(tmp_path / "new" / "deep" / "out", "--out", folder=folder)
    assert not list(tmp_path.iterdir())
    (tmp_path / "kept").mkdir()
    check_writable(tmp_path / "kept" / "out.png", "--out", folder=folder)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_places_that_cannot_be_written_are_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    for path, folder, words in (
        (tmp_path / "file" / "a.png", False, "is no folder"),
        (tmp_path / "file" / "deep" / "a.png", False, "Not a directory"),
        (tmp_path / "file", True, "is no folder"),
        (tmp_path, False, "it is a folder, and a file is meant"),
        (tmp_path / ("a" * 260), False, "too long"),
        (tmp_path / ("a" * 260), True, "too long"),
    ):
        with pytest.raises(UsageError, match=words) as error:
            check_writable(path, "--out", folder)
        assert str(error.value).startswith(f"--out {path} cannot be written: ") and "\n" not in str(error.value)
    assert (tmp_path / "file").read_text() == "mine" and len(list(tmp_path.iterdir())) == 1


def test_a_full_disk_is_found_by_the_trial(tmp_path, monkeypatch):
    monkeypatch.setattr("gan_tf.io.files.os.fsync", full)
    with pytest.raises(UsageError, match="--out .* cannot be written: No space left"):
        check_writable(tmp_path / "a.png", "--out")
    assert not list(tmp_path.iterdir())


def test_a_write_that_fails_names_its_file(tmp_path):
    with pytest.raises(OSError) as error, part_file(tmp_path / "a.png"):
        full()
    assert str(error.value.filename).startswith(str(tmp_path / "a.png."))


def test_an_unknown_home_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_path("~/a") == tmp_path / "a"
    for give in (
        lambda: user_path("~nobody-of-that-name/a"),
        lambda: TrainConfig(checkpoints="~nobody-of-that-name", dataset="panda").run_folder,
    ):
        with pytest.raises(UsageError, match="~nobody-of-that-name.*: no home folder is known"):
            give()


def test_a_cache_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    cache = tmp_path / "file" / "cache"
    monkeypatch.setenv("GAN_TF_CACHE", str(cache))
    with pytest.raises(UsageError, match=f"GAN_TF_CACHE: the cache in {cache} cannot be written"), locked(cache / "a"):
        pass


def test_a_cache_that_is_full_is_named_but_what_lies_elsewhere_is_not_laid_on_it(tmp_path, monkeypatch):
    monkeypatch.setenv("GAN_TF_CACHE", str(tmp_path / "cache"))
    lock = tmp_path / "cache" / "a.lock"
    with pytest.raises(UsageError, match="GAN_TF_CACHE.*No space left.*free some disk space"), locked(lock):
        full()
    with pytest.raises(OSError, match="elsewhere"), locked(lock):
        raise OSError(errno.EACCES, "Permission denied", "/elsewhere/file")
    with pytest.raises(OSError, match="read"), locked(lock):
        raise OSError(errno.EIO, "cannot read", str(tmp_path / "cache" / "b"))
    with pytest.raises(OSError, match="No space"), locked(tmp_path / "other.lock"):
        full()


def test_a_large_npz_says_that_the_cache_is_full(tmp_path, monkeypatch):
    monkeypatch.setenv("GAN_TF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("gan_tf.data.arrays.IN_MEMORY_BYTES", 10)
    np.savez_compressed(tmp_path / "a.npz", images=np.zeros((2, 8, 8, 3), np.uint8))
    monkeypatch.setattr("gan_tf.data.arrays.shutil.copyfileobj", full)
    with pytest.raises(UsageError, match="GAN_TF_CACHE"):
        open_npz(str(tmp_path / "a.npz"))


def test_writing_atomically_still_does(tmp_path):
    write_atomically(tmp_path / "new" / "a", b"1")
    assert (tmp_path / "new" / "a").read_bytes() == b"1" and len(list((tmp_path / "new").iterdir())) == 1
