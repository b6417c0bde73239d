"""SHA-256 of files whose publishers name none: the first one that proves good is recorded, later ones must be equal.

Lines of URL, bytes, SHA-256, file name, tab-separated: the format of TFDS.
"""

from pathlib import Path

from gan_tf.errors import UsageError
from gan_tf.files import cache_root, write_atomically


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


def record(url, path, digest, file):
    """Adds a line about the file at `path`, called `file`, to the record of this machine."""
    line = f"{url}\t{Path(path).stat().st_size}\t{digest}\t{file}\n"
    place = record_path()
    before = place.read_text() if place.exists() else ""
    write_atomically(place, (before + line).encode())
