"""Writes weight files in the formats of the official programs, without these programs.

The objects in pickles of NVIDIA's programs are replaced by objects with the same names and with the state of the
published state functions.
"""

from collections import OrderedDict

import numpy as np

from tests.pretrained.torch_format import PARAMETER, Call, Storage, legacy_bytes, named, pickled, whole

SOURCE = "raise AssertionError('the source code in the file was run')\n"
RECONSTRUCT = named("torch_utils.persistence", "_reconstruct_persistent_obj")
LOAD = named("torch.storage", "_load_from_bytes")


# FastGAN-pytorch


def tensors(state, prefix=""):
    """A state dict of arrays for the writers of torch.save's formats."""
    return OrderedDict((prefix + name, whole(value)) for name, value in state.items())


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
    path.write_bytes(pickled(content, protocol=protocol)[0])
    return path


# NVIDIA's PyTorch form


class EasyDict(dict):
    """dnnlib.util.EasyDict."""


named("dnnlib.util", "EasyDict", EasyDict)


class Module:
    """A persistent module, with parameters, buffers and inner modules among its attributes."""

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
        meta = {"type": "class", "version": 6, "module_src": SOURCE, "class_name": self.class_name, "state": self.state}
        return RECONSTRUCT, (meta,)


def buffer(array):
    """A tensor as pickle writes it: its storage is the bytes of a torch.save file that holds one storage."""
    return whole(array, lambda numbers: Call(LOAD, legacy_bytes(Storage(numbers))))


def parameter(array):
    """A trainable tensor."""
    return Call(PARAMETER, buffer(array), True, OrderedDict())


def write_pytorch(path, content, protocol=4):
    """Pickles a dict of Modules."""
    path.write_bytes(pickled(content, protocol=protocol)[0])
    return path
