"""Files of others: fetched once, whole or not at all, and checked."""

import contextlib
import hashlib
import os
import tempfile
import threading
import urllib.error
import urllib.request
from pathlib import Path

from gan_tf.errors import UsageError

SOCKET_SECONDS = 6  # longest wait for a connection, or for the next bytes
ANSWER_SECONDS = 8  # longest wait for the answer's headers, name look-up included
CHUNK = 1 << 18  # bytes


def sha256_of(path):
    """Hex digest of a file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(url, path, *, offline=False, say=print, check=None):
    """Downloads `url` to `path`; the file appears there whole or not at all.

    Args:
        path: where it goes; its folder is made.
        offline: forbid the download.
        say: called with the URL, the size and the destination before the download starts.
        check: called with the temporary file's path before it gets its name; may raise.

    Raises:
        UsageError: offline, no answer within ten seconds, a refusal of the server, or a connection that broke. The
            message names the URL, the file name and the folder to put it in by hand.
    """
    path = Path(path)
    remedy = f"download {url} elsewhere and put it into {path.parent} as {path.name}"
    if offline:
        raise UsageError(f"--offline forbids fetching {path.name}: {remedy}")
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file, contextlib.closing(open_url(url, remedy)) as answer:
            size = int(answer.headers.get("Content-Length") or 0)
            say(f"fetching {url} ({f'{size / 1e6:.1f} MB' if size else 'size unknown'}) to {path}")
            _copy(answer, file, size, remedy)
        if check is not None:
            _check(check, partial, url, path)
        os.replace(partial, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(partial)


def open_url(url, remedy):
    """Answer of the server, to be closed; the wait ends after ANSWER_SECONDS even where the name look-up hangs.

    Raises:
        UsageError: no answer, or a refusal; the message ends with `remedy`.
    """
    outcome = {}

    def ask():
        try:
            outcome["answer"] = urllib.request.urlopen(url, timeout=SOCKET_SECONDS)
        except (OSError, ValueError) as error:  # urllib's own errors are OSErrors
            outcome["error"] = error

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(ANSWER_SECONDS)
    if "answer" in outcome:
        return outcome["answer"]
    error = outcome.get("error", f"no answer within {ANSWER_SECONDS} s")
    if isinstance(error, urllib.error.HTTPError):
        error = f"the server says {error.code} {error.reason}"
    elif isinstance(error, urllib.error.URLError):
        error = error.reason
    raise UsageError(f"cannot fetch {url} ({error}): {remedy}")


def _check(check, partial, url, path):
    """Checks the temporary file; a complaint names the file by what it would have become."""
    try:
        check(partial)
    except UsageError as error:
        raise UsageError(f"what came from {url} is unusable: {str(error).replace(partial, path.name)}") from error


def _copy(answer, file, size, remedy):
    """Copies the answer's body; `size` is what the server promised, 0 if nothing."""
    received = 0
    try:
        while chunk := answer.read(CHUNK):
            file.write(chunk)
            received += len(chunk)
    except (TimeoutError, ConnectionError, urllib.error.URLError) as error:
        raise UsageError(f"the connection broke after {received} bytes ({error}): {remedy}") from error
    if size and received != size:
        raise UsageError(f"the connection broke after {received} of {size} bytes: {remedy}")
