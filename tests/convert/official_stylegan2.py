"""Pickles of StyleGAN2-ADA's PyTorch program, made of flat state dicts."""

from tests.convert.file_writers import EasyDict, Module, buffer, parameter, write_pytorch

BUFFERS = ("w_avg", "noise_const", "resample_filter")


def module_of(class_name, state, **init_kwargs):
    """A module with the inner modules in its tensors' names: {"synthesis.b4.const": array, ...}."""
    parameters, buffers, inner = {}, {}, {}
    for name, value in state.items():
        first, _, rest = name.partition(".")
        if rest:
            inner.setdefault(first, {})[rest] = value
        elif first in BUFFERS:
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


def write(path, g, d, g_ema=None, g_arguments=None, d_arguments=None):
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
