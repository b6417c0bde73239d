"""Downloads published files once, checks their SHA-256 and keeps them in the cache. Continues broken downloads."""

import contextlib
import http.client
import os
import re
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gan_tf.errors import UsageError
from gan_tf.io.content import reason_of
from gan_tf.io.files import cache_root, naming, raise_fault, remove_parts, sha256_of, write_atomically
from gan_tf.io.locks import locked
from gan_tf.io.progress import Progress

SOCKET_SECONDS = 6  # time limit of a connection, and of each read
ANSWER_SECONDS = 8  # time limit of the response headers, DNS look-up included
CHUNK = 1 << 18  # bytes


class Download(NamedTuple):
    """A published file."""

    name: str  # file name in the cache
    url: str
    sha256: str  # hex digest, or its first digits if the publisher states no more
    megabytes: float  # for messages
    alternative: str = ""  # a way to work without the file, for messages, such as "give --metric swd2k"


class Obtained(NamedTuple):
    """A local file: its path, its SHA-256 in hex, and whether it is the published file (`genuine`)."""

    path: Path
    sha256: str
    genuine: bool


def pretrained_folder():
    """Returns the folder of the downloaded files. A user without a network may put files there by hand."""
    return cache_root() / "pretrained"


def obtain(download, *, file=None, offline=False, log=print):
    """Returns a published file as Obtained, from the cache or the network. Its content is hashed at every call.

    Args:
        download: Download.
        file: path of a local file to use instead; it may be another one, see `Obtained`.
        offline, log: as for `fetch`.

    Raises:
        UsageError: `file` cannot be read; or, without `file`, the download fails or the SHA-256 differs.
    """
    path = pretrained_folder() / download.name if file is None else Path(file).expanduser()
    if file is None and not path.exists():
        remedy = f"download {download.url} ({download.megabytes:g} MB) elsewhere and put it into {path.parent}"
        remedy += f" as {path.name}" + (f", or {download.alternative}" if download.alternative else "")

        def check(part):
            if not (digest := sha256_of(part)).startswith(download.sha256):
                reason = reason_of("it is damaged or another file", part)
                raise UsageError(f"{part} has the SHA-256 {digest[:8]}, not {download.sha256[:8]} ({reason}): {remedy}")

        fetch(download.url, path, check, offline=offline, log=log, remedy=remedy)
    try:
        digest = sha256_of(path)
    except OSError as error:
        raise_fault(error, path)
        reason = f"cannot read {path} ({error.strerror or error})"
        raise UsageError(f"{reason}: give the file published as {download.url}") from error
    genuine = digest.startswith(download.sha256)
    if file is None and not genuine:
        reason = reason_of(f"its SHA-256 is {digest[:8]}, not {download.sha256[:8]}", path)
        raise UsageError(f"{path} is damaged or another file ({reason}): delete it, and it is downloaded again")
    return Obtained(path, digest, genuine)


def fetch(url, path, check, *, offline=False, log=print, remedy=None):
    """Downloads `url` to `path` in the cache, unless it exists. One of several processes does so; the others wait.

    The temporary file of a download that broke or was killed is kept, and the next call continues it.

    Args:
        check: called with the path of the complete temporary file; raises UsageError for a damaged one.
        offline: forbids the download.
        log: called with the URL, the size and the destination before the download.
        remedy: end of the error messages; default: advice to put the file there by hand.

    Raises:
        UsageError: `offline`, no response within ANSWER_SECONDS, an HTTP error, a broken connection or a full disk.
    """
    remedy = remedy or f"download {url} elsewhere and put it into {path.parent} as {path.name}"
    if offline:
        raise UsageError(f"--offline forbids downloading {path.name}: {remedy}")
    with locked(path.with_name(path.name + ".lock")) as own, naming(path):
        if path.exists():
            return
        part = path.with_name(f"{path.name}{own}.part")
        try:
            if not own:
                remove_parts(path.parent, re.escape(path.name))  # those that no later process continues
            _download(url, part, path, check, log, remedy)
            os.replace(part, path)
        finally:
            if own:
                part.unlink(missing_ok=True)


def _download(url, part, path, check, log, remedy):
    """Downloads the file `part`, or its rest if the server supports that, and checks it. For messages: `path`."""
    done = part.stat().st_size if part.exists() else 0
    with contextlib.closing(open_url(url, remedy, first=done)) as response, open(part, "ab") as file:
        if not response.headers.get("Content-Range", "").startswith(f"bytes {done}-"):
            done = 0
        file.truncate(done)
        rest = int(response.headers.get("Content-Length") or 0)
        size = done + rest if rest else 0
        here = f", {done / 1e6:.1f} MB are here already" if done else ""
        log(f"downloading {url} ({f'{size / 1e6:.1f} MB' if size else 'size unknown'}{here}) to {path}")
        _copy(response, file, done, size, f"start again, or {remedy}")
        file.flush()
        os.fsync(file.fileno())
    try:
        check(str(part))
    except UsageError as error:
        part.unlink()
        if done:  # its parts may be of two versions of the file
            return _download(url, part, path, check, log, remedy)
        reason = str(error).replace(str(part), path.name)
        raise UsageError(f"the file downloaded from {url} is unusable: {reason}") from error


def open_url(url, remedy, first=0):
    """Returns the HTTP response; the caller closes it.

    Args:
        first: number of the first byte wanted. The response has the header Content-Range if the server supports that.

    Raises:
        UsageError: no response within ANSWER_SECONDS, or an HTTP error; the message ends with `remedy`.
    """
    outcome = {}

    def request():  # in a thread: the time limits of sockets do not cover the DNS look-up
        try:
            wanted = urllib.request.Request(url, headers={"Range": f"bytes={first}-"} if first else {})
            outcome["response"] = urllib.request.urlopen(wanted, timeout=SOCKET_SECONDS)
        except (OSError, ValueError, http.client.HTTPException) as error:  # reads no file: the network
            outcome["error"] = error

    thread = threading.Thread(target=request, daemon=True)
    thread.start()
    thread.join(ANSWER_SECONDS)
    if "response" in outcome:
        return outcome["response"]
    error = outcome.get("error", f"no answer within {ANSWER_SECONDS} s")
    if isinstance(error, urllib.error.HTTPError):
        if first and error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return open_url(url, remedy)
        error = f"the server responded with {error.code} {error.reason}"
    elif isinstance(error, urllib.error.URLError):
        error = error.reason
    raise UsageError(f"cannot download {url} ({error}): {remedy}")


def _copy(response, file, done, size, remedy):
    """Copies the body of a response after the first `done` bytes; `size`: of the whole file, 0 if unknown."""
    with Progress(size, "downloaded", "MB", scale=1_000_000, before=done) as progress:
        while True:
            try:
                chunk = response.read(CHUNK)
            except (OSError, http.client.HTTPException) as error:  # reads no file: the network
                raise UsageError(f"the connection broke after {done} bytes ({error}): {remedy}") from error
            if not chunk:
                break
            file.write(chunk)
            done += len(chunk)
            progress.advance(len(chunk))
    if size and done != size:
        raise UsageError(f"the connection broke after {done} of {size} bytes: {remedy}")


def check_arrays(arrays, shapes, download):
    """Raises UsageError unless `arrays` has the names and shapes of `shapes`, {name: shape}, and finite numbers.

    `download` is the published file with such arrays, for the message.
    """
    for name in sorted(arrays.keys() | shapes.keys()):
        if name not in arrays or name not in shapes:
            reason = f"{name[:80]} is {'unknown' if name in arrays else 'missing'}"
        elif arrays[name].shape != shapes[name]:
            reason = f"{name} has shape {arrays[name].shape}, not {shapes[name]}"
        elif not np.isfinite(arrays[name]).all():
            reason = f"{name} has numbers that are not finite"
        else:
            continue
        remedy = f"give the file published as {download.url}"
        raise UsageError(f"the weights for {download.name} are of another network ({reason}): {remedy}")


def checksums_path():
    """Returns the path of this machine's records of the checksums of files whose publisher states none.

    The SHA-256 of the first usable file is recorded; later files must have the same. A record is a line of URL, bytes,
    SHA-256 and file name, separated by tabs, as in TensorFlow Datasets.
    """
    return cache_root() / "checksums.tsv"


def read_checksums(path) -> dict:
    """Returns {file name: SHA-256} of a file of records, {} if there is none. Raises UsageError if it is damaged."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    rows = [line.split("\t") for line in lines if line.strip()]
    if any(len(row) != 4 for row in rows):
        raise UsageError(f"{path} is damaged: each line must be URL, bytes, SHA-256 and file name, separated by tabs")
    return {name: digest for _, _, digest, name in rows}


def require_checksum(path, digest, recorded):
    """Raises UsageError if the SHA-256 `digest` of the file at `path` is not the recorded one (None: no record)."""
    if recorded not in (None, digest):
        raise UsageError(
            f"{path} has SHA-256 {digest} ({reason_of('it is another file', path)}) but {recorded} is recorded: delete "
            f"the file to download it again, or remove its line from {checksums_path()} if the new one is right"
        )


def record_checksum(url, path, digest, name, log=print):
    """Adds the file at `path`, published as `name`, to this machine's records."""
    records = checksums_path()
    before = records.read_text(encoding="utf-8") if records.exists() else ""
    write_atomically(records, f"{before}{url}\t{Path(path).stat().st_size}\t{digest}\t{name}\n".encode())
    log(f"{name}: recorded its SHA-256 {digest} in {records}; later copies must be equal")
