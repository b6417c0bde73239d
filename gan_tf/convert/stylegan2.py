"""StyleGAN2-ADA (PyTorch): content of its pickles, names and layouts of its networks' arrays.

The program of StyleGAN3 writes StyleGAN2 networks too: the same, except that the arguments of the synthesis network are
among the generator's own, and the default clamp is 256.

Official kernels are [O, I, k, k], matrices [out, in], maps channel first. The official up-convolutions convolve in the
mathematical sense, as ours do, so no kernel is flipped. Official networks store their resampling filter in every layer.
"""

import re

import numpy as np

from gan_tf.convert.weight_file import (
    NAMES,
    WeightFile,
    check_arguments,
    check_shape,
    check_sizes,
    merge_settings,
    shape_of,
    shown,
)
from gan_tf.errors import UsageError
from gan_tf.models.stylegan2 import LABEL_LAYERS, RESOLUTIONS, StyleGan2Generator, channels_of, sizes_of
from gan_tf.models.stylegan2_blocks import FILTER
from gan_tf.models.variables import named_variables

DENSE = "head/dense/kernel"  # matrix next to a 4x4 map
LEAVES = {"kernel": "weight", "bias": "bias", "noise": "noise_const", "noise_strength": "noise_strength"}
FILTER_NAME, EMBEDDING = "resample_filter", "mapping.embed.weight"
FIRST_OF_G = "synthesis.b4.const"  # identifies a generator
NESTED = ("mapping_kwargs", "synthesis_kwargs", "block_kwargs", "epilogue_kwargs")  # arguments that are dicts of them
# {constructor argument: its supported values}
FIXED = {
    "img_channels": (3,),
    "activation": ("lrelu",),
    "lr_multiplier": (0.01,),
    "w_avg_beta": (0.995,),
    "resample_filter": ([1, 3, 3, 1],),
    "use_noise": (True,),
    "mbstd_num_channels": (1,),
}
ARCHITECTURES = {"G": ("skip",), "D": ("resnet", "orig"), "G_ema": ("skip",)}
# Arguments that repeat a size of the arrays: {argument: its name here}. Other programs give both names of the first.
SIZES = {"img_resolution": "resolution", "resolution": "resolution", "z_dim": "latent_size", "w_dim": "w_size"}
SIZES |= {"c_dim": "classes"}
# Other arguments: the shapes of the arrays determine them, they are read below, or they change no result.
KNOWN = {*SIZES, "embed_features", "layer_features", "cmap_dim", "num_layers"}
KNOWN |= {"architecture", "channel_base", "channel_max", "conv_clamp", "mbstd_group_size", "num_fp16_res", "use_fp16"}
KNOWN |= {"fp16_channels_last", "fused_modconv_default", "freeze_layers"}
DEFAULTS = {"channel_base": 32768, "channel_max": 512, "mbstd_group_size": 4}


def describe(networks, left_out) -> WeightFile:
    """Describes the networks {role: Network} of a pickle. Raises UsageError if they cannot be converted."""
    default_clamp = None if "synthesis_kwargs" in networks["G_ema"].arguments else 256  # StyleGAN3's program: 256
    settings = {}
    for role, network in networks.items():
        arguments = {"conv_clamp": default_clamp} | _flattened(role, network.arguments)
        check_arguments(role, arguments, FIXED | {"architecture": ARCHITECTURES[role]}, KNOWN)
        own = arguments_of(network.arrays)
        check_sizes(role, arguments, {given: own[name] for given, name in SIZES.items() if name in own})
        merge_settings(settings, role, _settings(role, arguments, own))
    settings["conditional"] = settings["classes"] > 0
    states = {NAMES[role]: network.arrays for role, network in networks.items()}
    return WeightFile("stylegan2", "StyleGAN2-ADA (PyTorch)", settings, states, left_out)


def _flattened(role, arguments) -> dict:
    """Returns {name: value} of arguments and of the dicts in them; a repeated name must have one value."""
    flat = {}
    for name, value in arguments.items():
        nested = value.items() if name in NESTED and isinstance(value, dict) else [(name, value)]
        for key, item in nested:
            if flat.setdefault(key, item) != item:
                raise UsageError(f"{role} was built with {shown(key)} {shown(flat[key])} and {shown(item)}")
    return flat


def _settings(role, arguments, shapes) -> dict:
    """Returns {field of TrainConfig: value} of one network, from its arguments and the shapes of its arrays."""
    base, most = (arguments.get(name, DEFAULTS[name]) for name in ("channel_base", "channel_max"))
    settings = shapes | {"channel_base": base, "channel_max": most}
    for size in sizes_of(shapes["resolution"]):
        channels = channels_of(size, shapes["channel_base"], shapes["channel_max"])
        if channels_of(size, base, most) != channels:
            raise UsageError(
                f"{role} was built with channel_base {shown(base)} and channel_max {shown(most)}, and its arrays have "
                f"{channels} channels at {size}x{size}"
            )
    settings["conv_clamp"] = None if arguments["conv_clamp"] is None else float(arguments["conv_clamp"])
    if role == "D":
        if settings.pop("label_layers", LABEL_LAYERS) != LABEL_LAYERS:
            raise UsageError(
                f"the mapping network of D has {shapes['label_layers']} layers; only {LABEL_LAYERS} can be"
            )
        if settings.pop("mbstd_channels") != 1:
            raise UsageError(f"D has mbstd_num_channels {shapes['mbstd_channels']}; only 1 can be converted")
        settings["mbstd_group"] = arguments.get("mbstd_group_size", DEFAULTS["mbstd_group_size"])
        if type(settings["mbstd_group"]) is not int:
            raise UsageError(f"D was built with mbstd_group_size {shown(settings['mbstd_group'])}; only numbers can be")
    return settings


def arguments_of(arrays: dict) -> dict:
    """Reads a network's constructor arguments from the shapes of its official weights.

    Returns:
        `resolution`, `channel_base`, `channel_max`, `classes`, and for a generator `latent_size`, `w_size` and
        `mapping_layers`, for a discriminator `architecture`, `mbstd_channels` and, with classes, `label_layers`. Of all
        values of `channel_base` and `channel_max` that give these shapes, the smallest.

    Raises:
        UsageError: the arrays are those of another network.
    """
    matches = (re.fullmatch(r"(?:synthesis\.)?b(\d{1,4})\.conv1\.weight", name) for name in arrays)
    sizes = sorted({int(match[1]) for match in matches if match} | {4})
    if sizes != [2**power for power in range(2, len(sizes) + 2)] or sizes[-1] not in RESOLUTIONS:
        raise UsageError(f"StyleGAN2 has convolutions at every size from 4x4, this network at {sizes[:12]}")
    layers = sum(re.fullmatch(r"mapping\.fc\d{1,2}\.weight", name) is not None for name in arrays)
    classes = shape_of(arrays, EMBEDDING, 2)[1] if EMBEDDING in arrays else 0
    if FIRST_OF_G in arrays:
        widths = {size: _width(arrays, f"synthesis.b{size}.conv1.weight") for size in sizes}
        w_size, inputs = shape_of(arrays, "mapping.fc0.weight", 2)
        check_shape(arrays, "synthesis.b4.conv1.affine.weight", (widths[4], w_size))
        own = {"w_size": w_size, "latent_size": inputs - (w_size if classes else 0), "mapping_layers": layers}
    else:
        widths = {size: _width(arrays, f"b{size}.conv0.weight") for size in sizes[1:]}
        widths[4], inputs = shape_of(arrays, "b4.conv.weight", 4)[:2]
        check_shape(arrays, "b4.conv.weight", (widths[4], inputs, 3, 3))
        check_shape(arrays, "b4.fc.weight", (widths[4], 16 * widths[4]))
        w_size = widths[4]
        own = {"mbstd_channels": inputs - widths[4]} | ({"label_layers": layers} if layers else {})
        own["architecture"] = "resnet" if f"b{sizes[-1]}.skip.weight" in arrays else "orig"
    for layer in range(1 if FIRST_OF_G in arrays else 0, layers):
        check_shape(arrays, f"mapping.fc{layer}.weight", (w_size, w_size))
    if classes:
        check_shape(arrays, EMBEDDING, (w_size, classes))
    base, most = max(size * n for size, n in widths.items()), max(widths.values())
    if any(channels_of(size, base, most) != n for size, n in widths.items()):
        raise UsageError(f"channels of {sorted(widths.values())} do not halve from size to size")
    return {"resolution": sizes[-1], "classes": classes, "channel_base": base, "channel_max": most, **own}


def _width(arrays, name):
    """Returns the channels of a size, from `name`, a 3x3 convolution that keeps their number."""
    channels = shape_of(arrays, name, 4)[0]
    check_shape(arrays, name, (channels, channels, 3, 3))
    return channels


def official_names(network, arrays=()) -> dict:
    """Returns {our variable name: official name} of a built network; `arrays` has no effect, as in `fastgan`."""
    return {name: _official_name(name, network) for name in named_variables(network)}


def _official_name(name, network):
    """Returns the official name of a variable, such as "synthesis/convs/0/affine/kernel"."""
    sizes = network.synthesis.sizes if isinstance(network, StyleGan2Generator) else network.sizes
    match name.split("/"):
        case ["mapping", "average"]:
            return "mapping.w_avg"
        case ["synthesis", "const"]:
            return FIRST_OF_G
        case ["mapping", "embed", *rest]:
            layer = "mapping.embed"
        case ["mapping", "layers", index, *rest]:
            layer = f"mapping.fc{index}"
        case ["synthesis", "first_convs", index, *rest]:
            layer = f"synthesis.b{sizes[int(index) + 1]}.conv0"
        case ["synthesis", "convs", index, *rest]:
            layer = f"synthesis.b{sizes[int(index)]}.conv1"
        case ["synthesis", "to_rgb", index, *rest]:
            layer = f"synthesis.b{sizes[int(index)]}.torgb"
        case ["from_rgb", *rest]:
            layer = f"b{network.resolution}.fromrgb"
        case ["blocks", index, part, *rest]:
            layer = f"b{sizes[int(index)]}.{ {'conv': 'conv0', 'down': 'conv1', 'skip': 'skip'}[part] }"
        case ["head", part, *rest]:
            layer = f"b4.{ {'conv': 'conv', 'dense': 'fc', 'to_logits': 'out'}[part] }"
    *inner, leaf = rest  # such as ["affine", "kernel"]
    return ".".join([layer, *inner, LEAVES[leaf]])


def constants(network) -> dict:
    """Returns {official name: filter} of the resampling filters in a network."""
    if isinstance(network, StyleGan2Generator):
        sizes, layers = network.synthesis.sizes, ("", "conv0.", "conv1.")
        names = [f"synthesis.b{size}.{layer}{FILTER_NAME}" for size in sizes for layer in layers]
        names.remove(f"synthesis.b4.conv0.{FILTER_NAME}")
    else:
        layers = ["", "conv0.", "conv1."] + (["skip."] if network.architecture == "resnet" else [])
        names = [f"b{size}.{layer}{FILTER_NAME}" for size in network.sizes for layer in layers]
        names += [f"b{network.resolution}.fromrgb.{FILTER_NAME}", f"b4.conv.{FILTER_NAME}"]
    return dict.fromkeys(names, FILTER.astype(np.float32))


def to_official_layout(ours, theirs, value, shapes):
    """Returns `value`, an array of variable `ours`, in the layout of `theirs`; `shapes` is {our name: shape}."""
    if ours == DENSE:  # [4 * 4 * C, F] -> [F, C * 4 * 4]
        return value.reshape(4, 4, -1, value.shape[1]).transpose(3, 2, 0, 1).reshape(value.shape[1], -1)
    if value.ndim == 4:
        return value.transpose(3, 2, 0, 1)
    if value.ndim == 3:
        return value.transpose(2, 0, 1)
    return value.T if ours.endswith("kernel") else value
