"""Names and layouts of the official Progressive GAN networks.

Official kernels are [k, k, I, O] as ours, but for `Conv0_up`, the kernel of a transposed convolution: [k, k, O, I], its
taps the other way round. Matrices next to a map of 4x4 pixels count its entries channel first.
Levels have names that count from the full resolution down (`ToRGB_lod0` is its last) or that say the map's size.
"""

import re

import numpy as np

from gan_tf.errors import UsageError
from gan_tf.models.pggan import RESOLUTIONS, Generator, channels_of, level_of, resolution_of
from gan_tf.models.variables import named_variables

GROWTH, LOD = "growth", "lod"  # ours and the official way to say how far a network has grown; LOD may be absent
STEM, DENSE = "stem/first/kernel", "head/dense/kernel"  # the two next to a map of 4x4 pixels
NOT_OFFICIAL = "these are not the weights of an official Progressive GAN"
LEAVES = {"kernel": "weight", "bias": "bias"}


def official_names(network) -> dict:
    """{our variable name: official name} of a built network, without the generator's growth.

    Raises:
        UsageError: the network has no official counterpart.
    """
    if isinstance(network, Generator) and network.batch_norm:
        raise UsageError("the official networks have no batch norm, this generator has")
    owner = _generator_owner if isinstance(network, Generator) else _discriminator_owner
    found = {}
    for name in named_variables(network):
        if name != GROWTH:
            *path, leaf = name.split("/")
            found[name] = f"{owner(path, network.levels)}/{LEAVES[leaf]}"
    return found


def load_state_dict(network, arrays: dict) -> None:
    """Copies official weights into a built network, and its growth into a generator.

    Args:
        network: Generator or Discriminator of the same sizes.
        arrays: {official name: array}, complete. Without the scalar `lod`, the network is taken to be fully grown.

    Raises:
        UsageError: an array is missing, left over, or of another shape. Nothing is changed then.
    """
    names = official_names(network)
    wanted, given = set(names.values()), set(arrays) - {LOD}
    missing, extra = sorted(wanted - given), sorted(given - wanted)
    if missing or extra:
        raise UsageError(f"weights do not fit the network: missing {missing[:3]}, left over {extra[:3]}")
    variables = named_variables(network)
    for ours, theirs in names.items():
        shape = _to_official_layout(ours, np.empty(variables[ours].shape, np.bool_)).shape
        if arrays[theirs].shape != shape:
            raise UsageError(f"{theirs} has shape {arrays[theirs].shape}, not {shape}, and does not fit {ours}")
    for ours, theirs in names.items():
        variables[ours].assign(_from_official_layout(ours, arrays[theirs]))
    if isinstance(network, Generator):
        network.growth.assign(network.levels - float(arrays.get(LOD, 0.0)))


def state_dict(network) -> dict:
    """{official name: array in the official layout} of a built network: the reverse of `load_state_dict`."""
    variables = {name: np.asarray(v) for name, v in named_variables(network).items() if name != GROWTH}
    return to_official(network, variables)


def to_official(network, arrays: dict) -> dict:
    """{our name: array} of variables or their gradients -> {official name: array in the official layout}."""
    names = official_names(network)
    return {names[ours]: _to_official_layout(ours, np.asarray(value)) for ours, value in arrays.items()}


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
    try:
        if "ToRGB_lod0/weight" in arrays:
            widths = {lod: _shape(arrays, f"ToRGB_lod{lod}/weight", 4)[2] for lod in places}
            own = {"latent_size": _shape(arrays, "4x4/Dense/weight", 2)[0]}
        else:
            widths = {lod: _shape(arrays, f"FromRGB_lod{lod}/weight", 4)[3] for lod in places}
            widths[len(places)] = _shape(arrays, "4x4/Dense0/weight", 2)[1]
            inputs, outputs = _shape(arrays, "4x4/Conv/weight", 4)[2:]
            own = {"minibatch_stddev": inputs == outputs + 1}
    except KeyError as error:
        raise UsageError(f"{NOT_OFFICIAL}: {error} is missing") from None
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
        if name not in arrays:
            raise UsageError(f"{NOT_OFFICIAL}: {name} is missing")
        if arrays[name].shape != (3, 3, inputs, channels):
            raise UsageError(
                f"{NOT_OFFICIAL}: {name} has the shape {arrays[name].shape}, not {(3, 3, inputs, channels)} as its "
                "other sizes ask for"
            )


def _shape(arrays, name, axes):
    """The shape of an array that must have so many axes; KeyError if it is missing."""
    if arrays[name].ndim != axes:
        raise UsageError(f"{NOT_OFFICIAL}: {name} has the shape {arrays[name].shape}, and should have {axes} axes")
    return arrays[name].shape


def _feature_maps(widths):
    """{level: channels} -> fmap_base and fmap_max, the least that give these channels."""
    fmap_base, fmap_max = max(n * 2 ** (level + 1) for level, n in widths.items()), max(widths.values())
    if any(channels_of(level, fmap_base, fmap_max) != n for level, n in widths.items()):
        raise UsageError(f"{NOT_OFFICIAL}: channels of {sorted(widths.values())} do not halve from size to size")
    return {"fmap_base": fmap_base, "fmap_max": fmap_max}


def _from_official_layout(ours, value):
    if ours == STEM:  # [Z, C * 4 * 4]
        return value.reshape(len(value), -1, 4, 4).transpose(0, 2, 3, 1)
    if ours == DENSE:  # [C * 4 * 4, F]
        return value.reshape(-1, 4, 4, value.shape[1]).transpose(1, 2, 0, 3).reshape(value.shape)
    if _is_up(ours):
        return value[::-1, ::-1].transpose(0, 1, 3, 2)
    return value


def _to_official_layout(ours, value):
    if ours == STEM:
        return value.transpose(0, 3, 1, 2).reshape(len(value), -1)
    if ours == DENSE:
        return value.reshape(4, 4, -1, value.shape[1]).transpose(2, 0, 1, 3).reshape(value.shape)
    if _is_up(ours):
        return value.transpose(0, 1, 3, 2)[::-1, ::-1]
    return value


def _is_up(ours):
    return re.fullmatch(r"blocks/\d+/first/kernel", ours) is not None


def _generator_owner(path, levels):
    """Official prefix of the layer at `path`, such as ["blocks", "0", "first"] -> "8x8/Conv0_up"."""
    match path:
        case ["stem", layer]:
            return {"first": "4x4/Dense", "conv": "4x4/Conv"}[layer]
        case ["blocks", index, layer]:
            return _size(index) + {"first": "/Conv0_up", "conv": "/Conv1"}[layer]
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
