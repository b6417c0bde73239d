"""Writes an exported file or folder under a temporary name, and renames it when it is complete and compared."""

import contextlib
import os
import secrets
import shutil
import tempfile
from pathlib import Path

from gan_tf.errors import UsageError


def check_output(path, overwrite, is_folder):
    """Raises UsageError if `path` exists and may not be replaced.

    That is so without `overwrite`, and for anything that is not an earlier export: links, folders in place of a file,
    files and folders without a SavedModel in place of a folder.
    """
    path = Path(path)
    if not path.exists() and not path.is_symlink():
        return
    if not overwrite:
        raise UsageError(f"--out {path} exists; give --overwrite to replace it, or another --out")
    if path.is_symlink() or not (path / "saved_model.pb" if is_folder else path).is_file():
        kind = "a SavedModel folder" if is_folder else "a file"
        raise UsageError(f"--out {path} exists and is not {kind}, so it is not replaced; give another --out")


@contextlib.contextmanager
def output(path):
    """Yields a temporary path next to `path` for a file or folder, and renames it to `path` at the end of the block.

    After an exception or a kill `path` is unchanged. (A folder is missing for a moment while it is replaced.) A killed
    process leaves `NAME.*.part`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        yield part
        sync(part)
        _replace(part, path)
    finally:
        _remove(part)


def part_folder(path):
    """Returns a context manager that creates a temporary folder next to `path`, on the same disk, and removes it."""
    path = Path(path)
    return tempfile.TemporaryDirectory(dir=path.parent, prefix=f"{path.name}.", suffix=".part")


def _replace(part, path):
    if not part.is_dir() or not path.exists():
        os.replace(part, path)
        return
    old = part.with_suffix(".old.part")
    os.replace(path, old)
    try:
        os.replace(part, path)
    except OSError:
        os.replace(old, path)
        raise
    _remove(old)


def sync(part):
    """Flushes a file, or all files of a folder, to the disk."""
    for file in part.rglob("*") if part.is_dir() else [part]:
        if file.is_file():
            with open(file, "r+b") as opened:  # Windows requires it to be writable
                os.fsync(opened.fileno())


def _remove(part):
    if part.is_dir():
        shutil.rmtree(part)
    else:
        part.unlink(missing_ok=True)
