"""torch.save's legacy format: five pickles (magic number, protocol, system, content, storage keys), then for each key
an int64 count and the raw numbers.

Source: PyTorch's serialization notes.
"""

import numpy as np

from gan_tf.pretrained.torch_tensors import ALLOWED, Storage, load_tensors, native, read_arrays, storage_of, stream_of
from gan_tf.pretrained.unpickling import MOST_PICKLE, load

MAGIC = 0x1950A86A20F9469CFC6C  # first pickle
PROTOCOL = 1001  # second pickle
MAGIC_WITHIN = 32  # bytes from the start of a file
MOST_HEAD = 4096  # bytes of the pickles in front of a lone storage, which are some 300


def read_legacy(file, size, tensors_of, wanted):
    """{name: array} of a file.

    Args:
        file: open, of `size` bytes.
        tensors_of: (what the pickle made, size) -> {name: Tensor}.
        wanted: {name: Tensor} -> those whose numbers are read.

    Raises:
        Refused: it asks for something else than tensors. ValueError: it is damaged.
    """
    file.seek(0)
    head = stream_of(file.read(MOST_PICKLE))
    order = _legacy_order(head)
    tensors = tensors_of(load_tensors(head), size)  # all: each tells how long its storage is
    keys = load_tensors(head)
    storages = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    if not isinstance(keys, list) or not all(type(key) is str and key in storages for key in keys):
        raise ValueError("storages that no tensor refers to")
    if len(set(keys)) < len(keys):
        raise ValueError("two storages of one key")
    needed = wanted(tensors)
    places, position = {}, head.tell()
    for key in keys:
        file.seek(position)
        count = int.from_bytes(file.read(8), "little" if order == "<" else "big")
        if count != storages[key].count:
            raise ValueError(f"storage {key[:80]!r} has {count} numbers, not {storages[key].count}")
        places[storages[key]] = position + 8
        position += 8 + storages[key].size
    return read_arrays(file, size, needed, places, order)


def read_storage(content: bytes):
    """The numbers [count] of one storage that torch.save wrote alone, in the legacy format, as a pickled tensor has it.

    Raises:
        Refused: it asks for something else. ValueError: it is damaged.
    """
    head = stream_of(content)
    order = _legacy_order(head, MOST_HEAD)
    storage, keys = (load(head, ALLOWED, storage_of, most=MOST_HEAD) for _ in range(2))
    if type(storage) is not Storage or keys != [storage.key]:
        raise ValueError("a storage that holds something else")
    begin = head.tell() + 8
    if int.from_bytes(head.read(8), "little" if order == "<" else "big") != storage.count:
        raise ValueError("a storage of another size than it says")
    if begin + storage.size > len(content):
        raise ValueError("a storage that ends too early")
    raw = np.frombuffer(content, np.dtype(storage.kind.code).newbyteorder(order), storage.count, begin)
    return native(raw, storage.kind)


def _legacy_order(head, most=MOST_PICKLE):
    """Reads the first three pickles of the legacy format: the byte order, "<" or ">"."""
    if load(head, ALLOWED, most=most) != MAGIC:
        raise ValueError("it lacks the magic number")
    if load(head, ALLOWED, most=most) != PROTOCOL:
        raise ValueError("an unknown protocol")
    system = load(head, ALLOWED, most=most)
    return ">" if isinstance(system, dict) and system.get("little_endian") is False else "<"
