"""The place of an exported file or folder, which takes its name only once it is whole and checked."""

import contextlib
import os
import secrets
import shutil
import tempfile
from pathlib import Path

from gan_tf.errors import UsageError

FOLDER_MARK = "saved_model.pb"  # what a folder must hold to be taken for one of ours


def refuse_existing(path, overwrite, is_folder):
    """Refuses an output that is there already, before any work is done.

    Raises:
        UsageError: it is there and `overwrite` is False, or it is something that is not replaced: a link; in place of a
            file a folder; in place of a folder a file, or a folder without a SavedModel.
    """
    path = Path(path)
    if not path.exists() and not path.is_symlink():
        return
    if not overwrite:
        raise UsageError(f"--out {path} is there already; give --overwrite to replace it, or another --out")
    if path.is_symlink() or not (path / FOLDER_MARK if is_folder else path).is_file():
        kind = "a SavedModel's folder" if is_folder else "a file"
        raise UsageError(f"--out {path} is there already and is not {kind}, so it is not replaced; give another --out")


@contextlib.contextmanager
def output(path):
    """Yields a path beside `path` for a file or folder, which becomes `path` if the block ends without an exception.

    So a kill at any moment leaves nothing under this name, or the old, or the new, whole. (A folder that is replaced
    is away for the moment between two renames.) What a killed process was writing is left as `NAME.*.part`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        yield part
        sync(part)
        take_place(part, path)
    finally:
        remove(part)


def part_folder(path):
    """A context that makes a folder beside `path`, on the disk that has room for it, and removes it: its name."""
    path = Path(path)
    return tempfile.TemporaryDirectory(dir=path.parent, prefix=f"{path.name}.", suffix=".part")


def take_place(part, path):
    """Renames `part` to `path`; an older folder there is removed once it is replaced."""
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
    remove(old)


def sync(part):
    """Brings a file, or all files of a folder, to the disk."""
    for file in part.rglob("*") if part.is_dir() else [part]:
        if file.is_file():
            with open(file, "r+b") as opened:  # Windows wants it writable
                os.fsync(opened.fileno())


def remove(part):
    """Removes a file or folder that may not be there."""
    if part.is_dir():
        shutil.rmtree(part)
    else:
        part.unlink(missing_ok=True)
