"""SHA-256 of many files, remembered by their stat data, so that the next start does not read everything again."""

import concurrent.futures
import hashlib
import json
import os

from gan_tf.io.files import cache_root, write_atomically, writing_cache
from gan_tf.io.progress import Progress


def file_stamp(path):
    """Size and times of a file: changes when it is written to, even where the modification time is then set back."""
    try:
        status = os.stat(path)
    except OSError:
        return "missing"
    return f"{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}"


def remembered_digests(where, stamps, digest):
    """Returns `digest(i)` for every i, asking only for those whose stamp was not seen at the last start.

    Args:
        where: path that the stamps belong to; names the file of the cache.
        stamps: N strings, unique.
        digest: function of i -> hex string; called from several threads.

    Returns:
        list of N hex strings.
    """
    place = hashlib.sha256(os.path.realpath(os.path.expanduser(where)).encode()).hexdigest()[:32]
    path = cache_root() / "digests" / f"{place}.json"
    try:
        known = json.loads(path.read_text())
    except (OSError, ValueError):  # first start, or a damaged file: hash again
        known = {}
    unknown = [i for i, stamp in enumerate(stamps) if not known.get(stamp)]
    known.update(zip([stamps[i] for i in unknown], hash_all(unknown, digest), strict=True))
    if unknown:
        with writing_cache(path):
            write_atomically(path, json.dumps({stamp: known[stamp] for stamp in stamps}).encode())
    return [known[stamp] for stamp in stamps]


def hash_all(rows, digest):
    """Returns [digest(i) for i in rows], in threads (hashing and reading work outside of Python's lock)."""
    digests = []
    with concurrent.futures.ThreadPoolExecutor() as pool, Progress(len(rows), "hashed") as progress:
        for done in pool.map(digest, rows):
            digests.append(done)
            progress.advance()
    return digests
