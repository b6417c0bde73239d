"""State dicts written by torch.save, read without PyTorch and without trusting the file.

Such a file is a pickle, which is a program, and the numbers that it refers to. Two formats exist:

    zip     <folder>/data.pkl, <folder>/data/<key> with the raw numbers of each storage, <folder>/byteorder
    legacy  five pickles (magic number, protocol, system, state dict, storage keys), then for each key an int64 count
            and the raw numbers

The pickle is looked through before it is run: it may use the few instructions that build dicts, tuples and numbers, and
may name only what stands in ALLOWED. Sizes that it states are held against the size of the file before anything is
allocated. What is in ALLOWED makes plain tuples that cannot be changed afterwards, so the file reaches no code of ours.

Format: PyTorch's serialization notes; pickle's instructions as in Python's pickletools.
"""

import io
import math
import os
import pickle
import pickletools
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gan_tf.errors import UsageError

MAGIC = 0x1950A86A20F9469CFC6C  # first pickle of the legacy format
PROTOCOL = 1001  # second pickle
MOST_PICKLE = 1 << 22  # bytes of pickle in a file; state dicts of thousands of tensors need an eighth of it
MOST_AXES = 32  # of a tensor
LOCAL_HEADER = 30  # bytes before the names in front of a zip entry
ZIP_START = b"PK\x03\x04"

INSTRUCTIONS = (
    "PROTO FRAME STOP MARK GLOBAL STACK_GLOBAL REDUCE NEWOBJ BUILD BINPERSID MEMOIZE BINPUT LONG_BINPUT BINGET "
    "LONG_BINGET NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 BINFLOAT BINSTRING SHORT_BINSTRING BINUNICODE "
    "SHORT_BINUNICODE EMPTY_DICT EMPTY_LIST EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 APPEND APPENDS SETITEM SETITEMS"
)
OPCODES = frozenset(INSTRUCTIONS.split())


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


class TensorMaker:
    """What the pickle gets for torch._utils._rebuild_tensor_v2. Without attributes, so that it cannot be changed."""

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


class ParameterMaker:
    """What the pickle gets for torch._utils._rebuild_parameter: the tensor itself."""

    __slots__ = ()

    def __call__(self, tensor, requires_grad=True, hooks=None):
        if type(tensor) is not Tensor:
            raise ValueError("a parameter without a tensor")
        return tensor


class DictMaker:
    """What the pickle gets for collections.OrderedDict."""

    __slots__ = ()

    def __call__(self, pairs=()):
        pairs = list(pairs)
        _require_names(pair[0] for pair in pairs)
        return OrderedDict(pairs)


def _require_names(keys):
    """Raises ValueError unless all are strings. Hashing tuples in tuples may never end, or crash."""
    for key in keys:
        if type(key) is not str:
            raise ValueError(f"a value whose name is a {type(key).__name__}")


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
    path = Path(path)
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            is_zip = file.read(len(ZIP_START)) == ZIP_START
            return (_read_zip if is_zip else _read_legacy)(file, size, only or (lambda name: True))
    except Refused as refusal:
        raise UsageError(
            f"{path} asks for {refusal}, which weights do not need and which could run a program: it was not read; "
            "get the file from its publisher"
        ) from None
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        reason = " ".join(str(error).split())[:200]
        raise UsageError(
            f"{path} is damaged, incomplete or no state dict of torch.save ({reason}): get the file anew"
        ) from error


class Refused(Exception):
    """The pickle asks for something that is not allowed; the text names it."""


class Unpickler(pickle._Unpickler):  # the one in Python: its instructions can be made stricter
    """Runs a pickle that has been looked through."""

    dispatch = dict(pickle._Unpickler.dispatch)

    def load_setitem(self):
        _require_names([self.stack[-2]])
        super().load_setitem()

    def load_setitems(self):
        _require_names(self.stack[::2])  # those since the mark
        super().load_setitems()

    dispatch[pickle.SETITEM[0]] = load_setitem
    dispatch[pickle.SETITEMS[0]] = load_setitems

    def find_class(self, module, name):
        _refuse_unless_allowed(module, name)
        return ALLOWED[module, name]

    def persistent_load(self, pid):
        """("storage", kind, key, device, count[, view]) -> Storage."""
        if type(pid) is not tuple or not 5 <= len(pid) <= 6 or pid[0] != "storage":
            raise ValueError("a reference to something that is no storage")
        _, kind, key, _, count, *view = pid
        if type(kind) is not Kind or type(key) is not str or type(count) is not int or count < 0:
            raise ValueError("a storage without a proper type, key or size")
        if view not in ([], [None]):
            raise ValueError("a part of a storage, as only PyTorch before 0.4 wrote it")
        return Storage(key, kind, count)


def _refuse_unless_allowed(module, name):
    if (module, name) not in ALLOWED:
        raise Refused(f"{module}.{name}"[:200].encode("unicode_escape").decode())


def _load(stream):
    """Looks a pickle through from the stream's position on, runs it, and leaves the stream behind it."""
    start = stream.tell()
    for i, (opcode, argument, position) in enumerate(pickletools.genops(stream)):
        if opcode.name in ("GLOBAL", "INST"):
            _refuse_unless_allowed(*argument.split(" ", 1))
        if opcode.name not in OPCODES:
            code = stream.getvalue()[start:]
            _run(code[: position - start].ljust(len(code), pickle.STOP))  # a global before it is refused here, by name
            raise Refused(f"the pickle instruction {opcode.name}")
        if opcode.name == "FRAME" and argument > stream.getbuffer().nbytes - stream.tell():
            raise ValueError("a frame larger than the file")
        if opcode.name.endswith("PUT") and argument > i:
            raise ValueError("a memo larger than the pickle")  # for which the unpickler would make room
    end = stream.tell()
    stream.seek(start)
    value, error = _run(stream.read(end - start))
    if error is not None:
        raise ValueError(str(error)) from error
    return value


def _run(code):
    """Runs instructions that were looked through: (value, error), one of them None."""
    try:
        return Unpickler(io.BytesIO(code), encoding="utf-8").load(), None
    except Refused:
        raise
    except Exception as error:  # whatever senseless instructions lead to, the file is at fault
        return None, error


def _tensors(state, size, only):
    """The state dict's tensors, those that the caller does not want left out: {name: Tensor}."""
    if not isinstance(state, dict):
        raise ValueError(f"it holds a {type(state).__name__} and no dict of tensors")
    for name, tensor in dict.items(state):
        if type(name) is not str:
            raise ValueError(f"a tensor whose name is a {type(name).__name__}")
        if type(tensor) is not Tensor:
            raise ValueError(f"{name!r:.80} is a {type(tensor).__name__} and no tensor")
        if math.prod(tensor.shape) > size:
            raise ValueError(f"{name!r:.80} has the shape {tensor.shape}, more numbers than the file has bytes")
    return {name: tensor for name, tensor in dict.items(state) if only(name)}


def _read_zip(file, size, only):
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
    tensors = _tensors(_load(io.BytesIO(bytes_of("data.pkl"))), size, only)
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


def _read_legacy(file, size, only):
    file.seek(0)
    head = io.BytesIO(file.read(MOST_PICKLE))
    if _load(head) != MAGIC:
        raise ValueError("it lacks the magic number")
    if _load(head) != PROTOCOL:
        raise ValueError("an unknown protocol")
    system = _load(head)
    order = ">" if isinstance(system, dict) and system.get("little_endian") is False else "<"
    tensors = _tensors(_load(head), size, lambda name: True)  # all: each tells how long its storage is
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
    return {name: _view(flat[tensor.storage], tensor) for name, tensor in tensors.items()}


def _numbers(file, begin, storage, order):
    """A storage's numbers [count], read straight into the array."""
    raw = np.empty(storage.count, np.dtype(storage.kind.code).newbyteorder(order))
    file.seek(begin)
    if storage.count and file.readinto(raw.view(np.uint8)) != storage.size:
        raise ValueError("it ends too early")
    numbers = raw.astype(raw.dtype.newbyteorder("="), copy=False)
    if storage.kind.name == "BFloat16Storage":
        wide = numbers.astype(np.uint32)
        wide <<= 16
        numbers = wide.view(np.float32)
    elif storage.kind.name == "BoolStorage":
        numbers = numbers != 0
    numbers.flags.writeable = False
    return numbers


def _view(numbers, tensor):
    strides = tuple(step * numbers.itemsize for step in tensor.strides)
    if 0 in tensor.shape:
        return np.zeros(tensor.shape, numbers.dtype)
    return np.lib.stride_tricks.as_strided(numbers[tensor.offset :], tensor.shape, strides, writeable=False)
