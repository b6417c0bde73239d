"""The files of a run folder as they are read and written: within bounds, since a run may come from anyone.

Settings and records are JSON, weights and their scores `.npz` of numbers in which nothing is packed.
"""

import contextlib
import functools
import json
import zipfile

import numpy as np

from gan_tf.errors import UsageError
from gan_tf.io import npz
from gan_tf.io.files import part_file

INSTEAD = "use --which last"  # of weights that are damaged
META_KEY = "meta_json"  # entry of best/generator.npz that is no weight
# What reading JSON raises where it is none, or not what we wrote. RecursionError: brackets in brackets.
NOT_JSON = (ValueError, KeyError, TypeError, RecursionError)
MOST_JSON = 64 << 20  # bytes of a JSON file of ours; names of 100,000 classes need a twentieth of it
NUMBERS = "fiub"  # kinds of arrays that weights are


def exists(path):
    """Path.exists, which raises where a folder on the way may not be searched.

    Raises:
        UsageError: so it is.
    """
    try:
        return path.exists()
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read ({error.strerror}); make its folder readable, or give another run (in training: "
            "another --checkpoints)"
        ) from error


def write_npz(path, weights, meta):
    with part_file(path) as file:
        np.savez(file, **{META_KEY: np.array(json.dumps(meta))}, **weights)


def read_json(path):
    """What a JSON file holds.

    Raises:
        OSError: it cannot be read. NOT_JSON: it is none.
    """
    if path.exists() and not path.is_file():
        raise ValueError("no plain file")  # a pipe would be waited for, a device never ends
    with open(path, "rb") as file:
        content = file.read(MOST_JSON + 1)
    if len(content) > MOST_JSON:
        raise ValueError("too large")
    return json.loads(content)


def read_npz(path, instead=INSTEAD):
    """({name: array}, meta) of a file of weights. `instead` is what a message about a damaged one offers."""
    with _opened(path, instead) as entries:
        weights = {name: read() for name, read in entries.items() if name != META_KEY}
        meta = _meta(entries)
        if any(array.dtype.kind not in NUMBERS for array in weights.values()) or not tells_images(meta):
            raise ValueError("no weights")
        return weights, meta


def read_meta(path):
    """The meta alone: the weights stay on the disk."""
    with _opened(path, INSTEAD) as entries:
        return _meta(entries)


def _meta(entries):
    return json.loads(str(entries[META_KEY]()))


def tells_images(record):
    return isinstance(record, dict) and type(record.get("images_seen")) is int


@contextlib.contextmanager
def _opened(path, instead):
    """{name: function that reads the array} of a zip archive of weights.

    As `write_npz` makes it: nothing in it is packed, so that no more can be in it than its size.
    """
    try:
        if not path.is_file():
            raise ValueError("no plain file")
        with zipfile.ZipFile(path) as archive:
            entries, size = archive.infolist(), path.stat().st_size
            packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
            if packed or sum(entry.file_size for entry in entries) > size:
                raise ValueError("packed or overlapping content")
            yield {
                entry.filename.removesuffix(".npy"): functools.partial(npz.read, archive, entry, size)
                for entry in entries
            }
    except npz.DAMAGED as error:
        raise UsageError(f"{path} is damaged; {instead}, or train until the next better score") from error
