"""Reads files of torch.save without PyTorch, with an unpickler that runs no code of a file.

A pickle is a program that may call any function by its name. This unpickler accepts the names in ALLOWED only, and
imports none of them: dicts become plain ones, sets become lists, and everything else becomes a `PickledObject`, a
record from which this file builds tensors, and `network_pickles` networks.

torch.save writes one of two formats:

zip     an archive of <folder>/data.pkl, <folder>/data/<key> with the numbers of each storage, and <folder>/byteorder
legacy  five pickles (magic number, protocol, system, content, storage keys), then for each key an int64 count and the
        numbers

A tensor is a view of a storage, a flat array. Arrays are views of the file, which is mapped into memory.

Format: Python's pickletools; PyTorch's serialization notes; local headers of the zip format.
"""

import contextlib
import io
import mmap
import pickle
import zipfile
from pathlib import Path

import numpy as np

from gan_tf.errors import UsageError
from gan_tf.io.content import reason_of
from gan_tf.io.files import UNPRINTABLE, printable, raise_fault

DICTS = ("collections.OrderedDict", "dnnlib.EasyDict", "dnnlib.util.EasyDict")
# Types of storages and of their numbers in NumPy; bfloat16 is the upper half of a float32.
TYPES = dict(Double="f8", Float="f4", Half="f2", Long="i8", Int="i4", Short="i2", Char="i1", Byte="u1", Bool="u1")
STORAGE_TYPES = {f"torch.{name}Storage": code for name, code in (*TYPES.items(), ("BFloat16", "u2"))}
ALLOWED = {
    *DICTS,
    *STORAGE_TYPES,
    "builtins.set",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_parameter",
    "torch.storage._load_from_bytes",
    "torch_utils.persistence._reconstruct_persistent_obj",  # a module of NVIDIA's PyTorch programs
    "tfutil.Network",
    "dnnlib.tflib.network.Network",
    "numpy.dtype",
    "numpy.ndarray",  # an argument of _reconstruct
    *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
}
# Instructions that call something by another way than REDUCE and NEWOBJ, or hash items that are not checked.
UNSUPPORTED = (pickle.INST, pickle.OBJ, pickle.NEWOBJ_EX, pickle.EXT1, pickle.EXT2, pickle.EXT4)
UNSUPPORTED += (pickle.PERSID, pickle.DICT, pickle.FROZENSET)
KEYS = (str, bytes, int, float, bool, type(None))  # types of the keys of a dict
MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001  # the first two pickles of the legacy format
ZIP_START, LOCAL_HEADER = b"PK\x03\x04", 30  # a zip entry begins with a header of 30 bytes, then its names


class NotAllowedError(ValueError):
    """A pickle asks for a name outside ALLOWED."""


class FileError(UsageError):
    """A UsageError whose text contains the path of the file."""


class PickledObject:
    """A function, class or object in a pickle: its name, the arguments of a call, and the state that BUILD sets."""

    def __init__(self, name, arguments=()):
        self.name, self.arguments, self.state = name, arguments, None


class Storage:
    """A flat array in a file: its type and size according to the pickle, and its numbers [count] after `read`."""

    def __init__(self, kind, count):
        self.kind, self.count, self.numbers = kind, count, None

    @property
    def nbytes(self):
        """Size of the numbers in the file."""
        return self.count * np.dtype(STORAGE_TYPES[self.kind]).itemsize

    def read(self, buffer, order):
        """Reads the numbers at the start of `buffer`; `order` is "<" or ">"."""
        native = np.dtype(STORAGE_TYPES[self.kind])
        stored = native.newbyteorder(order)
        numbers = np.frombuffer(buffer, stored, self.count) if self.count else np.zeros(0, stored)
        numbers = numbers.astype(native, copy=False)
        if self.kind == "torch.BFloat16Storage":
            numbers = (numbers.astype(np.uint32) << 16).view(np.float32)
        elif self.kind == "torch.BoolStorage":
            numbers = numbers != 0
        self.numbers = numbers


class RestrictedUnpickler(pickle._Unpickler):
    """Unpickles dicts, lists, tuples, numbers, text, bytes, `PickledObject` and `Storage`.

    Based on pickle's Python class: its instructions can be overridden, and it reserves no memory beforehand.
    """

    dispatch = {code: run for code, run in pickle._Unpickler.dispatch.items() if bytes([code]) not in UNSUPPORTED}

    def __init__(self, stream):
        super().__init__(stream, encoding="utf-8")
        self.storages = {}
        self.loaded = {}  # {id of a bytes object: (the object, the storage in it)}

    def find_class(self, module, name):
        if f"{module}.{name}" not in ALLOWED:
            raise NotAllowedError(f"{module}.{name}")
        return PickledObject(f"{module}.{name}")

    def persistent_load(self, pid):
        """Returns the Storage of ("storage", type, key, device, count[, None])."""
        _, kind, key, _, count, *view = pid
        if type(key) is not str or type(count) is not int or count < 0 or any(view):
            raise ValueError("a storage without a key or size")
        storage = self.storages.setdefault(key, Storage(kind.name, count))
        if (storage.kind, storage.count) != (kind.name, count):
            raise ValueError(f"storage {key[:40]!r} has two sizes or types")
        return storage

    def load_reduce(self):
        arguments, function = self.stack.pop(), self.stack.pop()
        if type(function) is not PickledObject or type(arguments) is not tuple:
            raise ValueError("a call of something that is no function")
        if function.name in DICTS:
            [items] = arguments or ((),)
            check_keys(key for key, _ in items)
            self.append(dict(items))
        elif function.name == "builtins.set":
            self.append(list(*arguments))
        elif function.name == "torch.storage._load_from_bytes":
            [content] = arguments
            if id(content) not in self.loaded:  # once, however often it is named: bfloat16 takes memory
                self.loaded[id(content)] = content, read_legacy(io.BytesIO(content), content)
            self.append(self.loaded[id(content)][1])
        else:
            self.append(PickledObject(function.name, arguments))

    def load_build(self):
        state, built = self.stack.pop(), self.stack[-1]
        if type(built) is PickledObject:
            built.state = state
        elif type(built) is not dict:  # the attributes of a dict are not needed
            raise ValueError(f"a state of a {type(built).__name__}")

    def load_setitem(self):
        check_keys(self.stack[-2:-1])
        super().load_setitem()

    def load_setitems(self):
        check_keys(self.stack[::2])  # the stack since the mark
        super().load_setitems()

    dispatch[pickle.REDUCE[0]] = dispatch[pickle.NEWOBJ[0]] = load_reduce
    dispatch[pickle.BUILD[0]] = load_build
    dispatch[pickle.SETITEM[0]] = load_setitem
    dispatch[pickle.SETITEMS[0]] = load_setitems
    dispatch[pickle.EMPTY_SET[0]] = pickle._Unpickler.load_empty_list
    dispatch[pickle.ADDITEMS[0]] = pickle._Unpickler.load_appends


def check_keys(keys):
    """Raises ValueError for keys such as tuples: to hash deeply nested ones crashes Python, or never ends."""
    for key in keys:
        if type(key) not in KEYS:
            raise ValueError(f"a {type(key).__name__} as the key of a dict")


def map_file(path):
    """Maps a file into memory, read-only; arrays may be views of it. Raises OSError, or ValueError if it is empty."""
    if path.exists() and not path.is_file():
        raise ValueError("no regular file")
    with open(path, "rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


@contextlib.contextmanager
def reading(path, kind):
    """Converts all errors of reading `path` as a file of this kind to a FileError, one line with the path."""
    try:
        yield
    except FileError:
        raise
    except UsageError as error:
        raise FileError(f"{path}: {UNPRINTABLE.sub('?', ' '.join(str(error).split()))[:600]}") from error
    except NotAllowedError as error:
        reason = f"{path} asks for {printable(error)}, which weights do not need and which could run a program"
        raise FileError(f"{reason}: it was not read; get the file from its publisher") from None
    except OSError as error:
        raise_fault(error, path)
        raise FileError(f"cannot read {path}: {error.strerror or error}") from error
    except MemoryError as error:
        raise FileError(f"{path} needs more memory than is free; close other programs, or get another file") from error
    except Exception as error:  # a damaged pickle or archive raises errors of many types
        raise_fault(error, path)
        reason = reason_of(f"{type(error).__name__} {error}" if type(error) is not ValueError else error, path)
        raise FileError(f"{path} is damaged, incomplete or no {kind} ({reason}): get the file again") from error


def is_torch_file(path) -> bool:
    """Returns True for a file of torch.save, by its first bytes. Raises OSError, or ValueError if it is empty."""
    head = map_file(path)[:32]
    return head.startswith(ZIP_START) or MAGIC.to_bytes(10, "little") in head


def read_torch_file(path):
    """Reads a file of torch.save.

    Returns:
        The saved object: dicts, lists (also for tuples), numbers and text, with tensors as read-only NumPy arrays of
        the stored shape and type (bfloat16 as float32). Tensors that share a storage are views of one array.

    Raises:
        UsageError: the file cannot be read, is damaged, or names a function that tensors do not need.
    """
    path = Path(path)
    with reading(path, "file of torch.save"):
        mapped = map_file(path)
        content = _read_zip(mapped) if mapped[:4] == ZIP_START else read_legacy(mapped, mapped)
        return _with_arrays(content, {})


def read_state_dict(path) -> dict:
    """Reads a state dict {name: array} written by torch.save. Raises UsageError, also for any other content."""
    state = read_torch_file(path)
    items = state.items() if type(state) is dict else [(None, state)]
    if not all(type(name) is str and isinstance(value, np.ndarray) for name, value in items):
        raise UsageError(f"{path} is no state dict, tensors by name: give another file")
    return state


def _read_zip(mapped):
    """Unpickles the content of an archive and reads its storages."""
    with zipfile.ZipFile(mapped) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
    folders = [name.removesuffix("data.pkl") for name in entries if name.endswith("/data.pkl")]
    if len(folders) != 1:
        raise ValueError(f"a zip archive with {len(folders)} data.pkl, and torch.save writes one")
    [folder] = folders

    def content(name):
        entry = entries[folder + name]
        header = mapped[entry.header_offset : entry.header_offset + LOCAL_HEADER]
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 or not header.startswith(ZIP_START):
            raise ValueError(f"the entry {name[:40]} is compressed, encrypted or not where the directory says")
        names = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
        begin = entry.header_offset + LOCAL_HEADER + names
        return memoryview(mapped)[begin : begin + entry.file_size]

    order = ">" if folder + "byteorder" in entries and content("byteorder") == b"big" else "<"
    unpickler = RestrictedUnpickler(io.BytesIO(content("data.pkl")))
    value = unpickler.load()
    if sum(storage.nbytes for storage in unpickler.storages.values()) > len(mapped):  # entries may overlap
        raise ValueError("its storages are larger than the file")
    for key, storage in unpickler.storages.items():
        storage.read(content(f"data/{key}") if storage.count else b"", order)
    return value


def read_legacy(stream, buffer):
    """Unpickles a file in the legacy format and reads its storages; `stream` and `buffer` have the same bytes."""
    magic, protocol, system = (RestrictedUnpickler(stream).load() for _ in range(3))
    if (magic, protocol) != (MAGIC, PROTOCOL):
        raise ValueError("without the magic number of torch.save")
    order = ">" if type(system) is dict and system.get("little_endian") is False else "<"
    unpickler = RestrictedUnpickler(stream)
    value, keys = unpickler.load(), RestrictedUnpickler(stream).load()
    offset = stream.tell()
    if sorted(keys) != sorted(unpickler.storages):
        raise ValueError("other storages than its tensors need")
    for key in keys:
        storage = unpickler.storages[key]
        if int.from_bytes(buffer[offset : offset + 8], "little" if order == "<" else "big") != storage.count:
            raise ValueError(f"storage {key[:40]!r} has another size than its tensors state")
        storage.read(memoryview(buffer)[offset + 8 :], order)
        offset += 8 + storage.nbytes
    return value


def _with_arrays(value, done):
    """Returns an unpickled value with arrays in place of tensors; `done` is {id: result} of its containers."""
    if type(value) in KEYS:
        return value
    if id(value) in done:
        return done[id(value)]
    if type(value) is dict:
        result = done[id(value)] = {}  # before its items: it may contain itself
        result.update((key, _with_arrays(item, done)) for key, item in value.items())
    elif type(value) in (list, tuple):
        result = done[id(value)] = []
        result.extend(_with_arrays(item, done) for item in value)
    else:
        result = tensor_array(value)
    return result


def tensor_array(pickled):
    """Returns the array of a pickled tensor or parameter: a read-only view of its storage's numbers."""
    name = getattr(pickled, "name", type(pickled).__name__)
    if name == "torch._utils._rebuild_parameter":
        return tensor_array(pickled.arguments[0])
    if name != "torch._utils._rebuild_tensor_v2":
        raise ValueError(f"a {name} in place of a tensor")
    storage, offset, shape, strides, _, _, *metadata = pickled.arguments
    if any(metadata):
        raise ValueError("a conjugated or negated tensor")
    if len(shape) != len(strides) or not all(type(n) is int and n >= 0 for n in (offset, *shape, *strides)):
        raise ValueError("a tensor without a proper shape")
    numbers = storage.numbers
    if 0 in shape:
        return np.zeros(shape, numbers.dtype)
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    if last >= numbers.size:
        raise ValueError(f"a tensor that ends at number {last + 1} of a storage of {numbers.size}")
    steps = [step * numbers.itemsize for step in strides]
    return np.lib.stride_tricks.as_strided(numbers[offset:], shape, steps, writeable=False)
