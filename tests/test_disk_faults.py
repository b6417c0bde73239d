"""A disk that fails for a moment: every reader and command reports it, and no cache keeps the failure."""

import builtins
import errno
import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.cli.main import run_command
from gan_tf.data.prepare import prepare, survey
from gan_tf.data.sources import open_source
from gan_tf.errors import FAULT, UsageError
from gan_tf.io.files import disk_fault, exists, list_folder
from gan_tf.io.image_files import read_png
from gan_tf.runs.checkpoints import read_newest
from gan_tf.runs.files import read_weights
from gan_tf.runs.folder import Run
from gan_tf_datasets.faces.files import TarSource
from tests.data.encoded import numbered, tar_bytes, write, write_zip


class Disk:
    """The system's functions that read; they fail for the files and folders whose names are in `failing`."""

    def __init__(self, patch):
        self.failing, self.number = set(), errno.EIO
        disk = self

        class File(io.FileIO):
            def readinto(self, buffer):
                disk.check(self.name)
                return super().readinto(buffer)

            def readall(self):
                disk.check(self.name)
                return super().readall()

        def opened(path, mode="r", buffering=-1, *arguments, **options):
            if isinstance(path, int) or mode not in ("r", "rb"):
                return original(path, mode, buffering, *arguments, **options)
            file = File(os.fspath(path), mode)
            file = io.BufferedReader(file) if buffering else file
            return io.TextIOWrapper(file, *arguments, **options) if mode == "r" else file

        original = builtins.open
        patch.setattr(builtins, "open", opened)
        patch.setattr(io, "open", opened)
        for name in ("stat", "scandir", "listdir"):
            patch.setattr(os, name, self.guarded(getattr(os, name), name))

    def guarded(self, function, kind):
        def call(path=".", *arguments, **options):
            self.check(path, kind)
            return function(path, *arguments, **options)

        return call

    def check(self, path, kind="read"):
        """Raises an error if the path is to fail for this kind of call; as in reality, not all name the file."""
        if (kind, Path(os.fsdecode(path)).name if not isinstance(path, int) else "") in self.failing:
            raise OSError(self.number, os.strerror(self.number), *([] if kind == "read" else [path]))


@pytest.fixture
def disk(monkeypatch):
    return Disk(monkeypatch)


@pytest.fixture
def files(tmp_path):
    """A folder with the same images in all forms."""
    images = numbered(4, "a/a-") | numbered(4, "b/b-", seed=4)
    write(tmp_path / "set", images)
    write_zip(tmp_path / "set.zip", images)
    (tmp_path / "set.tar").write_bytes(tar_bytes(images))
    pixels = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), np.uint8)
    np.savez(tmp_path / "set.npz", images=pixels)
    np.savez_compressed(tmp_path / "packed.npz", images=pixels)
    write(tmp_path / "run", {"config.json": b"{}", "state/ckpt-000000000008.index": b""})
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "run").symlink_to(tmp_path / "run")
    return tmp_path


def prepared(path):
    """The smaller pixels of a source that is converted into the cache."""
    return prepare(open_source(path), size=(16, 16), memory_gb=0, log=lambda line: None).at(8).images[:]


READERS = [  # (function, path, kind of call that fails, name that it fails for)
    (prepared, "set", "read", "a-1.png"),
    (prepared, "set", "stat", "a-1.png"),
    (prepared, "set", "scandir", "b"),
    (prepared, "set", "scandir", "set"),
    (prepared, "set.zip", "read", "set.zip"),
    (prepared, "set.npz", "read", "set.npz"),
    (prepared, "packed.npz", "read", "packed.npz"),
    (lambda path: TarSource(path).read(0), "set.tar", "read", "set.tar"),
    (read_weights, "set.npz", "read", "set.npz"),
    (read_png, "set/a/a-1.png", "read", "a-1.png"),
    (exists, "set", "stat", "set"),
    (list_folder, "set", "listdir", "set"),
    (lambda path: Run(path).checkpoints(), "run", "listdir", "state"),
    (lambda path: Run(path).read_settings(), "run", "read", "config.json"),
]


def finished(cache):
    """{path: content} of the files in the cache that a later start reads."""
    paths = [path for path in cache.rglob("*") if path.is_file() and ".partial" not in str(path)]
    return {path: path.read_bytes() for path in paths if path.suffix != ".lock"}


@pytest.mark.parametrize(("reader", "path", "kind", "name"), READERS)
def test_a_fault_is_raised_and_not_stored(reader, path, kind, name, files, cache, disk):
    for _ in range(2):  # the second time, an earlier command has hashed the images
        before, disk.failing = finished(cache), {(kind, name)}
        with pytest.raises(OSError) as caught:
            reader(files / path)
        assert caught.value.errno == errno.EIO and Path(caught.value.filename).name == name
        assert finished(cache) == before
        disk.failing = set()
        hashed = reader is prepared and open_source(files / path).fingerprint
    assert not hashed or len(prepared(files / path)) == len(open_source(files / path))


@pytest.mark.parametrize(
    ("reader", "path", "name"),
    [(reader, path, name) for reader, path, kind, name in READERS if "." in name and path not in ("set", "set.tar")],
)
def test_a_file_without_permission_is_not_called_damaged(reader, path, name, files, cache, disk):
    disk.failing, disk.number = {("read", name)}, errno.EACCES
    with pytest.raises(UsageError, match=rf"{name} cannot be read \(Permission denied\); check that [^()]*$"):
        reader(files / path)


def test_no_older_checkpoint_is_read_for_one_without_permission():
    """Training would then remove the newer one."""

    def read(seen, prefix):
        raise tf.errors.PermissionDeniedError(None, None, f"{prefix}.index; Permission denied")

    with pytest.raises(UsageError, match="ckpt-8 cannot be read"):
        read_newest([(8, Path("ckpt-8")), (4, Path("ckpt-4"))], read, pytest.fail)


@pytest.mark.parametrize("file", ["images.bin", "facts.bin", "entry.json", "dataset-report.json"])
def test_a_fault_of_the_cache_is_raised(file, files, cache, disk):
    before = prepared(files / "set")
    disk.failing = {("read", file)}
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        prepare(open_source(files / "set"), size=(16, 16))
    disk.failing = set()
    np.testing.assert_array_equal(prepared(files / "set"), before)


def test_a_file_without_permission_is_counted_and_not_stored(files, cache, disk):
    disk.failing, disk.number = {("read", "a-1.png")}, errno.EACCES
    assert list(survey(open_source(files / "set"), size=(16, 16)).unreadable) == ["a/a-1.png"]
    assert all("a-1.png" not in path.read_text() for path in (cache / "digests").iterdir())
    disk.failing = set()
    assert open_source(files / "set").fingerprint
    # It was readable when it was hashed: its digest, in the key of the cache, would be wrong.
    before, disk.failing = finished(cache), {("read", "a-1.png")}
    with pytest.raises(UsageError, match="a-1.png cannot be read .Permission denied"):
        prepared(files / "set")
    assert finished(cache) == before
    disk.failing = set()
    assert len(prepared(files / "set")) == 8


@pytest.mark.parametrize("folder", ["b", "set"])
def test_a_folder_that_cannot_be_listed_is_named(folder, files, disk):
    write(files / "set", {"lost+found/x.png": b"", ".hidden/y.png": b""})
    disk.number, disk.failing = errno.EACCES, {("scandir", "lost+found"), ("scandir", ".hidden")}
    assert len(open_source(files / "set")) == 8
    disk.failing.add(("scandir", folder))
    with pytest.raises(UsageError, match=f"/{folder} cannot be listed .Permission denied"):
        open_source(files / "set")


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["inspect", "set"], "a-1.png"),
        (["inspect", "set.zip"], "set.zip"),
        (["inspect", "set.npz"], "set.npz"),
        (["train", "--dataset", "set", "--checkpoints", "runs", "--resolution", "64"], "a-1.png"),
        (["evaluate", "set", "--dataset", "set.zip"], "a-1.png"),
        (["crop-faces", "set", "faces.npz"], "b"),
        (["runs", "runs"], "config.json"),
        (["report", "run"], "config.json"),
        (["generate", "run"], "config.json"),
        (["convert", "set.npz", "converted"], "set.npz"),
    ],
)
def test_commands_end_with_1_and_one_line(arguments, name, files, cache, disk, capsys, monkeypatch):
    monkeypatch.chdir(files)
    disk.failing = {("read", name), ("scandir", name)}
    assert run_command(arguments[0], arguments[1:]) == FAULT
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("gan-tf: error: cannot use ") and f"{name} (Input/output error)" in line and "wait" in line


def test_too_many_open_files_are_not_called_a_fault_of_the_disk(files, cache, disk, capsys):
    disk.failing, disk.number = {("read", "a-1.png")}, errno.EMFILE
    assert run_command("inspect", [str(files / "set")]) == FAULT
    line = capsys.readouterr().err.splitlines()[-1]
    assert "ulimit -n" in line and "disk" not in line


def test_what_passes_and_what_does_not():
    cause = OSError(errno.ENOTCONN, "gone", "drive")
    assert disk_fault(zipfile.BadZipFile("no zip"), "x") is None and disk_fault(OSError("of a library"), "x") is None
    for number in (errno.ENOENT, errno.EACCES, errno.ENOSPC, errno.ENOLCK, errno.EISDIR, errno.ENAMETOOLONG):
        assert disk_fault(OSError(number, "")) is None
    for number in (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.EREMOTEIO, errno.EHOSTDOWN, 117):
        assert disk_fault(OSError(number, ""), "x").errno == number
    try:
        try:
            raise cause
        except OSError:
            raise zipfile.BadZipFile("File is not a zip file") from None
    except zipfile.BadZipFile as error:
        assert disk_fault(error, "x").filename == "drive"
    texts = [
        "/a.index; Input/output error [Op:RestoreV2]",
        "OSError: [Errno 5] Input/output error: '/a.index'\nTraceback",
    ]
    for text in texts:
        fault = disk_fault(tf.errors.UnknownError(None, None, text), "/a.index")
        assert fault.errno == errno.EIO and fault.filename == "/a.index"
