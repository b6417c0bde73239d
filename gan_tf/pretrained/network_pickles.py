"""Reads networks pickled by NVIDIA's programs, without running the source code in such a file.

TensorFlow  (G, D, Gs), or one network: objects of the class Network in `tfutil` (Progressive GAN) or
            `dnnlib.tflib.network` (StyleGAN 1 and 2, StyleGAN2-ADA). Their state has `build_func_name`,
            `static_kwargs`, a list `variables` of (name, array), and perhaps `components`: inner networks.
PyTorch     a dict with G, D and G_ema (StyleGAN2-ADA): objects that `torch_utils.persistence` builds from a dict with
            `class_name` and `state`, the attributes, among them `_parameters`, `_buffers` and `_modules`. The storage
            of a tensor is a bytes object in torch.save's legacy format.

Source: the state functions of the published programs; NumPy's and PyTorch's notes on pickling.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from gan_tf.io.files import printable
from gan_tf.pretrained.torch_files import PickledObject, RestrictedUnpickler, map_file, reading, tensor_array

ROLES = ("G", "D", "G_ema")
NETWORKS = ("tfutil.Network", "dnnlib.tflib.network.Network")
MODULE = "torch_utils.persistence._reconstruct_persistent_obj"
FORM_TENSORFLOW, FORM_PYTORCH = "TensorFlow", "PyTorch"
NUMBERS = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1")  # NumPy types


class Network(NamedTuple):
    """One network of a file."""

    form: str  # FORM_TENSORFLOW or FORM_PYTORCH
    name: str  # of the function or class that builds it, such as "G_paper" or "Generator"
    arguments: dict  # {name: value} of its constructor: numbers, text, None, lists and dicts
    arrays: dict  # {name: array}, parameters and buffers as stored: "4x4/Dense/weight" or "synthesis.b4.const"


def read_network_pickle(path) -> tuple[dict, list]:
    """Returns ({"G", "D" or "G_ema": Network}, [names of the other objects]) of a pickle.

    Raises:
        UsageError: the file cannot be read, is damaged, has no networks, or names a function that they do not need.
    """
    path = Path(path)
    with reading(path, "pickle of networks"):
        mapped = map_file(path)
        content = RestrictedUnpickler(mapped).load()
        if type(content) is PickledObject:
            content = {"G_ema": content}
        elif type(content) is tuple:
            content = dict(zip(ROLES, content, strict=True))
        roles = [role for role in ROLES if type(content.get(role)) is PickledObject]
        if not roles:
            raise ValueError(f"without {', '.join(ROLES)}")
        others = [printable(name)[:80] for name in content if name not in roles and content[name] is not None]
        return {role: _network(content[role], len(mapped)) for role in roles}, others


def _network(pickled, most):
    """Returns the Network of a pickled object. It has at most `most` numbers, the bytes of the file."""
    arrays = {}
    if pickled.name in NETWORKS:
        form, name, arguments = FORM_TENSORFLOW, pickled.state["build_func_name"], pickled.state["static_kwargs"]
        _read_variables(pickled, "", arrays)
    else:
        [meta] = pickled.arguments
        form, name, arguments = FORM_PYTORCH, meta["class_name"], meta["state"].get("_init_kwargs", {})
        _read_module(pickled, "", arrays)
    if sum(array.size for array in arrays.values()) > most:  # before byte orders are converted, which takes memory
        raise ValueError("arrays with more numbers than the file has bytes")
    arrays = {key: array.astype(array.dtype.newbyteorder("="), copy=False) for key, array in arrays.items()}
    return Network(form, printable(name)[:80], {str(key): _plain(value) for key, value in arguments.items()}, arrays)


def _read_variables(network, prefix, arrays):
    """Adds the arrays of a TensorFlow network and of its components."""
    if network.name not in NETWORKS:
        raise ValueError(f"a {network.name} in place of a network")
    for name, value in network.state["variables"]:
        arrays[f"{prefix}{name}"] = _array(value)
    for name, component in network.state.get("components", {}).items():
        _read_variables(component, f"{prefix}{name}/", arrays)


def _read_module(module, prefix, arrays):
    """Adds the arrays of a PyTorch module and of the modules in it."""
    if module.name != MODULE:
        raise ValueError(f"a {module.name} in place of a network")
    attributes = module.arguments[0]["state"]
    for group in ("_parameters", "_buffers"):
        for name, value in attributes.get(group, {}).items():
            if value is not None:
                arrays[f"{prefix}{name}"] = _array(value)
    for name, part in attributes.get("_modules", {}).items():
        if part is not None:
            _read_module(part, f"{prefix}{name}.", arrays)


def _array(value):
    """Returns the array of a pickled NumPy array, NumPy number or tensor, in the byte order of the file."""
    if value.name.endswith("multiarray.scalar"):
        (dtype, content), shape, order = value.arguments, (), "C"
    elif value.name.endswith("multiarray._reconstruct"):
        _, shape, dtype, by_columns, content = value.state
        order = "F" if by_columns is True else "C"
    else:
        return tensor_array(value)
    if dtype.name != "numpy.dtype" or dtype.arguments[0] not in NUMBERS:
        raise ValueError("an array of another type than numbers")
    byte_order = dtype.state[1] if dtype.state else "="
    stored = np.dtype(dtype.arguments[0]).newbyteorder(byte_order)
    return np.frombuffer(content, stored).reshape(shape, order=order)


def _plain(value):
    """Returns a constructor argument with Python's numbers in place of NumPy's."""
    if type(value) in (bool, int, float, str, type(None)):
        return value
    if type(value) is dict:
        return {str(name): _plain(item) for name, item in value.items()}
    if type(value) in (list, tuple):
        return [_plain(item) for item in value]
    return _array(value).item()
