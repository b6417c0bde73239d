"""Restricted unpickler for untrusted weight files: builds data and runs no code of the file.

A pickle is a program that may call any function by its name. Here it may use the names in ALLOWED only, and none of
them is imported: dicts and sets become plain ones, everything else becomes a `PickledObject`, which records the name,
the arguments and the state. `torch_files` and `network_pickles` read tensors and networks from these records.

Format: Python's pickletools.
"""

import contextlib
import mmap
import pickle
from typing import NamedTuple

from gan_tf.errors import UsageError
from gan_tf.io.files import UNPRINTABLE, printable

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
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray._reconstruct",  # since NumPy 2
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
}
# Instructions that call something in another way than REDUCE and NEWOBJ, or hash items without the check below.
UNSUPPORTED = (pickle.INST, pickle.OBJ, pickle.NEWOBJ_EX, pickle.EXT1, pickle.EXT2, pickle.EXT4)
UNSUPPORTED += (pickle.PERSID, pickle.DICT, pickle.FROZENSET)
MESSAGE = 600  # characters of an error, which may contain names from the file
KEYS = (str, bytes, int, float, bool, type(None))


class NotAllowedError(ValueError):
    """A pickle asks for a name outside ALLOWED."""


class FileError(UsageError):
    """A UsageError whose text contains the path of the file."""


class Name(NamedTuple):
    """A function or class that a pickle refers to; it is not imported."""

    name: str


class PickledObject:
    """An object in a pickle: the name of its class or function, the arguments, and the state that BUILD sets."""

    __slots__ = ("arguments", "name", "state")

    def __init__(self, name, arguments):
        self.name, self.arguments, self.state = name, arguments, None


class RestrictedUnpickler(pickle._Unpickler):
    """Unpickles dicts, lists, tuples, sets, numbers, text, bytes and `PickledObject`.

    Based on the implementation in Python: its instructions can be overridden, and it reserves no memory beforehand.
    """

    dispatch = {code: run for code, run in pickle._Unpickler.dispatch.items() if bytes([code]) not in UNSUPPORTED}

    def __init__(self, stream):
        super().__init__(stream, encoding="utf-8")

    def find_class(self, module, name):
        if f"{module}.{name}" not in ALLOWED:
            raise NotAllowedError(f"{module}.{name}")
        return Name(f"{module}.{name}")

    def persistent_load(self, pid):
        raise ValueError("a reference to data outside the pickle")

    def load_reduce(self):
        arguments, function = self.stack.pop(), self.stack.pop()
        if type(function) is not Name or type(arguments) is not tuple:
            raise ValueError("a call of something that is no function")
        self.append(build(function.name, arguments))

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

    def load_additems(self):
        check_keys(self.stack)
        super().load_additems()

    dispatch[pickle.REDUCE[0]] = dispatch[pickle.NEWOBJ[0]] = load_reduce
    dispatch[pickle.BUILD[0]] = load_build
    dispatch[pickle.SETITEM[0]] = load_setitem
    dispatch[pickle.SETITEMS[0]] = load_setitems
    dispatch[pickle.ADDITEMS[0]] = load_additems


def build(name, arguments):
    """Returns the dict, set or PickledObject of an allowed name."""
    if name not in (*DICTS, "builtins.set"):
        return PickledObject(name, arguments)
    [items] = arguments or ((),)
    check_keys(items if name == "builtins.set" else [key for key, _ in items])
    return set(items) if name == "builtins.set" else dict(items)


def check_keys(keys):
    """Raises ValueError for keys that hold other values: hashing deeply nested tuples crashes Python, or never ends."""
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
    """Wraps all errors of reading `path` as a file of this kind.

    Raises:
        FileError: one line with the path.
    """
    try:
        yield
    except FileError:
        raise
    except UsageError as error:
        text = UNPRINTABLE.sub("?", " ".join(str(error).split()))
        raise FileError(f"{path}: {text[:MESSAGE]}") from error
    except NotAllowedError as error:
        reason = f"{path} asks for {printable(error)}, which weights do not need and which could run a program"
        raise FileError(f"{reason}: it was not read; get the file from its publisher") from None
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror or error}") from error
    except MemoryError as error:
        raise FileError(f"{path} needs more memory than is free; close other programs, or get another file") from error
    except Exception as error:  # a damaged pickle or archive raises errors of many types
        reason = printable(f"{type(error).__name__} {error}" if type(error) is not ValueError else error)
        raise FileError(f"{path} is damaged, incomplete or no {kind} ({reason}): get the file again") from error
