"""Reads files of torch.save without PyTorch, in the zip format and in the legacy format, and runs no code in them.

zip     an archive of <folder>/data.pkl, <folder>/data/<key> with the numbers of each storage, and <folder>/byteorder
legacy  five pickles (magic number, protocol, system, content, storage keys), then for each key an int64 count and the
        numbers

A tensor is a view of a storage, a flat array. Arrays are views of the file, which is mapped into memory.

Format: PyTorch's serialization notes; local headers of the zip format.
"""

import io
import zipfile
from pathlib import Path

import numpy as np

from gan_tf.errors import UsageError
from gan_tf.pretrained.unpickling import STORAGE_TYPES, Name, PickledObject, RestrictedUnpickler, map_file, reading

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001  # the first two pickles of the legacy format
HEAD = 32  # bytes at the start of a file that contain the magic number
ZIP_START, LOCAL_HEADER = b"PK\x03\x04", 30  # a zip entry begins with a header of 30 bytes, then its names


class Storage:
    """A flat array in a file: key, type and size as the pickle states them, and its numbers [count] once read."""

    def __init__(self, key, kind, count):
        self.key, self.kind, self.count, self.numbers = key, kind, count, None
        self.dtype = np.dtype(STORAGE_TYPES[kind])

    def read(self, buffer, offset, order):
        """Reads the numbers from `offset` on; `order` is the byte order, "<" or ">". Returns the offset after them."""
        stored = self.dtype.newbyteorder(order)
        numbers = np.frombuffer(buffer, stored, self.count, offset) if self.count else np.zeros(0, stored)
        numbers = numbers.astype(self.dtype, copy=False)
        if self.kind == "torch.BFloat16Storage":
            numbers = (numbers.astype(np.uint32) << 16).view(np.float32)
        elif self.kind == "torch.BoolStorage":
            numbers = numbers != 0
        self.numbers = numbers
        return offset + self.count * self.dtype.itemsize


class TorchUnpickler(RestrictedUnpickler):
    """Unpickler of torch.save's pickles; `storages` is {key: Storage} after `load`."""

    def __init__(self, stream):
        super().__init__(stream)
        self.storages = {}

    def persistent_load(self, pid):
        """Returns the Storage of ("storage", type, key, device, count[, None])."""
        tag, kind, key, _, count, *view = pid
        if tag != "storage" or type(kind) is not Name or type(key) is not str or type(count) is not int or any(view):
            raise ValueError("a storage without a type, key or size")
        storage = self.storages.setdefault(key, Storage(key, kind.name, count))
        if count < 0 or (storage.kind, storage.count) != (kind.name, count):
            raise ValueError(f"storage {key[:40]!r} has two sizes or types, or a negative size")
        return storage


def read_torch_file(path):
    """Reads a file of torch.save.

    Returns:
        The saved object: dicts, lists, tuples, numbers and text, with tensors as read-only NumPy arrays of the stored
        shape and type (bfloat16 as float32). Tensors that share a storage are views of one array.

    Raises:
        UsageError: the file cannot be read, is damaged, or asks for anything but tensors.
    """
    path = Path(path)
    with reading(path, "file of torch.save"):
        mapped = map_file(path)
        content = _read_zip(mapped) if mapped[:4] == ZIP_START else read_legacy(mapped, mapped)
        return _with_arrays(content, {})


def read_state_dict(path) -> dict:
    """Reads a file of torch.save that is one state dict: {name: array}. Raises UsageError as `read_torch_file`."""
    state = read_torch_file(path)
    items = state.items() if type(state) is dict else [(None, state)]
    if not all(type(name) is str and isinstance(value, np.ndarray) for name, value in items):
        raise UsageError(f"{path} is no state dict, tensors by name: give another file")
    return state


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
        raise UsageError(
            f"the weights for {download.name} are of another network ({reason}): give the file published as "
            f"{download.url}"
        )


def is_torch_file(path) -> bool:
    """Returns True for a file of torch.save, by its first bytes. Raises OSError, or ValueError if it is empty."""
    head = map_file(path)[:HEAD]
    return head.startswith(ZIP_START) or MAGIC.to_bytes(10, "little") in head


def _read_zip(mapped):
    """Unpickles the content of an archive and reads its storages."""
    with zipfile.ZipFile(mapped) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
    folders = [name.removesuffix("data.pkl") for name in entries if name.endswith("/data.pkl")]
    if len(folders) != 1:
        raise ValueError(f"a zip archive with {len(folders)} data.pkl")
    [folder] = folders

    def locate(name):
        """Returns (first byte, size) of an entry."""
        entry = entries[folder + name]
        header = mapped[entry.header_offset : entry.header_offset + LOCAL_HEADER]
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 or not header.startswith(ZIP_START):
            raise ValueError(f"the entry {name[:40]} is compressed, encrypted or not where the directory says")
        names = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
        return entry.header_offset + LOCAL_HEADER + names, entry.file_size

    begin, size = locate("byteorder") if folder + "byteorder" in entries else (0, 0)
    order = ">" if mapped[begin : begin + size] == b"big" else "<"
    begin, size = locate("data.pkl")
    unpickler = TorchUnpickler(io.BytesIO(mapped[begin : begin + size]))
    value = unpickler.load()
    for key, storage in unpickler.storages.items():
        begin, size = locate(f"data/{key}") if storage.count else (0, 0)
        if storage.read(mapped, begin, order) > begin + size:
            raise ValueError(f"storage {key[:40]!r} is larger than its entry")
    return value


def read_legacy(stream, buffer):
    """Unpickles a file in the legacy format and reads its storages; `stream` and `buffer` have the same bytes."""
    magic, protocol, system = (TorchUnpickler(stream).load() for _ in range(3))
    if (magic, protocol) != (MAGIC, PROTOCOL):
        raise ValueError("without the magic number of torch.save")
    order = ">" if type(system) is dict and system.get("little_endian") is False else "<"
    unpickler = TorchUnpickler(stream)
    value, keys = unpickler.load(), TorchUnpickler(stream).load()
    offset = stream.tell()
    if set(keys) != set(unpickler.storages):
        raise ValueError("other storages than its tensors need")
    for key in keys:
        storage = unpickler.storages[key]
        if int.from_bytes(buffer[offset : offset + 8], "little" if order == "<" else "big") != storage.count:
            raise ValueError(f"storage {key[:40]!r} has another size than its tensors state")
        offset = storage.read(buffer, offset + 8, order)
    return value


def _with_arrays(value, done):
    """Returns an unpickled value with arrays in place of tensors; `done` is {id: result} of its containers."""
    if id(value) in done:
        return done[id(value)]
    if type(value) is dict:
        result = done[id(value)] = {}  # before its items: it may contain itself
        result.update((key, _with_arrays(item, done)) for key, item in value.items())
    elif type(value) is list:
        result = done[id(value)] = []
        result.extend(_with_arrays(item, done) for item in value)
    elif type(value) is tuple:
        result = done[id(value)] = tuple(_with_arrays(item, done) for item in value)
    elif type(value) in (str, bytes, int, float, bool, type(None), set):
        result = value
    else:
        result = done[id(value)] = tensor_array(value, lambda storage: storage.numbers)
    return result


def tensor_array(pickled, numbers_of):
    """Returns the array of a pickled tensor or parameter: a read-only view of its storage's numbers.

    `numbers_of` is a function of the storage, as it is in the pickle, that returns its numbers [count].
    """
    if type(pickled) is PickledObject and pickled.name == "torch._utils._rebuild_parameter":
        pickled = pickled.arguments[0]
    if type(pickled) is not PickledObject or pickled.name != "torch._utils._rebuild_tensor_v2":
        raise ValueError(f"a {getattr(pickled, 'name', type(pickled).__name__)} in place of a tensor")
    storage, offset, shape, strides, _, _, *metadata = pickled.arguments
    if any(metadata):
        raise ValueError("a conjugated or negated tensor")
    if len(shape) != len(strides) or not all(type(n) is int and n >= 0 for n in (offset, *shape, *strides)):
        raise ValueError("a tensor without a proper shape")
    numbers = numbers_of(storage)
    if 0 in shape:
        return np.zeros(shape, numbers.dtype)
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    if last >= numbers.size:
        raise ValueError(f"a tensor that ends at number {last + 1} of a storage of {numbers.size}")
    steps = [step * numbers.itemsize for step in strides]
    return np.lib.stride_tricks.as_strided(numbers[offset:], shape, steps, writeable=False)
