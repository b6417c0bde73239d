"""Writes weight files in the formats of the official programs, without these programs.

Pickles of NVIDIA's programs refer to classes of modules that are not installed. While a file is written, classes and
modules of the same names replace them; their state is that of the published state functions.
"""

import contextlib
import io
import pickle
import struct
import sys
import types
from collections import OrderedDict

import numpy as np

from tests.pretrained.torch_format import MAGIC, PROTOCOL, SYSTEM, Pickler, Storage, whole

SOURCE = "raise AssertionError('the source code in the file was run')\n"


def refuse(*arguments):
    raise AssertionError("only the name is written")


def named(module, name, thing):
    """Renames a function or class, so that pickle writes `module.name`."""
    thing.__module__, thing.__qualname__, thing.__name__ = module, name, name
    return thing


@contextlib.contextmanager
def modules(names):
    """Adds modules to sys.modules for the time of pickling: {dotted name: {name: thing}}."""
    before = {}
    parents = {name[:at] for name in names for at, letter in enumerate(name) if letter == "."} - names.keys()
    for name in (*parents, *names):
        before[name] = sys.modules.get(name)
        sys.modules[name] = types.ModuleType(name)
        vars(sys.modules[name]).update(names.get(name, {}))
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


# FastGAN-pytorch


def tensors(state, prefix=""):
    """A state dict of arrays for the writers of torch.save's formats."""
    return OrderedDict((prefix + name if prefix else name, whole(np.asarray(value))) for name, value in state.items())


def optimizer(parameters):
    """The state dict of Adam after a step, as in all_N.pth."""
    moments = [{"step": whole(np.float32(1)), "exp_avg": whole(p), "exp_avg_sq": whole(p)} for p in parameters]
    group = {"lr": 2e-4, "betas": (0.5, 0.999), "amsgrad": False, "foreach": None, "params": [*range(len(moments))]}
    return {"state": dict(enumerate(moments)), "param_groups": [group]}


# NVIDIA's TensorFlow form


class TfNetwork:
    """Progressive GAN's tfutil.Network, or with components dnnlib.tflib.network.Network."""

    def __init__(self, build_func_name, variables, static_kwargs, components=None):
        self.state = {
            "version": 2 if components is None else 4,
            "name": "G",
            "static_kwargs": static_kwargs,
            "build_module_src": SOURCE,
            "build_func_name": build_func_name,
            "variables": list(variables.items()),
        }
        if components is not None:
            self.state["components"] = components

    def __getstate__(self):
        return self.state


def write_tensorflow(path, content, module="tfutil", protocol=4):
    """Pickles a TfNetwork, or a tuple of them."""
    named(module, "Network", TfNetwork)
    with modules({module: {"Network": TfNetwork}}):
        path.write_bytes(pickle.dumps(content, protocol))
    return path


# NVIDIA's PyTorch form


class EasyDict(dict):
    """dnnlib.util.EasyDict."""


class Module:
    """A persistent module, with parameters, buffers and inner modules among its attributes."""

    rebuild = named("torch_utils.persistence", "_reconstruct_persistent_obj", lambda meta: refuse())

    def __init__(self, class_name, parameters=None, buffers=None, parts=None, **init_kwargs):
        self.class_name = class_name
        self.state = {
            "training": False,
            "_parameters": OrderedDict(parameters or {}),
            "_buffers": OrderedDict(buffers or {}),
            "_non_persistent_buffers_set": {"resample_filter"},
            "_modules": OrderedDict(parts or {}),
            "_init_args": (),
            "_init_kwargs": EasyDict(init_kwargs),
            "weight_gain": np.float64(0.125),
        }

    def __reduce__(self):
        meta = {
            "type": "class",
            "version": 6,
            "module_src": SOURCE,
            "class_name": self.class_name,
            "state": self.state,
        }
        return Module.rebuild, (meta,)


class Tensor:
    """A tensor as pickle writes it, with its storage as bytes."""

    rebuild = named("torch._utils", "_rebuild_tensor_v2", lambda *arguments: refuse())

    def __init__(self, array):
        self.array = np.array(array, order="C")  # also for a tensor without axes

    def __reduce__(self):
        strides = tuple(step // self.array.itemsize for step in self.array.strides)
        storage = PackedStorage(self.array.ravel())
        return Tensor.rebuild, (storage, 0, self.array.shape, strides, False, OrderedDict())


class PackedStorage:
    """A storage in a pickle: the bytes of a torch.save file with this storage."""

    load = named("torch.storage", "_load_from_bytes", lambda content: refuse())

    def __init__(self, numbers):
        self.numbers = numbers

    def __reduce__(self):
        return PackedStorage.load, (storage_bytes(self.numbers),)


class Parameter(Tensor):
    """A trainable tensor."""

    rebuild_parameter = named("torch._utils", "_rebuild_parameter", lambda *arguments: refuse())

    def __reduce__(self):
        return Parameter.rebuild_parameter, (Tensor(self.array), True, OrderedDict())


def storage_bytes(numbers):
    """A file in torch.save's legacy format that holds one storage."""
    file = io.BytesIO()
    Pickler(file, legacy=True).dump(Storage(numbers))
    parts = [*(pickle.dumps(value, 2) for value in (MAGIC, PROTOCOL, SYSTEM)), file.getvalue(), pickle.dumps(["0"], 2)]
    return b"".join(parts) + struct.pack("<q", numbers.size) + numbers.tobytes()


def write_pytorch(path, content, protocol=4):
    """Pickles a dict of Modules."""
    named("dnnlib.util", "EasyDict", EasyDict)
    contents = {
        "torch_utils.persistence": {"_reconstruct_persistent_obj": Module.rebuild},
        "dnnlib.util": {"EasyDict": EasyDict},
        "torch._utils": {
            "_rebuild_tensor_v2": Tensor.rebuild,
            "_rebuild_parameter": Parameter.rebuild_parameter,
        },
        "torch.storage": {"_load_from_bytes": PackedStorage.load},
    }
    with modules(contents):
        path.write_bytes(pickle.dumps(content, protocol))
    return path
