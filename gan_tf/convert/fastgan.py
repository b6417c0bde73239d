"""Names and layouts of the official FastGAN networks.

The state dict is that of the PyTorch networks: convolutions [O, I, h, w], the transposed one of the stem [I, O, h, w],
spectral vectors `weight_u` [O] and `weight_v` [I * h * w]. Ours are [h, w, I, O] and [Z, 4, 4, O], with `v` in the
order of the kernel's leading axes. The official `num_batches_tracked` counters have no effect and no counterpart.
"""

import functools
import math
import re

import numpy as np

from gan_tf.convert.found import require_shape, shape_of
from gan_tf.errors import UsageError
from gan_tf.models.fastgan import FastGanDiscriminator, FastGanGenerator
from gan_tf.models.variables import named_variables

IGNORED = "num_batches_tracked"
BUFFERS = (IGNORED, "running_mean", "running_var", "weight_u", "weight_v")  # of a state dict, no parameters
NOT_OFFICIAL = "these are not the weights of an official FastGAN"
_shape, _require_shape = (functools.partial(check, NOT_OFFICIAL) for check in (shape_of, require_shape))
FIXED_LAYER = 1 << 20  # numbers; decoders have some layers whose widths are fixed, of fewer
OFFICIAL_SIZES = (256, 512, 1024)
NORM = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
SPECTRAL = {"kernel": "weight_orig", "u": "weight_u", "v": "weight_v"}


def official_names(network, arrays=()) -> dict:
    """{our variable name: official name} of a built network of an official size (256, 512, 1024).

    `arrays`, of which state_dicts tells, have one form here.

    Raises:
        UsageError: the network has no official counterpart.
    """
    if network.resolution < 256:
        raise UsageError(f"the official networks have 256, 512 or 1024 pixels, this one has {network.resolution}")
    if isinstance(network, FastGanDiscriminator) and network.decoders != 3:
        raise UsageError(f"the official discriminator has 3 decoders, this one has {network.decoders}")
    owner = _generator_owner if isinstance(network, FastGanGenerator) else _discriminator_owner
    return {name: _official_name(name, owner, network) for name in named_variables(network)}


def generator_arguments(arrays: dict) -> dict:
    """Reads `resolution`, `ngf` and `latent_size` out of the shapes of an official generator's state dict.

    Raises:
        UsageError: the arrays are not those of such a generator.
    """
    sizes = [int(match[1]) for name in arrays if (match := re.match(r"feat_(\d{1,6})\.", name))]
    if max(sizes, default=0) not in OFFICIAL_SIZES:
        have = f"has {max(sizes)}" if sizes else "has no feat_256"
        raise UsageError(f"{NOT_OFFICIAL}: its generators have 256, 512 or 1024 pixels, this one {have}")
    ngf = _shape(arrays, "to_128.weight_orig", 4)[1]  # maps of 128 pixels have ngf channels
    _require_shape(arrays, "feat_8.1.weight_orig", (16 * ngf, 16 * ngf, 3, 3))
    latent_size = _shape(arrays, "init.init.0.weight_orig", 4)[0]
    _require_shape(arrays, "init.init.0.weight_orig", (latent_size, 32 * ngf, 4, 4))
    return {"resolution": max(sizes), "ngf": ngf, "latent_size": latent_size}


def discriminator_arguments(arrays: dict) -> dict:
    """Reads `resolution` and `ndf` out of the shapes of an official discriminator's state dict.

    Raises:
        UsageError: the arrays are not those of such a discriminator.
    """
    if "down_from_big.2.weight_orig" in arrays:
        resolution = 1024
    else:
        kernel = _shape(arrays, "down_from_big.0.weight_orig", 4)[2]
        if kernel not in (3, 4):
            raise UsageError(f"{NOT_OFFICIAL}: its discriminator's first kernel has {kernel} pixels, not 3 or 4")
        resolution = {3: 256, 4: 512}[kernel]
    ndf = _shape(arrays, "down_8.main.0.weight_orig", 4)[0]  # 64-pixel maps
    _require_shape(arrays, "down_64.main.3.weight_orig", (8 * ndf, 8 * ndf, 3, 3))
    return {"resolution": resolution, "ndf": ndf}


def refuse_huge(states: dict, settings: dict) -> None:
    """Refuses a file by the shapes of its tensors, before their numbers are read.

    Args:
        states: {network: {name: array, or its description}}.
        settings: what `generator_arguments` and `discriminator_arguments` read of them.

    Raises:
        UsageError: a tensor has more numbers than the largest layer of such networks.
    """
    ngf, ndf, latent_size = settings["ngf"], settings.get("ndf", 0), settings["latent_size"]
    most = max(FIXED_LAYER, (16 * ngf) ** 2 * 9, latent_size * 32 * ngf * 16, (8 * ndf) ** 2 * 9)
    for arrays in states.values():
        for name, array in arrays.items():
            if math.prod(array.shape) > most:
                raise UsageError(f"{NOT_OFFICIAL}: {name} has the shape {array.shape}, larger than any of its layers")


def has_no_counterpart(name) -> bool:
    """True for the official counters."""
    return name.endswith(IGNORED)


def other_values(network, arrays) -> dict:
    """No variable is told otherwise."""
    return {}


def constants(network) -> dict:
    """An official network holds nothing else."""
    return {}


def from_official_layout(ours, theirs, value, shapes):
    """One official array in our layout; `v` takes its order from the shape of its own kernel."""
    if value.ndim == 4:
        return value.transpose(_kernel_axes(ours))
    if _is_reordered(ours):
        height, width, inputs, _ = shapes[_kernel_of(ours)]
        return value.reshape(inputs, height, width).transpose(1, 2, 0).reshape(-1)
    return value


def to_official_layout(ours, theirs, value, shapes):
    """One of our arrays in the official layout."""
    if value.ndim == 4:
        return value.transpose(np.argsort(_kernel_axes(ours)))
    if _is_reordered(ours):
        height, width, inputs, _ = shapes[_kernel_of(ours)]
        return value.reshape(height, width, inputs).transpose(2, 0, 1).reshape(-1)
    return value


def _is_reordered(ours):
    """True for `v`, but for the stem's: the official matrix puts output channels first, so its rows of v run over
    [I, h, w], as ours do.
    """
    return ours.endswith("/v") and not _is_stem(ours)


def _kernel_of(ours):
    return ours.removesuffix("v") + "kernel"


def _kernel_axes(ours):
    return (
        (0, 2, 3, 1) if _is_stem(ours) else (2, 3, 1, 0)
    )  # [I, O, h, w] -> [I, h, w, O]; [O, I, h, w] -> [h, w, I, O]


def _is_stem(ours):
    return ours.startswith("stem/") and ours.count("/") == 1  # the generator's; the discriminator's is a list


def _official_name(ours, owner, network):
    *path, leaf = ours.split("/")
    prefix = owner(path, network)
    if leaf == "strength":
        return f"{prefix}.weight"
    return f"{prefix}.{(SPECTRAL | NORM)[leaf]}"


def _generator_owner(path, network):
    """Official prefix of the layer at `path`, such as ["blocks", "0", "up"] -> "feat_8.1"."""
    match path:
        case ["stem"]:
            return "init.init.0"
        case ["stem_norm"]:
            return "init.init.1"
        case ["blocks", index, layer]:
            places = {"up": 1, "up_noise": 2, "up_norm": 3, "conv": 5, "conv_noise": 6, "conv_norm": 7, "norm": 2}
            return f"feat_{2 ** (int(index) + 3)}.{places[layer]}"
        case ["excitations", index, layer]:
            return f"se_{2 ** (int(index) + 6)}.{_excitation_place(layer)}"
        case ["to_small"]:
            return "to_128"
        case ["to_rgb"]:
            return "to_big"
    raise KeyError(path)


def _discriminator_owner(path, network):
    """Official prefix of the layer at `path`, such as ["blocks", "0", "main", "1", "norm"] -> "down_4.main.4"."""
    match path:
        case ["stem", index, layer]:
            return f"down_from_big.{2 * int(index) + (layer == 'norm')}"  # conv, (norm,) activation
        case ["blocks", index, "main", part, layer]:
            return f"down_{2 ** (int(index) + 2)}.main.{3 * int(part) + (layer == 'norm')}"
        case ["blocks", index, "direct", layer]:
            return f"down_{2 ** (int(index) + 2)}.direct.{1 + (layer == 'norm')}"
        case ["excitations", index, layer]:
            source = 2 ** (int(index) + 1)
            return f"se_{source}_{8 * source}.{_excitation_place(layer)}"
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


def _excitation_place(layer):
    return {"squeeze": "main.1", "gate": "main.3"}[layer]
