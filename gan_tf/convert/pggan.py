"""Names and layouts of the official Progressive GAN networks.

Official kernels are [k, k, I, O] as ours, but for `Conv0_up`, the kernel of a transposed convolution: [k, k, O, I], its
taps the other way round. Networks that were imported from the first program, in Theano, are not fused: the generator
enlarges the map and then convolves it with `Conv0`, which is [k, k, I, O]. Matrices next to a map of 4x4 pixels count
its entries channel first. Levels have names that count from the full resolution down (`ToRGB_lod0` is its last) or that
say the map's size.
"""

import functools
import re

import numpy as np

from gan_tf.convert.found import require_shape, shape_of
from gan_tf.errors import UsageError
from gan_tf.models.pggan import GROWTH, RESOLUTIONS, PgganGenerator, channels_of, level_of, resolution_of
from gan_tf.models.variables import named_variables

LOD = "lod"  # the official way to say how far a network has grown: last level - growth; it may be absent
UP, UP_UNFUSED = "Conv0_up", "Conv0"  # upsampling and convolution in one operation, or in two: the same mathematics
UNFUSED_UP = f"8x8/{UP_UNFUSED}/weight"  # of a generator; a discriminator has a Conv0 of its own
UNFUSED_DOWN = "8x8/Conv1/weight"  # of a discriminator, in place of 8x8/Conv1_down/weight
STEM, DENSE = "stem/first/kernel", "head/dense/kernel"  # the two next to a map of 4x4 pixels
NOT_OFFICIAL = "these are not the weights of an official Progressive GAN"
_shape, _require_shape = (functools.partial(check, NOT_OFFICIAL) for check in (shape_of, require_shape))
LEAVES = {"kernel": "weight", "bias": "bias"}


def official_names(network, arrays=()) -> dict:
    """{our variable name: official name} of a built network, without the generator's growth.

    Args:
        arrays: official arrays, or their names. A generator that was not fused has `Conv0` in the place of `Conv0_up`.

    Raises:
        UsageError: the network has no official counterpart.
    """
    if isinstance(network, PgganGenerator) and network.batch_norm:
        raise UsageError("the official networks have no batch norm, this generator has")
    found = {}
    for name in named_variables(network):
        if name != GROWTH:
            *path, leaf = name.split("/")
            if isinstance(network, PgganGenerator):
                owner = _generator_owner(path, network.levels, UP if UNFUSED_UP not in arrays else UP_UNFUSED)
            else:
                owner = _discriminator_owner(path, network.levels)
            found[name] = f"{owner}/{LEAVES[leaf]}"
    return found


def has_no_counterpart(name) -> bool:
    """True for what tells how far a network has grown; a discriminator of ours does not say it."""
    return name == LOD


def other_values(network, arrays) -> dict:
    """{"growth": how far a generator has grown}; without the scalar `lod` it is taken to be fully grown.

    Raises:
        UsageError: `lod` is none of this network.
    """
    lod = np.asarray(arrays.get(LOD, 0.0))
    if lod.ndim or lod.dtype.kind not in "fiu" or not 0 <= float(lod) <= network.levels:
        raise UsageError(f"{LOD} is {str(lod)[:40]}, and should be one number from 0 to {network.levels}")
    return {GROWTH: network.levels - float(lod)} if isinstance(network, PgganGenerator) else {}


def arguments_of(arrays: dict) -> dict:
    """Reads a network's arguments out of the shapes of its official weights.

    Returns:
        `resolution`, `fmap_base`, `fmap_max`, and for a generator `latent_size`, for a discriminator
        `minibatch_stddev`. The shapes tell `fmap_base` and `fmap_max` as far as they matter: networks of these
        arguments have the same shapes.

    Raises:
        UsageError: the arrays are not those of such a network.
    """
    found = (re.fullmatch(r"(?:ToRGB|FromRGB)_lod(\d{1,3})/weight", name) for name in arrays)
    places = sorted(int(match[1]) for match in found if match)
    resolution = 2 ** (len(places) + 1)
    if places != list(range(len(places))) or resolution not in RESOLUTIONS:
        raise UsageError(f"{NOT_OFFICIAL}: they have ToRGB or FromRGB at {len(places)} sizes")
    if "ToRGB_lod0/weight" in arrays:
        widths = {lod: _shape(arrays, f"ToRGB_lod{lod}/weight", 4)[2] for lod in places}
        own = {"latent_size": _shape(arrays, "4x4/Dense/weight", 2)[0]}
    else:
        widths = {lod: _shape(arrays, f"FromRGB_lod{lod}/weight", 4)[3] for lod in places}
        widths[len(places)] = _shape(arrays, "4x4/Dense0/weight", 2)[1]
        inputs, outputs = _shape(arrays, "4x4/Conv/weight", 4)[2:]
        own = {"minibatch_stddev": inputs == outputs + 1}
    return {"resolution": resolution, **_feature_maps({len(places) - 1 - lod: n for lod, n in widths.items()}), **own}


def require_channels(arrays: dict, settings: dict) -> None:
    """Raises UsageError unless the largest array of each size is what `settings` say.

    So networks built from `settings` are no larger, but for a factor of a few, than the arrays are.
    """
    is_generator = "ToRGB_lod0/weight" in arrays
    for level in range(level_of(settings["resolution"]) + 1):
        size, channels = resolution_of(level), channels_of(level, settings["fmap_base"], settings["fmap_max"])
        own = "Conv" if level == 0 else "Conv1" if is_generator else "Conv0"
        name, inputs = f"{size}x{size}/{own}/weight", channels
        if level == 0 and not is_generator:
            inputs += bool(settings.get("minibatch_stddev"))
        _require_shape(arrays, name, (3, 3, inputs, channels))


def _feature_maps(widths):
    """{level: channels} -> fmap_base and fmap_max, the least that give these channels."""
    fmap_base, fmap_max = max(n * 2 ** (level + 1) for level, n in widths.items()), max(widths.values())
    if any(channels_of(level, fmap_base, fmap_max) != n for level, n in widths.items()):
        raise UsageError(f"{NOT_OFFICIAL}: channels of {sorted(widths.values())} do not halve from size to size")
    return {"fmap_base": fmap_base, "fmap_max": fmap_max}


def constants(network) -> dict:
    """An official network holds nothing else."""
    return {}


def from_official_layout(ours, theirs, value, shapes):
    """One official array in our layout."""
    if ours == STEM:  # [Z, C * 4 * 4]
        return value.reshape(len(value), -1, 4, 4).transpose(0, 2, 3, 1)
    if ours == DENSE:  # [C * 4 * 4, F]
        return value.reshape(-1, 4, 4, value.shape[1]).transpose(1, 2, 0, 3).reshape(value.shape)
    if _is_transposed(theirs):
        return value[::-1, ::-1].transpose(0, 1, 3, 2)
    return value


def to_official_layout(ours, theirs, value, shapes):
    """One of our arrays in the official layout."""
    if ours == STEM:
        return value.transpose(0, 3, 1, 2).reshape(len(value), -1)
    if ours == DENSE:
        return value.reshape(4, 4, -1, value.shape[1]).transpose(2, 0, 1, 3).reshape(value.shape)
    if _is_transposed(theirs):
        return value.transpose(0, 1, 3, 2)[::-1, ::-1]
    return value


def _is_transposed(theirs):
    return theirs.endswith(f"/{UP}/weight")


def _generator_owner(path, levels, up):
    """Official prefix of the layer at `path`, such as ["blocks", "0", "first"] -> "8x8/Conv0_up" where `up` is that."""
    match path:
        case ["stem", layer]:
            return {"first": "4x4/Dense", "conv": "4x4/Conv"}[layer]
        case ["blocks", index, layer]:
            return f"{_size(index)}/{ {'first': up, 'conv': 'Conv1'}[layer] }"
        case ["to_rgb", level]:
            return f"ToRGB_lod{levels - int(level)}"
    raise KeyError(path)


def _discriminator_owner(path, levels):
    """Official prefix of the layer at `path`, such as ["blocks", "0", "down"] -> "8x8/Conv1_down"."""
    match path:
        case ["from_rgb", level]:
            return f"FromRGB_lod{levels - int(level)}"
        case ["blocks", index, layer]:
            return _size(index) + {"conv": "/Conv0", "down": "/Conv1_down"}[layer]
        case ["head", layer]:
            return {"conv": "4x4/Conv", "dense": "4x4/Dense0", "to_logits": "4x4/Dense1"}[layer]
    raise KeyError(path)


def _size(index):
    """Map of the block at `index`, such as "8x8"."""
    size = resolution_of(int(index) + 1)
    return f"{size}x{size}"
