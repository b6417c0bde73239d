"""SHA-256 of files whose publishers name none: the first one that proves good is recorded, later ones must be equal.

Lines of URL, bytes, SHA-256, file name, tab-separated: the format of TFDS.
"""

from pathlib import Path

from gan_tf.errors import UsageError
from gan_tf.io.files import cache_root, write_atomically


def record_path():
    """Where this machine keeps what it has seen first."""
    return cache_root() / "checksums.tsv"


def read_table(path) -> dict:
    """{file name: SHA-256} of a table; {} if there is no file.

    Raises:
        UsageError: it is damaged.
    """
    try:
        lines = Path(path).read_text().splitlines()
    except FileNotFoundError:
        return {}
    rows = [line.split("\t") for line in lines if line.strip()]
    if any(len(row) != 4 for row in rows):
        raise UsageError(f"{path} is damaged: each line must be URL, bytes, SHA-256 and file name, separated by tabs")
    return {file: digest for _, _, digest, file in rows}


def refuse_other(path, digest, known):
    """Refuses a file that is another than the known one of its name.

    Args:
        path: of the file, for the message.
        digest: its SHA-256.
        known: that of the known one, None if there is none.

    Raises:
        UsageError: they differ.
    """
    if known not in (None, digest):
        raise UsageError(
            f"{path} has SHA-256 {digest} but {known} is recorded: delete the file to fetch it again, or remove its "
            f"line from {record_path()} if the new one is right"
        )


def record(url, path, digest, file, log=print):
    """Adds a line about the file at `path`, called `file`, to the record of this machine, and says so."""
    line = f"{url}\t{Path(path).stat().st_size}\t{digest}\t{file}\n"
    place = record_path()
    before = place.read_text() if place.exists() else ""
    write_atomically(place, (before + line).encode())
    log(f"{file}: recorded its SHA-256 {digest} in {place}; later copies must be equal")
