"""What a pickle of NVIDIA's networks gets for the names that it may use: makers of objects without behaviour.

What they are given is kept as it is; `network_pickles` looks at it when all of the pickle has been read.
"""

from typing import NamedTuple

from gan_tf.pretrained.unpickling import DictMaker, Filled, Maker, require_keys

NUMBERS = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1")  # NumPy's types that are read


class Packed(NamedTuple):
    """Bytes that hold a storage."""

    content: bytes


class View(NamedTuple):
    """What was asked of a tensor's maker, with Packed in place of its storage."""

    packed: Packed
    arguments: tuple


class Scalar(NamedTuple):
    """A NumPy number: its type (Filled), its bytes."""

    kind: Filled
    content: bytes


class Emptied(Maker):
    """Makes objects that are given their state later."""

    __slots__ = ("kind",)

    def __init__(self, kind):
        object.__setattr__(self, "kind", kind)

    def __setattr__(self, name, value):
        raise AttributeError("a maker cannot be changed")

    def new(self):
        return Filled(self.kind)


class SetMaker(Maker):
    """For set, which older protocols call by its name."""

    __slots__ = ()
    copies = True

    def __call__(self, items=()):
        require_keys(items)
        return set(items)


class ArrayMaker(Maker):
    """For numpy's _reconstruct: an array whose state comes later."""

    __slots__ = ()

    def __call__(self, kind, shape, code):
        return Filled("array")


class TypeMaker(Maker):
    """For numpy.dtype: ("f4", False, True), and its byte order later."""

    __slots__ = ()

    def __call__(self, code, align=False, copy=True):
        if type(code) is not str or code not in NUMBERS:
            raise ValueError(f"numbers of the type {code!r:.40}")
        return Filled(code)


class ScalarMaker(Maker):
    """For numpy's scalar."""

    __slots__ = ()

    def __call__(self, kind, content):
        return Scalar(kind, content)


class PackedMaker(Maker):
    """For torch.storage._load_from_bytes."""

    __slots__ = ()

    def __call__(self, content):
        if type(content) is not bytes:
            raise ValueError("a storage without bytes")
        return Packed(content)


class ViewMaker(Maker):
    """For torch._utils._rebuild_tensor_v2."""

    __slots__ = ()

    def __call__(self, packed, offset, shape, strides, requires_grad=False, hooks=None, metadata=None):
        if type(packed) is not Packed:
            raise ValueError("a tensor without a storage")
        return View(packed, (offset, shape, strides, requires_grad, hooks, metadata))


class ParameterMaker(Maker):
    """For torch._utils._rebuild_parameter: the tensor itself."""

    __slots__ = ()

    def __call__(self, tensor, requires_grad=True, hooks=None):
        if type(tensor) is not View:
            raise ValueError("a parameter without a tensor")
        return tensor


class ModuleMaker(Maker):
    """For torch_utils.persistence._reconstruct_persistent_obj, which would run the source code in `meta`."""

    __slots__ = ()

    def __call__(self, meta):
        if not isinstance(meta, dict):
            raise ValueError("a module without attributes")
        module = Filled("module")
        module.fill(meta)
        return module


NUMPY = ("numpy.core.multiarray", "numpy._core.multiarray")  # before NumPy 2, and since
ALLOWED = {
    ("collections", "OrderedDict"): DictMaker(),
    ("builtins", "set"): SetMaker(),
    ("dnnlib", "EasyDict"): DictMaker(),
    ("dnnlib.util", "EasyDict"): DictMaker(),
    ("tfutil", "Network"): Emptied("network"),
    ("dnnlib.tflib.network", "Network"): Emptied("network"),
    **{(module, "_reconstruct"): ArrayMaker() for module in NUMPY},
    **{(module, "scalar"): ScalarMaker() for module in NUMPY},
    ("numpy", "ndarray"): Maker(),  # named beside _reconstruct
    ("numpy", "dtype"): TypeMaker(),
    ("torch_utils.persistence", "_reconstruct_persistent_obj"): ModuleMaker(),
    ("torch._utils", "_rebuild_tensor_v2"): ViewMaker(),
    ("torch._utils", "_rebuild_parameter"): ParameterMaker(),
    ("torch.storage", "_load_from_bytes"): PackedMaker(),
}
