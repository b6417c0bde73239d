"""Reads networks pickled by NVIDIA's programs; the source code in such a file is not run.

TensorFlow  (G, D, Gs), or one network: objects of the class Network in `tfutil` (Progressive GAN) or
            `dnnlib.tflib.network` (StyleGAN 1 and 2, StyleGAN2-ADA). Their state has `build_func_name`,
            `static_kwargs`, a list `variables` of (name, array), and perhaps `components`: inner networks.
PyTorch     a dict with G, D and G_ema (StyleGAN2-ADA): objects that `torch_utils.persistence` builds from a dict with
            `class_name` and `state`, the attributes, among them `_parameters`, `_buffers` and `_modules`. The storage
            of a tensor is a bytes object in torch.save's legacy format.

Source: the state functions of the published programs; NumPy's and PyTorch's notes on pickling.
"""

import io
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gan_tf.io.files import printable
from gan_tf.pretrained.torch_files import Storage, read_legacy, tensor_array
from gan_tf.pretrained.unpickling import PickledObject, RestrictedUnpickler, map_file, reading

ROLES = ("G", "D", "G_ema")
NETWORKS = ("tfutil.Network", "dnnlib.tflib.network.Network")
MODULE = "torch_utils.persistence._reconstruct_persistent_obj"
FORM_TENSORFLOW, FORM_PYTORCH = "TensorFlow", "PyTorch"
NUMBERS = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1")  # NumPy types
MOST_ARGUMENTS = 1000  # values in the construction arguments of a network


class Network(NamedTuple):
    """One network of a file.

    form: FORM_TENSORFLOW or FORM_PYTORCH.
    name: the function or class that builds it, such as "G_paper" or "Generator".
    arguments: {name: value}, its construction arguments: numbers, text, None, lists and dicts.
    arrays: {name: array}, parameters and buffers as stored: "4x4/Dense/weight" or "synthesis.b4.const".
    """

    form: str
    name: str
    arguments: dict
    arrays: dict


def read_network_pickle(path) -> tuple[dict, list]:
    """Returns ({"G", "D" or "G_ema": Network}, [names of the other objects]) of a pickle.

    Raises:
        UsageError: the file cannot be read, is damaged, holds no networks, or asks for anything but networks.
    """
    path = Path(path)
    with reading(path, "pickle of networks"):
        content = RestrictedUnpickler(map_file(path)).load()
        if type(content) is PickledObject:
            content = {"G_ema": content}
        elif type(content) is tuple:
            content = dict(zip(ROLES, content, strict=True))
        networks = {role: content[role] for role in ROLES if type(content.get(role)) is PickledObject}
        if not networks:
            raise ValueError(f"without {', '.join(ROLES)}")
        others = [printable(name)[:80] for name, value in content.items() if name not in networks and value is not None]
        return {role: _network(network) for role, network in networks.items()}, others


def _network(pickled):
    """Returns a PickledObject as a Network."""
    arrays = {}
    if pickled.name in NETWORKS:
        form, name, arguments = FORM_TENSORFLOW, pickled.state["build_func_name"], pickled.state["static_kwargs"]
        _read_variables(pickled, "", arrays, set())
    elif pickled.name == MODULE:
        [meta] = pickled.arguments
        form, name, arguments = FORM_PYTORCH, meta["class_name"], meta["state"].get("_init_kwargs", {})
        _read_module(pickled, "", arrays, set())
    else:
        raise ValueError(f"{pickled.name} in place of a network")
    if type(name) is not str or type(arguments) is not dict:
        raise ValueError("a network without a name or arguments")
    return Network(form, printable(name)[:80], _plain(arguments, iter(range(MOST_ARGUMENTS))), arrays)


def _read_variables(network, prefix, arrays, seen):
    """Adds the arrays of a TensorFlow network and of its components."""
    _enter(network, NETWORKS, seen)
    for name, value in network.state["variables"]:
        _add(arrays, prefix, name, value)
    for name, component in network.state.get("components", {}).items():
        _read_variables(component, f"{prefix}{name}/", arrays, seen)


def _read_module(module, prefix, arrays, seen):
    """Adds the arrays of a PyTorch module and of the modules in it."""
    _enter(module, (MODULE,), seen)
    attributes = module.arguments[0]["state"]
    for group in ("_parameters", "_buffers"):
        for name, value in attributes.get(group, {}).items():
            if value is not None:
                _add(arrays, prefix, name, value)
    for name, part in attributes.get("_modules", {}).items():
        if part is not None:
            _read_module(part, f"{prefix}{name}.", arrays, seen)


def _enter(pickled, names, seen):
    """Raises ValueError unless the object has one of the names and is visited for the first time."""
    if type(pickled) is not PickledObject or pickled.name not in names:
        raise ValueError("a part of a network that is none")
    if id(pickled) in seen:
        raise ValueError("a network within itself, or in two places")
    seen.add(id(pickled))


def _add(arrays, prefix, name, value):
    if type(name) is not str or prefix + name in arrays:
        raise ValueError("an array without a name, or two of one name")
    arrays[prefix + name] = _array(value)


def _array(value):
    """Returns the array of a pickled NumPy array, NumPy number or tensor."""
    name = value.name if type(value) is PickledObject else type(value).__name__
    if name.startswith("torch._utils."):
        return tensor_array(value, _storage_numbers)
    if name.endswith("multiarray.scalar"):
        (dtype, content), shape, order = value.arguments, (), "C"
    elif name.endswith("multiarray._reconstruct"):
        _, shape, dtype, by_columns, content = value.state
        order = "F" if by_columns is True else "C"
    else:
        raise ValueError(f"a {name} in place of an array")
    stored = _dtype(dtype)
    return np.frombuffer(content, stored).astype(stored.newbyteorder("="), copy=False).reshape(shape, order=order)


def _dtype(pickled):
    """Returns the type of a pickled numpy.dtype: arguments (code, align, copy), state (version, byte order, ...)."""
    if type(pickled) is not PickledObject or pickled.name != "numpy.dtype" or pickled.arguments[0] not in NUMBERS:
        raise ValueError("an array of another type than numbers")
    order = pickled.state[1] if pickled.state else "="
    if order not in ("<", ">", "=", "|"):
        raise ValueError("an array without a byte order")
    return np.dtype(pickled.arguments[0]).newbyteorder(order)


def _storage_numbers(pickled):
    """Returns the numbers [count] of a tensor's storage, a bytes object in torch.save's legacy format."""
    if type(pickled) is not PickledObject or pickled.name != "torch.storage._load_from_bytes":
        raise ValueError("a tensor without a storage")
    if pickled.state is None:  # not read yet; several tensors may share it
        [content] = pickled.arguments
        pickled.state = read_legacy(io.BytesIO(content), content)
    if type(pickled.state) is not Storage:
        raise ValueError("a storage with other content")
    return pickled.state.numbers


def _plain(value, budget):
    """Returns construction arguments as plain values; each takes an item of the iterator `budget`."""
    if next(budget, None) is None:
        raise ValueError(f"more than {MOST_ARGUMENTS} construction arguments")
    if type(value) in (bool, int, float, str, type(None)):
        return value
    if type(value) is dict:
        return {str(name): _plain(item, budget) for name, item in value.items()}
    if type(value) in (list, tuple):
        return [_plain(item, budget) for item in value]
    array = _array(value)
    if array.size > MOST_ARGUMENTS:
        raise ValueError(f"a construction argument of {array.size} numbers")
    return array.tolist()
