"""Names and layouts of the official StyleGAN2-ADA networks (those of its PyTorch program).

Official kernels are [O, I, k, k], matrices [out, in], maps channel first. The official up-convolutions convolve in the
strict sense, as ours do, so that no kernel is turned. Official networks also carry their filter, once for every layer.
"""

import functools
import re

import numpy as np

from gan_tf.convert.found import require_shape, shape_of
from gan_tf.errors import UsageError
from gan_tf.models.stylegan2 import RESOLUTIONS, StyleGan2Generator, channels_of
from gan_tf.models.stylegan2_blocks import FILTER
from gan_tf.models.variables import named_variables

DENSE = "head/dense/kernel"  # next to a map of 4x4 pixels
NOT_OFFICIAL = "these are not the weights of an official StyleGAN2-ADA network"
_shape, _require_shape = (functools.partial(check, NOT_OFFICIAL) for check in (shape_of, require_shape))
LEAVES = {"kernel": "weight", "bias": "bias", "noise": "noise_const", "noise_strength": "noise_strength"}
FILTER_NAME = "resample_filter"
EMBEDDING = "mapping.embed.weight"


def official_names(network, arrays=()) -> dict:
    """{our variable name: official name} of a built StyleGan2Generator or StyleGan2Discriminator.

    `arrays`, of which state_dicts tells, have one form here.
    """
    owner = _generator_name if isinstance(network, StyleGan2Generator) else _discriminator_name
    return {name: owner(name.split("/"), network) for name in named_variables(network)}


def constants(network) -> dict:
    """{official name: filter} of the filters that a network carries."""
    return dict.fromkeys(_filter_names(network), FILTER.astype(np.float32))


def _filter_names(network):
    if isinstance(network, StyleGan2Generator):
        sizes, parts = network.synthesis.sizes, ("", "conv0.", "conv1.")
        names = [f"synthesis.b{size}.{part}{FILTER_NAME}" for size in sizes for part in parts]
        return [name for name in names if name != f"synthesis.b4.conv0.{FILTER_NAME}"]
    parts = ["", "conv0.", "conv1."] + (["skip."] if network.architecture == "resnet" else [])
    names = [f"b{size}.{part}{FILTER_NAME}" for size in network.sizes for part in parts]
    return [*names, f"b{network.resolution}.fromrgb.{FILTER_NAME}", f"b4.conv.{FILTER_NAME}"]


def has_no_counterpart(name) -> bool:
    """Every official array is a variable of ours or a filter."""
    return False


def other_values(network, arrays) -> dict:
    """No variable is told otherwise."""
    return {}


def arguments_of(arrays: dict) -> dict:
    """Reads a network's arguments out of the shapes of its official weights.

    Returns:
        `resolution`, `channel_base`, `channel_max`, `classes`, and for a generator `latent_size`, `w_size` and
        `mapping_layers`, for a discriminator `architecture`, `mbstd_channels` and, with classes, `label_layers`. The
        shapes tell `channel_base` and `channel_max` as far as they matter. They do not tell the clamp, the half
        resolutions or the size of the groups.

    Raises:
        UsageError: the arrays are not those of such a network.
    """
    is_generator = "synthesis.b4.const" in arrays
    found = (re.fullmatch(r"(?:synthesis\.)?b(\d{1,4})\.conv1\.weight", name) for name in arrays)
    sizes = sorted({int(match[1]) for match in found if match} | {4})
    resolution = sizes[-1]
    if sizes != [2**power for power in range(2, len(sizes) + 2)] or resolution not in RESOLUTIONS:
        raise UsageError(f"{NOT_OFFICIAL}: they have convolutions at the sizes {sizes[:12]}")
    read = _generator_arguments if is_generator else _discriminator_arguments
    widths, own = read(arrays, sizes)
    classes = _shape(arrays, EMBEDDING, 2)[1] if EMBEDDING in arrays else 0
    own |= {"resolution": resolution, "classes": classes, **_widths(widths)}
    if is_generator:
        own["latent_size"] -= own["w_size"] if classes else 0
    return own


def _generator_arguments(arrays, sizes):
    widths = {size: _width(arrays, f"synthesis.b{size}.conv1.weight") for size in sizes}
    w_size, inputs = _shape(arrays, "mapping.fc0.weight", 2)
    layers = _layers(arrays)
    _require_mapping(arrays, w_size, range(1, layers))
    _require_shape(arrays, "synthesis.b4.conv1.affine.weight", (widths[4], w_size))
    return widths, {"w_size": w_size, "latent_size": inputs, "mapping_layers": layers}


def _discriminator_arguments(arrays, sizes):
    widths = {size: _width(arrays, f"b{size}.conv0.weight") for size in sizes[1:]}
    widths[4], inputs = _shape(arrays, "b4.conv.weight", 4)[:2]
    _require_shape(arrays, "b4.conv.weight", (widths[4], inputs, 3, 3))
    _require_shape(arrays, "b4.fc.weight", (widths[4], 16 * widths[4]))
    own = {"mbstd_channels": inputs - widths[4]}
    own["architecture"] = "resnet" if f"b{sizes[-1]}.skip.weight" in arrays else "orig"
    layers = _layers(arrays)
    _require_mapping(arrays, widths[4], range(layers))
    if layers:
        own["label_layers"] = layers
    return widths, own


def _width(arrays, name):
    """Channels of a size: those of its one 3x3 convolution that keeps their number."""
    channels = _shape(arrays, name, 4)[0]
    _require_shape(arrays, name, (channels, channels, 3, 3))
    return channels


def _require_mapping(arrays, w_size, square):
    """Holds the layers `square` and the embedding of a mapping network against the length of its vectors."""
    for index in square:
        _require_shape(arrays, f"mapping.fc{index}.weight", (w_size, w_size))
    if EMBEDDING in arrays:
        _require_shape(arrays, EMBEDDING, (w_size, _shape(arrays, EMBEDDING, 2)[1]))


def _layers(arrays):
    """Layers of the mapping network."""
    return sum(re.fullmatch(r"mapping\.fc\d{1,2}\.weight", name) is not None for name in arrays)


def _widths(widths):
    """{size: channels} -> channel_base and channel_max, the least that give these channels."""
    base, most = max(size * n for size, n in widths.items()), max(widths.values())
    if any(channels_of(size, base, most) != n for size, n in widths.items()):
        raise UsageError(f"{NOT_OFFICIAL}: channels of {sorted(widths.values())} do not halve from size to size")
    return {"channel_base": base, "channel_max": most}


def from_official_layout(ours, theirs, value, shapes):
    """One official array in our layout."""
    if ours == DENSE:  # [F, C * 4 * 4]
        return value.reshape(len(value), -1, 4, 4).transpose(2, 3, 1, 0).reshape(-1, len(value))
    if value.ndim == 4:
        return value.transpose(2, 3, 1, 0)
    if value.ndim == 3:
        return value.transpose(1, 2, 0)
    return value.T if ours.endswith("kernel") else value


def to_official_layout(ours, theirs, value, shapes):
    """One of our arrays in the official layout."""
    if ours == DENSE:
        return value.reshape(4, 4, -1, value.shape[1]).transpose(3, 2, 0, 1).reshape(value.shape[1], -1)
    if value.ndim == 4:
        return value.transpose(3, 2, 0, 1)
    if value.ndim == 3:
        return value.transpose(2, 0, 1)
    return value.T if ours.endswith("kernel") else value


def _generator_name(path, network):
    """Official name of the variable at `path`, such as ["synthesis", "convs", "0", "affine", "kernel"]."""
    sizes = network.synthesis.sizes
    match path:
        case ["mapping", "average"]:
            return "mapping.w_avg"
        case ["mapping", *rest]:
            return _mapping_name(rest)
        case ["synthesis", "const"]:
            return "synthesis.b4.const"
        case ["synthesis", "first_convs", index, *rest]:
            return f"synthesis.b{sizes[int(index) + 1]}.conv0.{_leaf(rest)}"
        case ["synthesis", "convs", index, *rest]:
            return f"synthesis.b{sizes[int(index)]}.conv1.{_leaf(rest)}"
        case ["synthesis", "to_rgb", index, *rest]:
            return f"synthesis.b{sizes[int(index)]}.torgb.{_leaf(rest)}"
    raise KeyError(path)


def _discriminator_name(path, network):
    """Official name of the variable at `path`, such as ["blocks", "0", "down", "bias"]."""
    match path:
        case ["mapping", *rest]:
            return _mapping_name(rest)
        case ["from_rgb", *rest]:
            return f"b{network.resolution}.fromrgb.{_leaf(rest)}"
        case ["blocks", index, layer, *rest]:
            own = {"conv": "conv0", "down": "conv1", "skip": "skip"}[layer]
            return f"b{network.sizes[int(index)]}.{own}.{_leaf(rest)}"
        case ["head", layer, *rest]:
            return f"b4.{ {'conv': 'conv', 'dense': 'fc', 'to_logits': 'out'}[layer] }.{_leaf(rest)}"
    raise KeyError(path)


def _mapping_name(path):
    match path:
        case ["embed", leaf]:
            return f"mapping.embed.{LEAVES[leaf]}"
        case ["layers", index, leaf]:
            return f"mapping.fc{index}.{LEAVES[leaf]}"
    raise KeyError(path)


def _leaf(path):
    """["affine", "kernel"] -> "affine.weight"."""
    *owner, leaf = path
    return ".".join([*owner, LEAVES[leaf]])
