"""File locks between processes, also on file systems that have none."""

import contextlib
import errno
import os
import secrets
import time
from pathlib import Path

from gan_tf.io.files import cache_root, printable, writing_cache
from gan_tf.io.progress import log

try:
    import fcntl
except ImportError:  # Windows
    import msvcrt

    fcntl = None

LOCK_IS_HELD = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)
# Network drives without a lock service, and many drives in user space, such as Google Drive in Colab.
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
WAIT_SECONDS = 1.0  # a longer wait prints a line
folders_without_locks = set()  # that a line was printed for


@contextlib.contextmanager
def locked(path):
    """Waits for the lock of the file `path` and holds it during the block. Converts OSErrors as `writing_cache` does.

    The system releases the lock if the process dies.

    Yields:
        "", or, without locks, random hex for the names of unfinished files, so that two processes write different
        ones. With "" a later process finds the unfinished file of a killed one, and continues it.
    """
    with writing_cache(path):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with open(path, "ab") as file:
            yield "" if take_lock(file, wait=True) else f".{secrets.token_hex(4)}"


def take_lock(file, wait=False):
    """Locks an open file for this process until it is closed. With `wait`, waits for another process that holds it.

    Returns:
        True; False if its file system has no locks, after a line that names the folder, once for each.

    Raises:
        BlockingIOError: another process holds it and `wait` is False.
        OSError: any other error.
    """
    start, is_shown = time.monotonic(), False
    while True:
        try:
            _lock(file)
            return True
        except OSError as error:
            if error.errno in NO_LOCKS:
                _print_missing_locks(Path(file.name).absolute(), error.strerror)
                return False
            if error.errno not in LOCK_IS_HELD:
                raise
            if not wait:
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN), file.name) from error
        if not is_shown and time.monotonic() - start >= WAIT_SECONDS:
            is_shown = True
            log(f"waiting for another process, which holds the lock {printable(file.name)}")
        time.sleep(WAIT_SECONDS if is_shown else WAIT_SECONDS / 10)


def _lock(file):
    if fcntl is None:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _print_missing_locks(path, reason):
    folder = cache_root().absolute() if path.is_relative_to(cache_root().absolute()) else path.parent
    if folder not in folders_without_locks:
        folders_without_locks.add(folder)
        log(
            f"{printable(folder)}: its file system has no locks ({printable(reason)}): do not let two processes write "
            "there at the same time"
        )
