"""Files written whole or not at all, locks between processes, and the folder of what can be remade."""

import contextlib
import errno
import glob
import hashlib
import os
import re
import secrets
from pathlib import Path

from gan_tf.errors import UsageError

if os.name == "nt":
    import msvcrt
else:
    import fcntl

# Control characters, which a terminal obeys, and halves of characters, which cannot be written.
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")

DISK_IS_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
LOCK_IS_HELD = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)
DISK_REFUSES = (errno.EACCES, errno.EPERM, errno.EROFS)
NO_FOLDER = (errno.ENOTDIR, errno.EEXIST)  # a file stands where a folder is meant
DISK_FAILS = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT)  # a network's, which another start may find well again


def disk_remedy(error) -> str | None:
    """What helps if an error says that the disk is full or refuses, as OSError or in TensorFlow's words; else None."""
    full, refuses = "free some disk space", "see that it can be read and written"
    remedies = {**dict.fromkeys(DISK_IS_FULL, full), **dict.fromkeys(DISK_REFUSES, refuses)}
    if isinstance(error, OSError):
        return remedies.get(error.errno)
    # TensorFlow ends its text with the system's; the code that it gives, such as "resource exhausted", says less.
    return next((remedy for number, remedy in remedies.items() if os.strerror(number) in str(error)), None)


def is_temporary(error) -> bool:
    """True if an error says that a disk, perhaps behind a network, fails: nobody's mistake."""
    return isinstance(error, OSError) and error.errno in DISK_FAILS


def printable(text):
    """One short line of a text that may come from anyone, an exception's too."""
    return UNPRINTABLE.sub("?", " ".join(str(text).split()))[:200] or type(text).__name__


def sha256_of(path):
    """Hex digest of a file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_root():
    """The folder in the environment variable GAN_TF_CACHE, default ~/.cache/gan_tf."""
    return user_path(os.environ.get("GAN_TF_CACHE") or "~/.cache/gan_tf")


def user_path(text):
    """The pathlib.Path that a user wrote, with ~ and ~name for home folders.

    Raises:
        UsageError: there is no such user.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise UsageError(f"{text}: no home folder is known for it; write the path in full") from error


def unwritable_error(path, flag, error):
    """The UsageError for a place of the user's that an OSError keeps from being written."""
    return UsageError(f"{flag} {path} cannot be written: {printable(error.strerror or error)}")


@contextlib.contextmanager
def writing(path, flag):
    """The user's place `path`, which the option `flag` named, is written in the block.

    Raises:
        UsageError: an OSError of the block.
    """
    try:
        yield
    except OSError as error:
        raise unwritable_error(path, flag, error) from error


def check_writable(path, flag, folder=False):
    """Finds out whether `path` can be written, before the work whose result goes there. Leaves nothing behind.

    Args:
        path: pathlib.Path of a file, or with `folder` of a folder for files.
        flag: the option that named it, such as "--out".

    Raises:
        UsageError: it cannot; a folder is where a file is meant, or a file where a folder is.
    """
    place = path if folder else path.parent
    made = []
    try:
        if not folder and path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder, and a file is meant")
        if place.exists() and not place.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, f"{place} is no folder")
        for above in reversed((place, *place.parents)):
            if not above.exists():
                above.mkdir(exist_ok=True)
                made.append(above)
        with part_file(path / "trial" if folder else path, keep=False) as file:
            file.write(b"0")
    except OSError as error:
        raise unwritable_error(path, flag, error) from error
    finally:
        for above in reversed(made):
            with contextlib.suppress(OSError):  # another process has put something there
                above.rmdir()


@contextlib.contextmanager
def naming_file(path):
    """An OSError in its block that names no file, as that of a write to an open one, gets the name of `path`."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = os.fspath(path)
        raise


@contextlib.contextmanager
def writing_cache(path):
    """What the disk refuses to write to the cache in this block is told as what it is.

    Args:
        path: what is written there. Where it lies outside of `cache_root` nothing is changed.

    Raises:
        UsageError: the cache is full, or cannot be written.
    """
    root = cache_root().absolute()
    try:
        yield
    except OSError as error:
        at = Path(os.fsdecode(error.filename)).absolute() if error.filename is not None else Path(path).absolute()
        ours = at.is_relative_to(root) or (error.errno in NO_FOLDER and root.is_relative_to(at))
        if not ours or error.errno not in (*DISK_IS_FULL, *DISK_REFUSES, *NO_FOLDER):
            raise
        remedy = disk_remedy(error) or "see that it can be read and written"
        raise UsageError(
            f"GAN_TF_CACHE: the cache in {root} cannot be written ({printable(error.strerror)}); {remedy}, or set "
            "GAN_TF_CACHE to another folder"
        ) from error


@contextlib.contextmanager
def part_file(path, keep=True):
    """Opens a file for writing that takes its name only once it is complete and on the disk.

    So a reader, or a kill at any moment, sees the old file or the new one, whole. An OSError without a file's name gets
    this one's. With `keep` False the file is thrown away at the end.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        with naming_file(part), open(part, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if keep:
            os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def remove_parts(path):
    """Removes what `part_file` left of `path` where its process was killed; nobody else may be writing it now."""
    for part in path.parent.glob(f"{glob.escape(path.name)}.{'[0-9a-f]' * 8}.part"):
        part.unlink(missing_ok=True)


def write_atomically(path, content):
    """Replaces a file by `content` (bytes) in one step."""
    with part_file(path) as file:
        file.write(content)


@contextlib.contextmanager
def locked(path):
    """Holds a file lock, waiting for it; the system frees it if the process dies.

    Raises:
        UsageError: the lock lies in the cache, and that is full or cannot be written, now or in the block.
    """
    with writing_cache(path):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with open(path, "ab") as file:
            take_lock(file, wait=True)
            yield


def take_lock(file, wait):
    """Locks an open file for this process until it is closed.

    Raises:
        OSError: another process holds it, and `wait` is False (its number is one of LOCK_IS_HELD); or the file system
            knows no locks.
    """
    if os.name == "nt":
        msvcrt.locking(file.fileno(), msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
