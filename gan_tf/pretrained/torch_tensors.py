"""What a pickle of torch.save may make: descriptions of tensors and of the storages that hold their numbers.

The pickle may name only what stands in ALLOWED, which makes plain tuples that cannot be changed afterwards, so that the
file reaches no code of ours. Sizes that it states are held against the size of the file before anything is allocated.

Format: PyTorch's serialization notes.
"""

import io
from typing import NamedTuple

import numpy as np

from gan_tf.pretrained.unpickling import DictMaker, Maker, Stream, load

MOST_AXES = 32  # of a tensor
MOST_SIZE = 1 << 48  # of an axis, a step or an offset: in bytes it is still a number that NumPy can hold


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

    @property
    def ndim(self):
        """Axes, as an array says it."""
        return len(self.shape)


class TensorMaker(Maker):
    """What the pickle gets for torch._utils._rebuild_tensor_v2."""

    __slots__ = ()

    def __call__(self, storage, offset, shape, strides, requires_grad=False, hooks=None, metadata=None):
        whole = isinstance(shape, tuple) and isinstance(strides, tuple) and len(shape) == len(strides) <= MOST_AXES
        if not whole or not all(type(n) is int and 0 <= n < MOST_SIZE for n in (offset, *shape, *strides)):
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


def storage_of(pid):
    """What a pickle refers to, ("storage", kind, key, device, count[, view]), as a Storage."""
    if type(pid) is not tuple or not 5 <= len(pid) <= 6 or pid[0] != "storage":
        raise ValueError("a reference to something that is no storage")
    _, kind, key, _, count, *view = pid
    if type(kind) is not Kind or type(key) is not str or type(count) is not int or not 0 <= count < MOST_SIZE:
        raise ValueError("a storage without a proper type, key or size")
    if view not in ([], [None]):
        raise ValueError("a part of a storage, as only PyTorch before 0.4 wrote it")
    return Storage(key, kind, count)


def load_tensors(stream):
    """Runs a pickle that describes tensors from the stream's position on. Raises what `unpickling.load` raises."""
    return load(stream, ALLOWED, storage_of)


def stream_of(content):
    """Bytes as a pickle is read from them."""
    return Stream(io.BytesIO(content), 0, len(content))


def read_arrays(file, size, tensors, places, order):
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
    return native(raw, storage.kind)


def native(raw, kind):
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
