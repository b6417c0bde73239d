"""FastGAN-pytorch: content of its checkpoints, names and layouts of its networks' arrays.

    N.pth      a dict of state dicts: "g", the EMA generator, and "d"
    all_N.pth  a dict of "g" and "d", the trained networks; "g_ema", a list of g's averaged parameters in the order of
               its state dict, without buffers; "opt_g" and "opt_d", the optimisers

The official program generates with the averaged parameters and the buffers (running statistics, spectral vectors) of
the trained generator; so do converted runs. A state dict of the generator alone is used as the EMA generator. Names may
begin with "module.", from PyTorch's DataParallel.

Convolutions are [O, I, h, w], the transposed one of the stem [I, O, h, w], spectral vectors `weight_u` [O] and
`weight_v` [I * h * w]. Ours are [h, w, I, O] and [Z, 4, 4, O], with `v` in the order of the kernel's leading axes.
"""

import re

import numpy as np

from gan_tf.convert.weight_file import WeightFile, check_shape, shape_of
from gan_tf.errors import UsageError
from gan_tf.io.files import printable
from gan_tf.models.fastgan import FastGanGenerator
from gan_tf.models.variables import named_variables

COUNTER = "num_batches_tracked"  # of batch norms, without effect
BUFFERS = (COUNTER, "running_mean", "running_var", "weight_u", "weight_v")
PREFIX = "module."
FIRST_OF_G, FIRST_OF_D = "init.init.0.weight_orig", "rf_big.3.weight_orig"  # identify the network of a state dict
LISTED = 20  # entries of other content that are described
LEAVES = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
LEAVES |= {"kernel": "weight_orig", "u": "weight_u", "v": "weight_v", "strength": "weight", "bias": "bias"}
EXCITATION = {"squeeze": "main.1", "gate": "main.3"}


def describe(content) -> WeightFile:
    """Describes a checkpoint, as `read_torch_file` returns it. Raises UsageError if it is of another program."""
    if type(content) is not dict:
        raise UsageError(f"it has a {type(content).__name__} and no networks of FastGAN")
    groups, left_out = _groups(content)
    if "g" not in groups and "g_ema" not in groups:
        present = ", ".join([*groups, *left_out[:3]]) or "nothing"
        raise UsageError(f"it has no generator g of FastGAN, but {present}")
    for name, arrays in groups.items():
        if counters := sum(str(key).endswith(COUNTER) for key in arrays):
            left_out.append(f"{name}: {counters} counters {COUNTER}, which have no effect")
    states = groups | {"g_ema": _ema_state(groups)}
    settings = generator_arguments(states["g_ema"])
    if "d" in states:
        of_d = discriminator_arguments(states["d"])
        if of_d["resolution"] != settings["resolution"]:
            raise UsageError(
                f"its generator has {settings['resolution']} pixels, its discriminator {of_d['resolution']}"
            )
        settings |= of_d
    return WeightFile("fastgan", "FastGAN-pytorch", settings, states, left_out)


def _groups(content):
    """Returns ({"g", "d" or "g_ema": {name: array}}, [descriptions of the rest]); names in a list are its indices."""
    if FIRST_OF_G in _without_prefix(content):
        content = {"g": content}
    elif FIRST_OF_D in _without_prefix(content):
        content = {"d": content}
    groups, rest = {}, []
    for key, value in content.items():
        if key in ("g", "d", "g_ema") and isinstance(value, dict | list):
            items = value if isinstance(value, dict) else dict(enumerate(value))
            arrays = {name: item for name, item in items.items() if isinstance(item, np.ndarray)}
            if arrays:
                groups[key] = _without_prefix(arrays)
            rest += [(f"{key}/{name}", item) for name, item in items.items() if name not in arrays]
        else:
            rest.append((key, value))
    left_out = [f"{printable(name)[:80]}: {count} tensors" for name, value in rest if (count := count_tensors(value))]
    more = [f"and {len(left_out) - LISTED} more"] if len(left_out) > LISTED else []
    return groups, left_out[:LISTED] + more


def count_tensors(value):
    """Returns the number of arrays in nested dicts and lists, each of which counts once."""
    count, left, seen = 0, [value], set()
    while left:
        item = left.pop()
        if isinstance(item, np.ndarray):
            count += 1
        elif isinstance(item, dict | list | tuple) and id(item) not in seen:
            seen.add(id(item))
            left += item.values() if isinstance(item, dict) else item
    return count


def _without_prefix(arrays):
    """Returns the arrays without the prefix "module.", which all names have or none."""
    prefixed = [str(name).startswith(PREFIX) for name in arrays]
    if any(prefixed) and not all(prefixed):
        raise UsageError(f"some names begin with {PREFIX}, others do not")
    return {name.removeprefix(PREFIX): array for name, array in arrays.items()} if any(prefixed) else arrays


def _ema_state(groups):
    """Returns the EMA generator's state dict: averaged parameters, and the buffers of the trained generator."""
    g, g_ema = groups.get("g"), groups.get("g_ema") or groups["g"]
    if all(isinstance(name, str) for name in g_ema):
        return g_ema  # some variants of the program store a complete state dict
    if g is None:
        raise UsageError("g_ema has parameters without names, and g is missing, which has the names")
    names, values = [name for name in g if not name.endswith(BUFFERS)], list(g_ema.values())
    if len(names) != len(values):
        raise UsageError(f"g_ema has {len(values)} parameters, g has {len(names)}")
    for name, value in zip(names, values, strict=True):
        if g[name].shape != value.shape:
            raise UsageError(f"g_ema has the shape {value.shape} in place of {name}, g has {g[name].shape}")
    return g | dict(zip(names, values, strict=True))


def generator_arguments(arrays: dict) -> dict:
    """Reads `resolution`, `ngf` and `latent_size` from the shapes of an official generator's state dict.

    Raises UsageError for the arrays of another network.
    """
    sizes = [int(match[1]) for name in arrays if (match := re.match(r"feat_(\d{1,6})\.", name))]
    if max(sizes, default=0) not in (256, 512, 1024):
        present = f"has {max(sizes)}" if sizes else "has no feat_256"
        raise UsageError(f"generators of FastGAN have 256, 512 or 1024 pixels, this one {present}")
    ngf = shape_of(arrays, "to_128.weight_orig", 4)[1]  # maps of 128 pixels have ngf channels
    check_shape(arrays, "feat_8.1.weight_orig", (16 * ngf, 16 * ngf, 3, 3))
    latent_size = shape_of(arrays, FIRST_OF_G, 4)[0]
    check_shape(arrays, FIRST_OF_G, (latent_size, 32 * ngf, 4, 4))
    return {"resolution": max(sizes), "ngf": ngf, "latent_size": latent_size}


def discriminator_arguments(arrays: dict) -> dict:
    """Reads `resolution` and `ndf` from the shapes of an official discriminator's state dict.

    Raises UsageError for the arrays of another network.
    """
    if "down_from_big.2.weight_orig" in arrays:
        resolution = 1024
    else:
        kernel = shape_of(arrays, "down_from_big.0.weight_orig", 4)[2]
        if kernel not in (3, 4):
            raise UsageError(f"the first kernel of its discriminator has {kernel} pixels, and should have 3 or 4")
        resolution = {3: 256, 4: 512}[kernel]
    ndf = shape_of(arrays, "down_8.main.0.weight_orig", 4)[0]  # 64-pixel maps
    check_shape(arrays, "down_64.main.3.weight_orig", (8 * ndf, 8 * ndf, 3, 3))
    return {"resolution": resolution, "ndf": ndf}


def official_names(network, arrays=()) -> dict:
    """Returns {our variable name: official name} of a built network of an official size (256, 512, 1024).

    `arrays` has no effect here; Progressive GAN's names depend on it.
    """
    names = {}
    for name in named_variables(network):
        *path, leaf = name.split("/")
        names[name] = f"{_official_layer(path, isinstance(network, FastGanGenerator))}.{LEAVES[leaf]}"
    return names


def to_official_layout(ours, theirs, value, shapes):
    """Returns `value`, an array of variable `ours`, in the layout of `theirs`; `shapes` is {our name: shape}."""
    stem = ours.startswith("stem/") and ours.count("/") == 1  # of the generator; the discriminator's is a list
    if value.ndim == 4:  # [I, h, w, O] -> [I, O, h, w] for the stem, [h, w, I, O] -> [O, I, h, w] for others
        return value.transpose((0, 3, 1, 2) if stem else (3, 2, 0, 1))
    if ours.endswith("/v") and not stem:  # the stem's official matrix has rows of [I, h, w] as ours
        height, width, inputs, _ = shapes[ours.removesuffix("v") + "kernel"]
        return value.reshape(height, width, inputs).transpose(2, 0, 1).reshape(-1)
    return value


def _official_layer(path, generator):
    """Returns the official name of the layer at `path`, such as ["blocks", "0", "up"] -> "feat_8.1"."""
    match path:
        case ["stem"]:
            return "init.init.0"
        case ["stem_norm"]:
            return "init.init.1"
        case ["blocks", index, layer]:
            indices = {"up": 1, "up_noise": 2, "up_norm": 3, "conv": 5, "conv_noise": 6, "conv_norm": 7, "norm": 2}
            return f"feat_{2 ** (int(index) + 3)}.{indices[layer]}"
        case ["excitations", index, layer] if generator:
            return f"se_{2 ** (int(index) + 6)}.{EXCITATION[layer]}"
        case ["to_small"]:
            return "to_128"
        case ["to_rgb"]:
            return "to_big"
        # Layers of the discriminator:
        case ["stem", index, layer]:
            return f"down_from_big.{2 * int(index) + (layer == 'norm')}"  # conv, (norm,) activation
        case ["blocks", index, "main", part, layer]:
            return f"down_{2 ** (int(index) + 2)}.main.{3 * int(part) + (layer == 'norm')}"
        case ["blocks", index, "direct", layer]:
            return f"down_{2 ** (int(index) + 2)}.direct.{1 + (layer == 'norm')}"
        case ["excitations", index, layer]:
            source = 2 ** (int(index) + 1)
            return f"se_{source}_{8 * source}.{EXCITATION[layer]}"
        case ["head", layer]:
            return f"rf_big.{int(layer == 'norm')}"
        case ["to_logits"]:
            return "rf_big.3"
        case ["small_blocks", "0", "conv"]:
            return "down_from_small.0"
        case ["small_blocks", index, layer]:
            return f"down_from_small.{int(index) + 1}.main.{int(layer == 'norm')}"
        case ["small_to_logits"]:
            return "rf_small"
        case ["decoder_layers", name, "blocks", index, layer]:
            return f"decoder_{name}.main.{int(index) + 1}.{1 + (layer == 'norm')}"
        case ["decoder_layers", name, "to_rgb"]:
            return f"decoder_{name}.main.5"
    raise KeyError(path)
