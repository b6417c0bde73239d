"""Files written whole or not at all, locks between processes, and the folder of what can be remade."""

import contextlib
import errno
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
DISK_FAILS = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT)  # a network's, which another start may find well again


def remedy_of(error) -> str | None:
    """What helps if an error says that the disk is full or refuses, as OSError or in TensorFlow's words; else None."""
    full, refuses = "free some disk space", "see that it can be read and written"
    remedies = {**dict.fromkeys(DISK_IS_FULL, full), **dict.fromkeys(DISK_REFUSES, refuses)}
    if isinstance(error, OSError):
        return remedies.get(error.errno)
    # TensorFlow ends its text with the system's; the code that it gives, such as "resource exhausted", says less.
    return next((remedy for number, remedy in remedies.items() if os.strerror(number) in str(error)), None)


def is_passing(error) -> bool:
    """True if an error says that a disk, perhaps behind a network, fails: nobody's mistake."""
    return isinstance(error, OSError) and error.errno in DISK_FAILS


def printable(text):
    """One short line of a text that may come from anyone, an exception's too."""
    return UNPRINTABLE.sub("?", " ".join(str(text).split()))[:200] or type(text).__name__


def user_path(text):
    """A path that a user gave, with ~ and ~name as the home folder of that user.

    Raises:
        UsageError: there is no such user.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise UsageError(f"{text}: there is no such user's home folder; give the whole path") from error


def sha256_of(path):
    """Hex digest of a file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_root():
    """The folder in the environment variable GAN_TF_CACHE, default ~/.cache/gan_tf."""
    return Path(os.environ.get("GAN_TF_CACHE") or "~/.cache/gan_tf").expanduser()


@contextlib.contextmanager
def part_file(path):
    """Opens a file for writing that takes its name only once it is complete and on the disk.

    So a reader, or a kill at any moment, sees the old file or the new one, whole.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        with open(part, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_atomically(path, content):
    """Replaces a file by `content` (bytes) in one step."""
    with part_file(path) as file:
        file.write(content)


def lines_of(file, most):
    """Yields the lines of a file open for reading bytes; of none more than `most` bytes: longer ones are left out."""
    whole = True  # False: within a line that is too long
    while line := file.readline(most):
        ends = line.endswith(b"\n")
        if whole and (ends or len(line) < most):
            yield line
        whole = ends


@contextlib.contextmanager
def locked(path):
    """Holds a file lock, waiting for it; the system frees it if the process dies."""
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
