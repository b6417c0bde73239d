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


# StyleGAN2-ADA's PyTorch program, from flat state dicts

STYLEGAN2_BUFFERS = ("w_avg", "noise_const", "resample_filter")


def module_of(class_name, state, **init_kwargs):
    """A module with the inner modules in its tensors' names: {"synthesis.b4.const": array, ...}."""
    parameters, buffers, inner = {}, {}, {}
    for name, value in state.items():
        first, _, rest = name.partition(".")
        if rest:
            inner.setdefault(first, {})[rest] = value
        elif first in STYLEGAN2_BUFFERS:
            buffers[first] = buffer(value)
        else:
            parameters[first] = parameter(value)
    parts = {name: module_of("Layer", own) for name, own in inner.items()}
    return Module(class_name, parameters, buffers, parts, **init_kwargs)


def generator_arguments(resolution=32, classes=0, size=32, layers=2, base=512, most=32, **synthesis):
    """As the official trainer passes them."""
    synthesis = {"channel_base": base, "channel_max": most, "num_fp16_res": 4, "conv_clamp": 256} | synthesis
    return {
        "z_dim": size,
        "w_dim": size,
        "c_dim": classes,
        "img_resolution": resolution,
        "img_channels": 3,
        "mapping_kwargs": EasyDict(num_layers=layers),
        "synthesis_kwargs": EasyDict(synthesis),
    }


def discriminator_arguments(resolution=32, classes=0, base=512, most=32, **more):
    own = {"num_fp16_res": 4, "conv_clamp": 256, "block_kwargs": EasyDict(), "mapping_kwargs": EasyDict()}
    own |= {"epilogue_kwargs": EasyDict(mbstd_group_size=4)}
    sizes = {"c_dim": classes, "img_resolution": resolution, "img_channels": 3}
    return {**sizes, "channel_base": base, "channel_max": most, **own, **more}


def write_ada(path, g, d, g_ema=None, g_arguments=None, d_arguments=None):
    """A network-snapshot-N.pkl of state dicts; the EMA generator has separate arrays, as in a real file."""
    g_arguments = g_arguments or generator_arguments()
    g_ema = {name: value.copy() for name, value in (g_ema or g).items()}
    content = {
        "training_set_kwargs": EasyDict(path="~/datasets/a.zip", use_labels=False),
        "G": module_of("Generator", g, **g_arguments),
        "D": module_of("Discriminator", d, **(d_arguments or discriminator_arguments())),
        "G_ema": module_of("Generator", g_ema, **g_arguments),
        "augment_pipe": Module("AugmentPipe", xflip=1),
    }
    return write_pytorch(path, content)
