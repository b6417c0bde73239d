"""Progressive GAN (TensorFlow): content of its pickles, names and layouts of its networks' arrays.

A pickle has (G, D, Gs): trained generator, discriminator and EMA generator; or the EMA generator alone.

Official kernels are [k, k, I, O] as ours, except `Conv0_up`, the kernel of a transposed convolution: [k, k, O, I], with
its taps reversed. Networks imported from the first program, in Theano, are not fused: the generator enlarges the map
and then convolves it with `Conv0`, which is [k, k, I, O]. Matrices next to a 4x4 map have its entries channel first.
Names contain the map's size, or a level that counts from the full resolution down (`ToRGB_lod0` is the last).
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
from gan_tf.models.pggan import GROWTH, RESOLUTIONS, PgganGenerator, channels_of, resolution_of
from gan_tf.models.variables import named_variables

LOD = "lod"  # official measure of growth: last level - growth; may be absent
UP, UP_UNFUSED = "Conv0_up", "Conv0"  # upsampling and convolution in one operation, or in two; the same result
UNFUSED_UP = f"8x8/{UP_UNFUSED}/weight"  # of a generator; every discriminator has this name too
UNFUSED_DOWN = "8x8/Conv1/weight"  # of a discriminator, instead of 8x8/Conv1_down/weight
FIRST_OF_G = "4x4/Dense/weight"  # identifies a generator
STEM, DENSE = "stem/first/kernel", "head/dense/kernel"  # matrices next to a 4x4 map
# {constructor argument: its supported values}
FIXED = {
    "label_size": (0, None),
    "num_channels": (3,),
    "fmap_decay": (1, 1.0),
    "normalize_latents": (True,),
    "use_wscale": (True,),
    "use_leakyrelu": (True,),
    "pixelnorm_epsilon": (1e-8,),
    "tanh_at_end": (False, None),
    "is_template_graph": (False,),
}
# Arguments that the shapes or names of the arrays determine, that are read below, or that change no result.
KNOWN = {"resolution", "fmap_base", "fmap_max", "latent_size", "use_pixelnorm", "fused_scale", "mbstd_group_size"}
KNOWN |= {"dtype", "structure"}


def describe(networks, left_out) -> WeightFile:
    """Describes the networks {role: Network} of a pickle. Raises UsageError if they cannot be converted."""
    networks, left_out, settings = dict(networks), list(left_out), {}
    if "D" in networks and (reason := unsupported_discriminator(networks["D"])):
        del networks["D"]
        left_out.append(f"D, the discriminator: {reason}")
    if "D" in networks and LOD in networks["D"].arrays:
        left_out.append(f"D: {LOD}, its growth; that of the generator is used")
    for role, network in networks.items():
        check_arguments(role, network.arguments, FIXED, KNOWN)
        own = arguments_of(network.arrays)
        if role != "D":
            own["pixel_norm"] = bool(network.arguments.get("use_pixelnorm", True))
        merge_settings(settings, role, own, largest=("fmap_base", "fmap_max"))
    for role, network in networks.items():
        check_sizes(role, network.arguments, {name: settings[name] for name in ("resolution", "latent_size")})
    states = {NAMES[role]: network.arrays for role, network in networks.items()}
    return WeightFile("pggan", "Progressive GAN (TensorFlow)", settings, states, left_out)


def unsupported_discriminator(network) -> str | None:
    """Returns the reason why a discriminator cannot be converted, None if it can.

    Those imported from Theano cannot: NVIDIA published such networks of CelebA-HQ and LSUN.
    """
    if UNFUSED_DOWN in network.arrays:
        return "it downsamples after the activation (fused_scale False), gan_tf before it"
    groups = network.arguments.get("mbstd_group_size", 4)
    if groups not in (0, 1, 4):  # 0 and 1: without the minibatch standard deviation
        return f"its minibatch standard deviation has groups of {shown(groups)} (mbstd_group_size), gan_tf of 4"
    return None


def arguments_of(arrays: dict) -> dict:
    """Reads a network's constructor arguments from the shapes of its official weights.

    Returns:
        `resolution`, `fmap_base`, `fmap_max`, and for a generator `latent_size`, for a discriminator
        `minibatch_stddev`. Of all values of `fmap_base` and `fmap_max` that give these shapes, the smallest.

    Raises:
        UsageError: the arrays are those of another network.
    """
    matches = (re.fullmatch(r"(?:ToRGB|FromRGB)_lod(\d{1,3})/weight", name) for name in arrays)
    lods = sorted(int(match[1]) for match in matches if match)
    resolution = 2 ** (len(lods) + 1)
    if lods != list(range(len(lods))) or resolution not in RESOLUTIONS:
        raise UsageError(f"Progressive GAN has ToRGB or FromRGB at every size from 4x4, this one at {len(lods)} sizes")
    widths = {}  # {level: channels}
    if "ToRGB_lod0/weight" in arrays:
        for level in range(len(lods)):
            widths[level] = _width(arrays, f"{_size(level)}/{'Conv1' if level else 'Conv'}/weight")
        own = {"latent_size": shape_of(arrays, FIRST_OF_G, 2)[0]}
        check_shape(arrays, FIRST_OF_G, (own["latent_size"], 16 * widths[0]))
    else:
        inputs, widths[0] = shape_of(arrays, "4x4/Conv/weight", 4)[2:]
        check_shape(arrays, "4x4/Conv/weight", (3, 3, inputs, widths[0]))
        widths[-1] = shape_of(arrays, "4x4/Dense0/weight", 2)[1]
        check_shape(arrays, "4x4/Dense0/weight", (16 * widths[0], widths[-1]))
        for level in range(1, len(lods)):
            widths[level] = _width(arrays, f"{_size(level)}/Conv0/weight")
        own = {"minibatch_stddev": inputs == widths[0] + 1}
    fmap_base, fmap_max = max(n * 2 ** (level + 1) for level, n in widths.items()), max(widths.values())
    if any(channels_of(level, fmap_base, fmap_max) != n for level, n in widths.items()):
        raise UsageError(f"channels of {sorted(widths.values())} do not halve from size to size")
    return {"resolution": resolution, "fmap_base": fmap_base, "fmap_max": fmap_max, **own}


def _width(arrays, name):
    """Returns the channels of a size, from `name`, a 3x3 convolution that keeps their number."""
    channels = shape_of(arrays, name, 4)[3]
    check_shape(arrays, name, (3, 3, channels, channels))
    return channels


def official_names(network, arrays=()) -> dict:
    """Returns {our variable name: official name} of a built network, without the generator's growth.

    `arrays`: official arrays, or their names. An unfused generator has `Conv0` in place of `Conv0_up`.
    """
    generator, names = isinstance(network, PgganGenerator), {}
    up = UP_UNFUSED if UNFUSED_UP in arrays else UP
    layers = {"first": up, "conv": "Conv1"} if generator else {"conv": "Conv0", "down": "Conv1_down"}
    for name in named_variables(network):
        match name.split("/"):  # such as ["blocks", "0", "first", "kernel"]
            case ["stem", layer, leaf]:
                official = {"first": "4x4/Dense", "conv": "4x4/Conv"}[layer]
            case ["head", layer, leaf]:
                official = {"conv": "4x4/Conv", "dense": "4x4/Dense0", "to_logits": "4x4/Dense1"}[layer]
            case ["blocks", index, layer, leaf]:
                official = f"{_size(int(index) + 1)}/{layers[layer]}"
            case ["to_rgb" | "from_rgb", level, leaf]:
                official = f"{'ToRGB' if generator else 'FromRGB'}_lod{network.levels - int(level)}"
            case _:  # growth
                continue
        names[name] = f"{official}/{'weight' if leaf == 'kernel' else 'bias'}"
    return names


def growth(network, arrays) -> dict:
    """Returns {"growth": value} of a generator; without the scalar `lod` it is fully grown.

    Raises:
        UsageError: `lod` is out of range.
    """
    lod = np.asarray(arrays.get(LOD, 0.0))
    if lod.ndim or lod.dtype.kind not in "fiu" or not 0 <= float(lod) <= network.levels:
        raise UsageError(f"{LOD} is {shown(lod)}, and should be one number from 0 to {network.levels}")
    return {GROWTH: network.levels - float(lod)} if isinstance(network, PgganGenerator) else {}


def to_official_layout(ours, theirs, value, shapes):
    """Returns `value`, an array of variable `ours`, in the layout of `theirs`; `shapes` is {our name: shape}."""
    if ours == STEM:  # [Z, 4, 4, C] -> [Z, C * 4 * 4]
        return value.transpose(0, 3, 1, 2).reshape(len(value), -1)
    if ours == DENSE:  # [4 * 4 * C, F] -> [C * 4 * 4, F]
        return value.reshape(4, 4, -1, value.shape[1]).transpose(2, 0, 1, 3).reshape(value.shape)
    if theirs.endswith(f"/{UP}/weight"):
        return value.transpose(0, 1, 3, 2)[::-1, ::-1]
    return value


def _size(level):
    """Returns the map size of a level, such as "8x8"."""
    return f"{resolution_of(level)}x{resolution_of(level)}"
