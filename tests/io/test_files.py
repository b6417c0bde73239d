"""Atomic writes, unwritable paths, and errors of the cache folder."""

import errno

import pytest

from gan_tf.errors import UsageError
from gan_tf.io.files import check_writable, locked, part_file, user_path, write_atomically


def full(*arguments):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("folder", [False, True])
def test_checking_a_path_leaves_nothing(tmp_path, folder):
    check_writable(tmp_path / "new" / "deep" / "out", "--out", folder=folder)
    assert not list(tmp_path.iterdir())
    (tmp_path / "kept").mkdir()
    check_writable(tmp_path / "kept" / "out.png", "--out", folder=folder)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


@pytest.mark.parametrize(
    ("name", "folder"),
    [("file/a.png", False), ("file/deep/a.png", False), ("file", True), (".", False), ("a" * 260, False)],
)
def test_unwritable_paths_are_refused(tmp_path, name, folder):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="^--out .* cannot be written: ") as caught:
        check_writable(tmp_path / name, "--out", folder)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "file").read_text() == "mine" and len(list(tmp_path.iterdir())) == 1


def test_a_full_disk_is_detected(tmp_path, monkeypatch):
    monkeypatch.setattr("gan_tf.io.files.os.fsync", full)
    with pytest.raises(UsageError, match="--out .*: No space left"):
        check_writable(tmp_path / "a.png", "--out")
    assert not list(tmp_path.iterdir())


def test_a_failed_write_names_its_file_and_keeps_the_old_content(tmp_path):
    write_atomically(tmp_path / "new" / "a.png", b"old")
    with pytest.raises(OSError) as error, part_file(tmp_path / "new" / "a.png") as file:
        file.write(b"half")
        full()
    assert str(error.value.filename).startswith(str(tmp_path / "new" / "a.png."))
    [path] = (tmp_path / "new").iterdir()
    assert path.read_bytes() == b"old"


def test_home_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_path("~/a") == tmp_path / "a"
    with pytest.raises(UsageError, match="~nobody-of-that-name"):
        user_path("~nobody-of-that-name/a")


@pytest.mark.parametrize(
    ("lock", "error", "expected", "message"),
    [
        ("cache/a.lock", (errno.ENOSPC, "full"), UsageError, "GAN_TF_CACHE.*full.*free some disk space"),
        ("cache/a.lock", (errno.EACCES, "denied", "/elsewhere/file"), OSError, "elsewhere"),
        ("cache/a.lock", (errno.EIO, "cannot read", "{tmp}/cache/b"), OSError, "read"),
        ("other.lock", (errno.ENOSPC, "full"), OSError, "full"),
    ],
)
def test_errors_of_the_cache_name_it_and_others_are_unchanged(tmp_path, monkeypatch, lock, error, expected, message):
    monkeypatch.setenv("GAN_TF_CACHE", str(tmp_path / "cache"))
    number, text, *paths = error
    with pytest.raises(expected, match=message), locked(tmp_path / lock):
        raise OSError(number, text, *(path.format(tmp=tmp_path) for path in paths))


def test_a_cache_below_a_file_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GAN_TF_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(UsageError, match="GAN_TF_CACHE.*file/cache"), locked(tmp_path / "file" / "cache" / "a"):
        pass
