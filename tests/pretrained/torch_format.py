"""Writes valid and invalid state dicts in both formats of torch.save, and other pickles, without PyTorch."""

import io
import pickle
import struct
import types
import zipfile
from collections import OrderedDict

import numpy as np
import pytest

from gan_tf.errors import UsageError

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
SYSTEM = {"protocol_version": PROTOCOL, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
STORAGES = {"f4": "FloatStorage", "f8": "DoubleStorage", "f2": "HalfStorage", "i8": "LongStorage", "u1": "ByteStorage"}


def refusal(read, path):
    """Returns the one line of the UsageError of `read(path)`."""
    with pytest.raises(UsageError) as caught:
        read(path)
    assert str(caught.value).isprintable() and str(path) in str(caught.value)
    return str(caught.value)


def named(module, name, thing=None):
    """Renames a function or class, by default a new function, so that `Pickler` writes `module.name`."""
    thing = thing or (lambda *arguments: None)
    thing.__module__, thing.__qualname__, thing.__name__ = module, name, name
    return thing


class Storage:
    """A flat array in the file; `kind` is the name of PyTorch's class."""

    def __init__(self, numbers, kind=None, count=None):
        self.numbers = np.asarray(numbers)
        self.kind = named("torch", kind or STORAGES[self.numbers.dtype.str[1:]])
        self.count = self.numbers.size if count is None else count  # as stated in the pickle


class Call:
    """A REDUCE of a global with arguments."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


REBUILD = named("torch._utils", "_rebuild_tensor_v2")
PARAMETER = named("torch._utils", "_rebuild_parameter")


def tensor(storage, offset, shape, strides, **metadata):
    """A view of a Storage, as a state dict holds it."""
    extra = (metadata,) if metadata else ()
    return Call(REBUILD, storage, offset, shape, strides, False, OrderedDict(), *extra)


def whole(array, storage=Storage):
    """A tensor that is the only view of its storage."""
    array = np.ascontiguousarray(array).reshape(np.shape(array))
    return tensor(storage(array.ravel()), 0, array.shape, tuple(step // array.itemsize for step in array.strides))


class Pickler(pickle._Pickler):
    """The pickler in Python; it writes names without importing them, and storages as references."""

    # Without the functions that the package dill adds to it.
    dispatch = {kind: save for kind, save in pickle._Pickler.dispatch.items() if save.__module__ == "pickle"}

    def __init__(self, file, legacy, protocol=2):
        super().__init__(file, protocol)
        self.legacy = legacy
        self.storages = {}  # id -> (key, Storage)

    def persistent_id(self, value):
        if not isinstance(value, Storage):
            return None
        key, _ = self.storages.setdefault(id(value), (str(len(self.storages)), value))
        return ("storage", value.kind, key, "cpu", value.count, *([None] if self.legacy else []))

    def save_global(self, value, name=None):
        name = name or value.__qualname__
        module = pickle.whichmodule(value, name)
        if self.proto >= 4:
            self.save(module)
            self.save(name)
            self.write(pickle.STACK_GLOBAL)
        else:
            self.write(pickle.GLOBAL + f"{module}\n{name}\n".encode())
        self.memoize(value)

    dispatch[types.FunctionType] = dispatch[type] = save_global
    dispatch[dict] = pickle._Pickler.save_dict


def pickled(state, legacy=False, protocol=2):
    """Returns (pickle, [Storage] in the order of their keys)."""
    file = io.BytesIO()
    pickler = Pickler(file, legacy, protocol)
    pickler.dump(state)
    return file.getvalue(), [storage for _, storage in pickler.storages.values()]


def write_zip(path, state, protocol=2, compression=zipfile.ZIP_STORED, byteorder="little"):
    """Writes `state`, a dict of tensors or a ready-made pickle (bytes)."""
    program, storages = (state, []) if isinstance(state, bytes) else pickled(state, protocol=protocol)
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", program)
        archive.writestr("archive/byteorder", byteorder)
        for key, storage in enumerate(storages):
            archive.writestr(f"archive/data/{key}", storage.numbers.tobytes())
        archive.writestr("archive/version", "3\n")
    return path


def write_legacy(path, state, order=None):
    """As `write_zip`, in the older format. `order`: keys of the storages in the order of the file."""
    path.write_bytes(legacy_bytes(state, order))
    return path


def legacy_bytes(state, order=None):
    """The content of the file of `write_legacy`."""
    program, storages = (state, []) if isinstance(state, bytes) else pickled(state, legacy=True)
    keys = order or [str(i) for i in range(len(storages))]
    parts = [pickle.dumps(value, 2) for value in (MAGIC, PROTOCOL, SYSTEM)] + [program, pickle.dumps(keys, 2)]
    for key in keys:
        numbers = storages[int(key)].numbers
        parts += [struct.pack("<q", numbers.size), numbers.tobytes()]
    return b"".join(parts)
