"""Files of others: fetched once, whole or not at all, and checked."""

import contextlib
import http.client
import os
import tempfile
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import NamedTuple

from gan_tf.errors import UsageError
from gan_tf.io.files import cache_root, locked, sha256_of
from gan_tf.io.progress import Progress

SOCKET_SECONDS = 6  # longest wait for a connection, or for the next bytes
ANSWER_SECONDS = 8  # longest wait for the answer's headers, name look-up included
CHUNK = 1 << 18  # bytes


class Download(NamedTuple):
    """A published file.

    name: what it is called in the cache.
    sha256: its hex digest, or as much of the beginning as its publisher put into its name.
    megabytes: its size, for messages.
    alternative: what a user can do without it, such as "give --metric swd2k".
    """

    name: str
    url: str
    sha256: str
    megabytes: float
    alternative: str = ""


class Obtained(NamedTuple):
    """A file that is there: its path, its SHA-256 (hex), and whether it is the published one."""

    path: Path
    sha256: str
    genuine: bool


def pretrained_folder():
    """Where fetched files are kept, and where a user may put them by hand."""
    return cache_root() / "pretrained"


def obtain(download, *, file=None, offline=False, log=print):
    """Finds a published file, fetching it if it was never fetched.

    The content is hashed at every call, a second or less: a cached file is never trusted blindly.

    Args:
        download: Download.
        file: path of a file to use in its place; it may be another one, which `genuine` then tells.
        offline: forbid the fetch.
        say: called with the URL, the size and the destination before a fetch.

    Returns:
        Obtained.

    Raises:
        UsageError: no such file; or nothing in the cache and no network or `offline`, with the URL, the place and the
            alternative; or what came, or lies in the cache, is damaged.
    """
    if file is not None:
        return _judged(Path(file).expanduser(), download)
    path = pretrained_folder() / download.name
    if not path.exists():
        _fetch_once(download, path, offline, log)
    found = _judged(path, download)
    if not found.genuine:
        raise UsageError(
            f"{path} is damaged or another file (its SHA-256 begins with {found.sha256[:8]}, not "
            f"{download.sha256[:8]}): delete it, so that it is fetched again"
        )
    return found


def _judged(path, download):
    try:
        digest = sha256_of(path)
    except OSError as error:
        raise UsageError(
            f"cannot read {path} ({error.strerror or error}): give the file published as {download.url}"
        ) from error
    return Obtained(path, digest, digest.startswith(download.sha256))


def _fetch_once(download, path, offline, log):
    """Fetches into the cache; of several processes one does, and the others wait for it."""
    remedy = f"download {download.url} ({download.megabytes:g} MB) elsewhere and put it into {path.parent}"
    remedy += f" as {path.name}" + (f", or {download.alternative}" if download.alternative else "")
    if offline:
        raise UsageError(f"--offline forbids fetching {path.name}: {remedy}")

    def check(partial):
        digest = sha256_of(partial)
        if not digest.startswith(download.sha256):
            raise UsageError(
                f"{partial} has a SHA-256 that begins with {digest[:8]}, not {download.sha256[:8]}: {remedy}"
            )

    with locked(path.with_name(path.name + ".lock")):
        if path.exists():
            return
        for leftover in path.parent.glob(f".{path.name}.*"):  # of a fetch that was killed
            leftover.unlink()
        fetch(download.url, path, log=log, check=check, remedy=remedy)


def fetch(url, path, *, offline=False, log=print, check=None, remedy=None):
    """Downloads `url` to `path`; the file appears there whole or not at all.

    Args:
        path: where it goes; its folder is made.
        offline: forbid the download.
        say: called with the URL, the size and the destination before the download starts.
        check: called with the temporary file's path before it gets its name; may raise.
        remedy: what a message offers; default: to put the file there by hand.

    Raises:
        UsageError: offline, no answer within ten seconds, a refusal of the server, a connection that broke, or no room
            for the file. The message names the URL, the file name and the folder to put it in by hand.
    """
    path = Path(path)
    remedy = remedy or f"download {url} elsewhere and put it into {path.parent} as {path.name}"
    if offline:
        raise UsageError(f"--offline forbids fetching {path.name}: {remedy}")
    try:
        _fetch_to(path, url, log, check, remedy)
    except OSError as error:
        raise UsageError(f"cannot write {path} ({error.strerror or error}): make room for it there") from error


def _fetch_to(path, url, log, check, remedy):
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file, contextlib.closing(open_url(url, remedy)) as answer:
            size = int(answer.headers.get("Content-Length") or 0)
            log(f"fetching {url} ({f'{size / 1e6:.1f} MB' if size else 'size unknown'}) to {path}")
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
        except (OSError, ValueError, http.client.HTTPException) as error:  # urllib's own are OSErrors
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
    with Progress(size, "fetched", "MB", scale=1_000_000) as progress:
        while chunk := _next_chunk(answer, received, remedy):
            file.write(chunk)
            received += len(chunk)
            progress.advance(len(chunk))
    if size and received != size:
        raise UsageError(f"the connection broke after {received} of {size} bytes: {remedy}")


def _next_chunk(answer, received, remedy):
    try:
        return answer.read(CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise UsageError(f"the connection broke after {received} bytes ({error}): {remedy}") from error
