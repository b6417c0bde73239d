"""Whole networks pickled by NVIDIA's programs, read without running the source code that travels in them.

Two forms exist:

    TensorFlow  (G, D, Gs), or one network: objects of the class Network in `tfutil` (Progressive GAN) or in
                `dnnlib.tflib.network` (StyleGAN 1 and 2, also with ADA). Each has a state with `static_kwargs`, the
                source code, a list `variables` of (name, array), and perhaps `components`: networks within it.
    PyTorch     a dict with G, D and G_ema (StyleGAN2-ADA): objects that `torch_utils.persistence` rebuilds from a dict
                with the source code, the class's name and the object's attributes, among them `_parameters`, `_buffers`
                and `_modules`. A tensor is a view of bytes that hold a storage in torch.save's legacy format.

The pickle may name what stands in network_makers.ALLOWED. That makes objects without behaviour, whose contents are
looked at here when all of it has been read.

Source of the structure: the published programs' own state functions; NumPy's and PyTorch's notes on pickling.
"""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gan_tf.pretrained.network_makers import ALLOWED, NUMBERS, Scalar, View
from gan_tf.pretrained.torch_legacy import read_storage
from gan_tf.pretrained.torch_tensors import MOST_AXES, MOST_SIZE, Storage, TensorMaker, view_of
from gan_tf.pretrained.unpickling import BYTES, OPCODES, Filled, Stream, foreign_name, load, one_line, size_within

ROLES = ("G", "D", "G_ema")
FORM_TENSORFLOW, FORM_PYTORCH = "TensorFlow", "PyTorch"
MOST_ARRAYS = 4000  # in a file; three networks of StyleGAN2 at 1024 pixels have 900
MOST_NETWORKS = 4000  # modules and components, in all
MOST_ARGUMENTS = 1000  # values in a network's construction arguments
MOST_DEPTH = 16  # of arguments in arguments
MOST_ENTRIES = 200_000  # of all these, and of what is None in their places
MOST_NAME = 1000  # characters of an array's name, with those of the networks around it
STORED = 2  # bytes of a number in the file, at least: of half precision and bfloat16, which is read as float32
SCALARS = (bool, int, float, str, type(None))
INSTRUCTIONS = OPCODES | BYTES | {"EMPTY_SET", "ADDITEMS"}


class Network(NamedTuple):
    """One network of a file.

    form: FORM_TENSORFLOW or FORM_PYTORCH.
    name: of the function or class that builds it, such as "G_paper" or "Generator".
    arguments: {name: value} that it was built with: numbers, text, None, lists and dicts of them.
    arrays: {name: array}, parameters and buffers alike: "4x4/Dense/weight", "synthesis/4x4/Const/const", or
        "synthesis.b4.const". Types and layouts are the file's. Read-only.
    """

    form: str
    name: str
    arguments: dict
    arrays: dict


def read_network_pickle(path) -> tuple[dict, list]:
    """Reads the networks of a pickle.

    Returns:
        ({"G", "D" or "G_ema": Network}, [what else stands in the file, by name]).

    Raises:
        UsageError: no such file; one that is truncated, damaged or of another program; one that asks for anything but
            networks, which the message names.
    """
    path = Path(path)
    with one_line(path, "pickle of networks"), open(path, "rb") as file:
        size = size_within(file)
        content = load(Stream(file, 0, size), ALLOWED, opcodes=INSTRUCTIONS)
        found, others = _roles(content)
        reader = Reader(size)
        return {role: reader.network(network) for role, network in found.items()}, others


def foreign_name_in(path) -> str | None:
    """The first name that a pickle of any protocol asks for, and that networks do not need; None for other files.

    So one that is refused for its protocol alone still tells what it would do.
    """
    with one_line(path, "pickle of networks"), open(path, "rb") as file:
        return foreign_name(Stream(file, 0, size_within(file)), ALLOWED)


def _roles(content):
    """({role: Filled}, names of other things)."""
    if isinstance(content, Filled):
        return {"G_ema": content}, []
    if type(content) is tuple and len(content) == len(ROLES):
        return dict(zip(ROLES, content, strict=True)), []
    if not isinstance(content, dict):
        raise ValueError(f"it holds a {type(content).__name__} and no networks")
    found = {role: content[role] for role in ROLES if isinstance(content.get(role), Filled)}
    if not found:
        raise ValueError(f"none of {', '.join(ROLES)} is in it")
    return found, [str(name)[:80] for name, value in content.items() if name not in found and value is not None]


class Reader:
    """Looks at what a pickle of `size` bytes has made, and counts what it has looked at."""

    def __init__(self, size):
        self.bytes_left, self.arrays_left, self.networks_left = size, MOST_ARRAYS, MOST_NETWORKS
        self.entries_left = MOST_ENTRIES
        self.storages = {}  # id of bytes -> numbers

    def network(self, made) -> Network:
        """A Filled as a Network."""
        if not isinstance(made, Filled) or not isinstance(made.state, dict):
            raise ValueError("something that is no network in the place of one")
        arrays = {}
        if made.kind == "network":
            self._variables(made, "", arrays, 0)
            name, arguments = made.state.get("build_func_name"), made.state.get("static_kwargs")
            form = FORM_TENSORFLOW
        elif made.kind == "module":
            self._module(made, "", arrays, 0)
            name, arguments = made.state.get("class_name"), _attributes(made).get("_init_kwargs", {})
            form = FORM_PYTORCH
        else:
            raise ValueError("something that is no network in the place of one")
        if type(name) is not str or not isinstance(arguments, dict):
            raise ValueError("a network without a name or arguments")
        return Network(form, name[:80], self._plain(arguments, [MOST_ARGUMENTS], 0), arrays)

    def _count(self, depth):
        self.networks_left -= 1
        if self.networks_left < 0 or depth > MOST_DEPTH:
            raise ValueError(f"more than {MOST_NETWORKS} networks, or more than {MOST_DEPTH} in each other")

    def _entries(self, several):
        """A list or dict that is about to be gone through, which a pickle may hold many times."""
        self.entries_left -= len(several)
        if self.entries_left < 0:
            raise ValueError(f"more than {MOST_ENTRIES} parts of networks")
        return several

    def _variables(self, made, prefix, arrays, depth):
        self._count(depth)
        if not isinstance(made, Filled) or made.kind != "network" or not isinstance(made.state, dict):
            raise ValueError("a component that is no network")
        variables, components = made.state.get("variables"), made.state.get("components", {})
        if not isinstance(variables, list) or not isinstance(components, dict):
            raise ValueError("a network without variables")
        for pair in self._entries(variables):
            if type(pair) is not tuple or len(pair) != 2:
                raise ValueError("a variable that is no pair of name and array")
            self._add(arrays, prefix, pair[0], pair[1])
        for name, component in self._entries(components).items():
            self._variables(component, _joined(prefix, name) + "/", arrays, depth + 1)

    def _module(self, made, prefix, arrays, depth):
        self._count(depth)
        if not isinstance(made, Filled) or made.kind != "module":
            raise ValueError("a part of a module that is none")
        attributes = _attributes(made)
        for group in ("_parameters", "_buffers"):
            for name, tensor in self._entries(_dict_of(attributes, group)).items():
                if tensor is not None:
                    self._add(arrays, prefix, name, tensor)
        for name, module in self._entries(_dict_of(attributes, "_modules")).items():
            if module is not None:
                self._module(module, _joined(prefix, name) + ".", arrays, depth + 1)

    def _add(self, arrays, prefix, name, value):
        name = _joined(prefix, name)
        if name in arrays:
            raise ValueError(f"two arrays of the name {name[:80]!r}")
        self.arrays_left -= 1
        if self.arrays_left < 0:
            raise ValueError(f"more than {MOST_ARRAYS} arrays")
        array = self._array(value)
        self.bytes_left -= array.size * min(array.itemsize, STORED)
        if self.bytes_left < 0:
            raise ValueError("its arrays are larger than the file")
        arrays[name] = array

    def _array(self, value):
        if type(value) is View:
            return self._tensor(value)
        if type(value) is Scalar:
            return _numbers(value.kind, value.content, ()).reshape(())
        if isinstance(value, Filled) and value.kind == "array" and type(value.state) is tuple and len(value.state) == 5:
            _, shape, kind, by_columns, content = value.state
            numbers = _numbers(kind, content, shape)
            return numbers.reshape(shape, order="F" if by_columns is True else "C")
        raise ValueError(f"a {type(value).__name__} in the place of an array")

    def _tensor(self, view):
        content = view.packed.content
        if id(content) not in self.storages:
            self.storages[id(content)] = read_storage(content)
        numbers = self.storages[id(content)]
        tensor = TensorMaker()(Storage("", None, numbers.size), *view.arguments)
        if math.prod(tensor.shape) * min(numbers.itemsize, STORED) > self.bytes_left:
            raise ValueError("its arrays are larger than the file")
        return view_of(numbers, tensor)

    def _plain(self, value, left, depth):
        """Arguments as plain values; `left` is a list with the number of values that may follow."""
        left[0] -= 1
        if left[0] < 0 or depth > MOST_DEPTH:
            raise ValueError("too many construction arguments")
        if type(value) in SCALARS:
            return value
        if type(value) is Scalar:
            return _numbers(value.kind, value.content, ()).item()
        if isinstance(value, dict):
            return {str(name): self._plain(part, left, depth + 1) for name, part in value.items()}
        if type(value) in (list, tuple):
            return [self._plain(part, left, depth + 1) for part in value]
        if type(value) is View or isinstance(value, Filled) and value.kind == "array":
            array = self._array(value)
            if array.size > left[0]:
                raise ValueError("too many construction arguments")
            left[0] -= array.size
            return array.tolist()
        raise ValueError(f"a {type(value).__name__} among the construction arguments")


def _joined(prefix, name):
    """The name of something within a network."""
    if type(name) is not str:
        raise ValueError("a part of a network without a name")
    if len(prefix) + len(name) > MOST_NAME:
        raise ValueError(f"a name of more than {MOST_NAME} characters")
    return prefix + name


def _attributes(made):
    """The attributes of a module: what stands in the place of its __dict__."""
    attributes = made.state.get("state")
    if not isinstance(attributes, dict):
        raise ValueError("a module without attributes")
    return attributes


def _dict_of(attributes, name):
    found = attributes.get(name, {})
    if not isinstance(found, dict):
        raise ValueError(f"a module whose {name} are no dict")
    return found


def _numbers(kind, content, shape):
    """NumPy's numbers [count] in some bytes, as many as the shape says; in this machine's byte order, read-only."""
    if not isinstance(kind, Filled) or kind.kind not in NUMBERS or type(content) is not bytes:
        raise ValueError("an array without a type or numbers")
    order = kind.state[1] if type(kind.state) is tuple and len(kind.state) > 1 else "="
    if order not in ("<", ">", "=", "|"):
        raise ValueError("an array without a byte order")
    if type(shape) is not tuple or len(shape) > MOST_AXES:
        raise ValueError("an array without a proper shape")
    if not all(type(n) is int and 0 <= n < MOST_SIZE for n in shape):
        raise ValueError("an array without a proper shape")
    stored = np.dtype(kind.kind).newbyteorder(order)
    if math.prod(shape) * stored.itemsize != len(content):
        raise ValueError("an array of another size than its shape says")
    numbers = np.frombuffer(content, stored)
    numbers = numbers.astype(stored.newbyteorder("="), copy=False)
    numbers.flags.writeable = False
    return numbers
