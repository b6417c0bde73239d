"""torch.save's zip archives: <folder>/data.pkl, <folder>/data/<key> with the raw numbers of each storage, and
<folder>/byteorder.

Source: PyTorch's serialization notes; the zip format's local headers.
"""

import zipfile

from gan_tf.pretrained.torch_tensors import load_tensors, read_arrays, stream_of
from gan_tf.pretrained.unpickling import MOST_PICKLE

LOCAL_HEADER = 30  # bytes before the names in front of a zip entry
ZIP_START = b"PK\x03\x04"


def read_zip(file, size, tensors_of, wanted):
    """{name: array} of an archive.

    Args:
        file: open, of `size` bytes.
        tensors_of: (what the pickle made, size) -> {name: Tensor}.
        wanted: {name: Tensor} -> those whose numbers are read.

    Raises:
        Refused: it asks for something else than tensors. ValueError: it is damaged.
    """
    entries = _directory(file)
    folders = [name.removesuffix("data.pkl") for name in entries if name.endswith("/data.pkl")]
    if len(folders) != 1:
        raise ValueError(f"a zip archive with {len(folders)} data.pkl")
    [folder] = folders

    def numbers_of(name):
        """(first byte, bytes) of an entry."""
        entry = entries.get(folder + name)
        if entry is None:
            raise ValueError(f"no entry {name[:80]!r}")
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
            raise ValueError(f"the entry {name[:80]!r} is packed")
        file.seek(entry.header_offset)
        header = file.read(LOCAL_HEADER)
        if len(header) < LOCAL_HEADER or not header.startswith(ZIP_START):
            raise ValueError(f"no entry {name[:80]!r} where the directory says")
        names = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
        return entry.header_offset + LOCAL_HEADER + names, entry.file_size

    def bytes_of(name):
        begin, count = numbers_of(name)
        if count > MOST_PICKLE:
            raise ValueError(f"the entry {name!r} has {count} bytes")
        file.seek(begin)
        return file.read(count)

    order = ">" if folder + "byteorder" in entries and bytes_of("byteorder") == b"big" else "<"
    tensors = wanted(tensors_of(load_tensors(stream_of(bytes_of("data.pkl"))), size))
    places = {}
    for storage in {tensor.storage for tensor in tensors.values()}:
        begin, count = numbers_of(f"data/{storage.key}") if storage.count else (0, 0)
        if count < storage.size:
            raise ValueError(f"storage {storage.key[:80]!r} has {count} of its {storage.size} bytes")
        places[storage] = begin
    return read_arrays(file, size, tensors, places, order)


def _directory(file):
    """{name: zipfile.ZipInfo}."""
    try:
        with zipfile.ZipFile(file) as archive:
            return {entry.filename: entry for entry in archive.infolist()}
    except (OSError, MemoryError):
        raise
    except Exception as error:  # of many types, for many kinds of damage
        raise ValueError(str(error)) from error
