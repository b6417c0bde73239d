"""State dicts written by torch.save, read without PyTorch and without trusting the file.

Such a file is a pickle, a program that `unpickling` runs, and the numbers that it refers to. Two formats exist:

    zip     <folder>/data.pkl, <folder>/data/<key> with the raw numbers of each storage, <folder>/byteorder
    legacy  five pickles (magic number, protocol, system, state dict, storage keys), then for each key an int64 count
            and the raw numbers

The pickle may name only what stands in ALLOWED, which makes plain tuples that cannot be changed afterwards, so that the
file reaches no code of ours. Sizes that it states are held against the size of the file before anything is allocated.

Format: PyTorch's serialization notes; pickle's instructions as in Python's pickletools.
"""

import io
import math
import os
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gan_tf.pretrained.unpickling import MOST_PICKLE, DictMaker, Maker, Stream, load, one_line

MAGIC = 0x1950A86A20F9469CFC6C  # first pickle of the legacy format
PROTOCOL = 1001  # second pickle
MOST_AXES = 32  # of a tensor
MOST_HEAD = 4096  # bytes of the pickles in front of a lone storage, which are some 300
MOST_VALUES = 200_000  # in the dicts and lists of a checkpoint
MOST_DEPTH = 8  # of dicts in dicts
LOCAL_HEADER = 30  # bytes before the names in front of a zip entry
ZIP_START = b"PK\x03\x04"
MAGIC_WITHIN = 32  # bytes from the start of a legacy file


class Kind(NamedTuple):
    """Type of a storage's numbers; `code` is NumPy's, without the byte order."""

    name: str
    code: str


class Storage(NamedTuple):
    """A flat run of numbers in the file."""

    key: str
    kind: Kind
    count: int

    @property
    def size(self):
        """Bytes."""
        return self.count * np.dtype(self.kind.code).itemsize


class Tensor(NamedTuple):
    """A view of a storage; offset and strides count numbers."""

    storage: Storage
    offset: int
    shape: tuple
    strides: tuple


class TensorMaker(Maker):
    """What the pickle gets for torch._utils._rebuild_tensor_v2."""

    __slots__ = ()

    def __call__(self, storage, offset, shape, strides, requires_grad=False, hooks=None, metadata=None):
        whole = isinstance(shape, tuple) and isinstance(strides, tuple) and len(shape) == len(strides) <= MOST_AXES
        if not whole or not all(type(n) is int and n >= 0 for n in (offset, *shape, *strides)):
            raise ValueError("a tensor without a proper shape")
        if type(storage) is not Storage:
            raise ValueError("a tensor without a storage")
        if metadata:
            raise ValueError("a conjugated or negated tensor")
        last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
        if 0 not in shape and last >= storage.count:
            raise ValueError(f"a tensor that ends at number {last + 1} of a storage of {storage.count}")
        return Tensor(storage, offset, shape, strides)


class ParameterMaker(Maker):
    """What the pickle gets for torch._utils._rebuild_parameter: the tensor itself."""

    __slots__ = ()

    def __call__(self, tensor, requires_grad=True, hooks=None):
        if type(tensor) is not Tensor:
            raise ValueError("a parameter without a tensor")
        return tensor


KINDS = {
    "DoubleStorage": "f8",
    "FloatStorage": "f4",
    "HalfStorage": "f2",
    "BFloat16Storage": "u2",  # the upper half of a float32
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "u1",
}
ALLOWED = {
    ("collections", "OrderedDict"): DictMaker(),
    ("torch._utils", "_rebuild_tensor_v2"): TensorMaker(),
    ("torch._utils", "_rebuild_parameter"): ParameterMaker(),
    **{("torch", name): Kind(name, code) for name, code in KINDS.items()},
}


def read_torch_file(path, only=None):
    """Reads a state dict.

    Args:
        path: a file of torch.save, in either format.
        only: function of a tensor's name; False leaves the tensor out, and its numbers unread. Default: all.

    Returns:
        {name: array} in the file's order, shapes and types as stored, but bfloat16 as float32. Tensors that share a
        storage are views of one array; all are read-only.

    Raises:
        UsageError: no such file; a file that is truncated, damaged or of another program; one that asks for anything
            but tensors, which the message names.
    """
    return _read(path, _named_tensors, only, "state dict of torch.save")


def read_torch_checkpoint(path, only=None):
    """Reads a dict of state dicts, as training scripts save it, the state of their optimisers among them.

    Args:
        path, only: as for `read_torch_file`; `only` is asked for the tuple of keys that leads to a tensor.

    Returns:
        {(key, ..., key): array}: the keys of dicts (strings, or numbers) and the places in lists that lead to it.
        Values that are no tensors (numbers, text) are left out.

    Raises:
        UsageError: as `read_torch_file`.
    """
    return _read(path, _nested_tensors, only, "checkpoint of torch.save")


def is_torch_file(head: bytes) -> bool:
    """True if a file that begins so is one of torch.save, in either format."""
    return head.startswith(ZIP_START) or MAGIC.to_bytes(10, "little") in head[:MAGIC_WITHIN]


def _read(path, tensors_of, only, kind):
    """{name: array} of the tensors that `tensors_of` finds in what a file of torch.save holds."""
    path = Path(path)
    with one_line(path, kind), open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        is_zip = file.read(len(ZIP_START)) == ZIP_START
        return (_read_zip if is_zip else _read_legacy)(file, size, tensors_of, only or (lambda name: True))


def storage_of(pid):
    """What a pickle refers to, ("storage", kind, key, device, count[, view]), as a Storage."""
    if type(pid) is not tuple or not 5 <= len(pid) <= 6 or pid[0] != "storage":
        raise ValueError("a reference to something that is no storage")
    _, kind, key, _, count, *view = pid
    if type(kind) is not Kind or type(key) is not str or type(count) is not int or count < 0:
        raise ValueError("a storage without a proper type, key or size")
    if view not in ([], [None]):
        raise ValueError("a part of a storage, as only PyTorch before 0.4 wrote it")
    return Storage(key, kind, count)


def _load(stream):
    return load(stream, ALLOWED, storage_of)


def _named_tensors(state, size):
    """The tensors of a state dict: {name: Tensor}."""
    if not isinstance(state, dict):
        raise ValueError(f"it holds a {type(state).__name__} and no dict of tensors")
    for name, tensor in dict.items(state):
        if type(name) is not str:
            raise ValueError(f"a tensor whose name is a {type(name).__name__}")
        if type(tensor) is not Tensor:
            raise ValueError(f"{name!r:.80} is a {type(tensor).__name__} and no tensor")
        _refuse_larger(name, tensor, size)
    return dict(dict.items(state))


def _nested_tensors(state, size):
    """The tensors in dicts and lists of others: {(key, ..., key): Tensor}."""
    if not isinstance(state, dict):
        raise ValueError(f"it holds a {type(state).__name__} and no dict")
    found, left = {}, [((), state)]
    for _ in range(MOST_VALUES):
        if not left:
            return found
        path, value = left.pop()
        if type(value) is Tensor:
            _refuse_larger("/".join(map(str, path)), value, size)
            found[path] = value
        elif isinstance(value, (dict, list)) or type(value) is tuple:
            if len(path) >= MOST_DEPTH:
                raise ValueError(f"dicts or lists in each other, deeper than {MOST_DEPTH}")
            if len(left) + len(value) > MOST_VALUES:
                break
            pairs = list(dict.items(value) if isinstance(value, dict) else enumerate(value))
            left += [((*path, key), part) for key, part in reversed(pairs)]
        elif not isinstance(value, (int, float, str, bytes, type(None))):
            raise ValueError(f"{'/'.join(map(str, path))!r:.80} is a {type(value).__name__} and no tensor")
    raise ValueError(f"more than {MOST_VALUES} values")


def _refuse_larger(name, tensor, size):
    if math.prod(tensor.shape) > size:
        raise ValueError(f"{name!r:.80} has the shape {tensor.shape}, more numbers than the file has bytes")


def _read_zip(file, size, tensors_of, only):
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
    tensors = tensors_of(_load(_stream(bytes_of("data.pkl"))), size)
    tensors = {name: tensor for name, tensor in tensors.items() if only(name)}
    places = {}
    for storage in {tensor.storage for tensor in tensors.values()}:
        begin, count = numbers_of(f"data/{storage.key}") if storage.count else (0, 0)
        if count < storage.size:
            raise ValueError(f"storage {storage.key[:80]!r} has {count} of its {storage.size} bytes")
        places[storage] = begin
    return _arrays(file, size, tensors, places, order)


def _directory(file):
    """{name: zipfile.ZipInfo}."""
    try:
        with zipfile.ZipFile(file) as archive:
            return {entry.filename: entry for entry in archive.infolist()}
    except OSError:
        raise
    except Exception as error:  # of many types, for many kinds of damage
        raise ValueError(str(error)) from error


def _read_legacy(file, size, tensors_of, only):
    file.seek(0)
    head = _stream(file.read(MOST_PICKLE))
    order = _legacy_order(head)
    tensors = tensors_of(_load(head), size)  # all: each tells how long its storage is
    keys = _load(head)
    storages = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    if not isinstance(keys, list) or not all(type(key) is str and key in storages for key in keys):
        raise ValueError("storages that no tensor refers to")
    places, position = {}, head.tell()
    for key in keys:
        file.seek(position)
        count = int.from_bytes(file.read(8), "little" if order == "<" else "big")
        if count != storages[key].count:
            raise ValueError(f"storage {key[:80]!r} has {count} numbers, not {storages[key].count}")
        places[storages[key]] = position + 8
        position += 8 + storages[key].size
    return _arrays(file, size, {name: t for name, t in tensors.items() if only(name)}, places, order)


def read_storage(content: bytes):
    """The numbers [count] of one storage that torch.save wrote alone, in the legacy format, as a pickled tensor has it.

    Raises:
        Refused: it asks for something else. ValueError: it is damaged.
    """
    head = Stream(io.BytesIO(content), 0, len(content))
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
    return _native(raw, storage.kind)


def _legacy_order(head, most=MOST_PICKLE):
    """Reads the first three pickles of the legacy format: the byte order, "<" or ">"."""
    if load(head, ALLOWED, most=most) != MAGIC:
        raise ValueError("it lacks the magic number")
    if load(head, ALLOWED, most=most) != PROTOCOL:
        raise ValueError("an unknown protocol")
    system = load(head, ALLOWED, most=most)
    return ">" if isinstance(system, dict) and system.get("little_endian") is False else "<"


def _stream(content):
    return Stream(io.BytesIO(content), 0, len(content))


def _arrays(file, size, tensors, places, order):
    """Reads what the tensors need: {name: array}.

    Args:
        places: {Storage: first byte in the file}.
        order: "<" or ">", byte order of the numbers.
    """
    needed = {tensor.storage for tensor in tensors.values()}
    if not needed <= places.keys():
        raise ValueError("a tensor whose storage is not in the file")
    if any(places[storage] + storage.size > size for storage in needed):
        raise ValueError("it ends too early")
    if sum(storage.size for storage in needed) > size:  # overlapping parts
        raise ValueError("its storages are larger than the file")
    flat = {storage: _numbers(file, places[storage], storage, order) for storage in needed}
    return {name: view_of(flat[tensor.storage], tensor) for name, tensor in tensors.items()}


def _numbers(file, begin, storage, order):
    """A storage's numbers [count], read straight into the array."""
    raw = np.empty(storage.count, np.dtype(storage.kind.code).newbyteorder(order))
    file.seek(begin)
    if storage.count and file.readinto(raw.view(np.uint8)) != storage.size:
        raise ValueError("it ends too early")
    return _native(raw, storage.kind)


def _native(raw, kind):
    """Numbers as in the file, in this machine's byte order and a type that NumPy has; read-only."""
    numbers = raw.astype(raw.dtype.newbyteorder("="), copy=False)
    if kind.name == "BFloat16Storage":
        wide = numbers.astype(np.uint32)
        wide <<= 16
        numbers = wide.view(np.float32)
    elif kind.name == "BoolStorage":
        numbers = numbers != 0
    numbers.flags.writeable = False
    return numbers


def view_of(numbers, tensor):
    """The array of a tensor in its storage's numbers [count]."""
    strides = tuple(step * numbers.itemsize for step in tensor.strides)
    if 0 in tensor.shape:
        return np.zeros(tensor.shape, numbers.dtype)
    return np.lib.stride_tricks.as_strided(numbers[tensor.offset :], tensor.shape, strides, writeable=False)
