"""File formats of the run folder: JSON, and npz files with the weights of a generator.

Files may come from an untrusted source: nothing is unpickled, and an array is never larger than its file.
"""

import json
import zipfile

import numpy as np

from gan_tf.config.validation import require_type
from gan_tf.data.changes import DIGITS
from gan_tf.errors import UsageError
from gan_tf.io.arrays import DAMAGED, read_array
from gan_tf.io.content import reason_of
from gan_tf.io.files import part_file, raise_fault, write_atomically
from gan_tf.io.json_text import json_object, json_text

META_KEY = "meta_json"  # entry of a weight file that holds the score, not an array of weights


def read_json(path) -> dict:
    """Reads a JSON object from the file at a pathlib.Path.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not a regular file with a JSON object.
    """
    if path.exists() and not path.is_file():
        raise ValueError("not a regular file")  # reading a pipe blocks, reading a device never ends
    return json_object(path.read_bytes())


def write_json(path, content):
    """Replaces a JSON file in one step."""
    write_atomically(path, (json_text(content, indent=2) + "\n").encode())


def write_images(path, contents):
    """Writes images.json from [(name, SHA-256 hex)] of the training images."""
    names, digests = [name for name, _ in contents], [digest[:DIGITS] for _, digest in contents]
    write_atomically(path, json_text({"names": names, "digests": digests}).encode())


def read_images(path) -> list:
    """Reads a file of `write_images`: [(name, shortened digest)]; [] if there is none or it is damaged."""
    try:
        stored = read_json(path)
        images = list(zip(stored["names"], stored["digests"], strict=True))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise_fault(error, path)
        return []
    return images if all(isinstance(text, str) for image in images for text in image) else []


def check_data(data: dict, where: str):
    """Raises UsageError if the stored description of a run's images has a value of a wrong type."""
    data = {"class_names": [], "class_counts": [], "converted_from": "", **data}  # these may be missing
    kinds = {"fingerprint": str, "images": int, "class_names": list[str], "class_counts": list[int]}
    for name, annotation in {**kinds, "converted_from": str}.items():
        require_type(data.get(name), annotation, f"data.{name}", where)
    if min(data["class_counts"], default=0) < 0:
        raise UsageError(f"{where}: data.class_counts are not counts of images; restore the file")


def write_weights(path, weights, meta):
    """Replaces an npz file in one step: {name: array}, and a meta dict of JSON values."""
    with part_file(path) as file:
        np.savez(file, **{META_KEY: np.array(json_text(meta))}, **weights)


def read_weights(path, with_arrays=True):
    """Reads a file of `write_weights`. Returns ({name: array}, meta dict); without `with_arrays` the first is empty.

    Compressed entries are rejected, so that all arrays together are not larger than the file.

    Raises:
        UsageError: the file is damaged.
    """
    try:
        if not path.is_file():
            raise ValueError("not a regular file")
        size = path.stat().st_size
        with zipfile.ZipFile(path) as archive:
            entries = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}
            compressed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries.values())
            if compressed or sum(entry.file_size for entry in entries.values()) > size:
                raise ValueError("compressed or overlapping entries")
            meta = json.loads(str(read_array(archive, entries.pop(META_KEY), size)))
            names = entries if with_arrays else ()
            weights = {name: read_array(archive, entries[name], size) for name in names}
        if not has_image_count(meta) or any(array.dtype.kind not in "fiub" for array in weights.values()):
            raise ValueError("no image count, or arrays that are not numbers")
        return weights, meta
    except (*DAMAGED, RecursionError) as error:
        raise UsageError(f"{path} is damaged ({reason_of(error, path)}); restore it from a backup") from error


def has_image_count(record) -> bool:
    """Returns True if a record or meta dict that was read from a file has a valid image count."""
    count = record.get("images_seen") if isinstance(record, dict) else None
    return type(count) is int and 0 <= count < 10**15
