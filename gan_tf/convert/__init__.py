"""Reads weight files of the official programs, and copies official state dicts into networks of gan_tf.

The module of each family describes its files (`describe`) and maps variables to official arrays (`official_names`,
`to_official_layout`).
"""

from pathlib import Path

import numpy as np

from gan_tf.convert import fastgan, pggan, stylegan2
from gan_tf.convert.weight_file import WeightFile, shown
from gan_tf.errors import UsageError
from gan_tf.models.fastgan import FastGanDiscriminator, FastGanGenerator
from gan_tf.models.pggan import PgganDiscriminator, PgganGenerator
from gan_tf.models.stylegan2 import StyleGan2Discriminator, StyleGan2Generator
from gan_tf.models.variables import named_variables
from gan_tf.pretrained.network_pickles import FORM_TENSORFLOW, read_network_pickle
from gan_tf.pretrained.torch_files import is_torch_file, read_torch_file, reading

CONVERTERS = {  # modules of the families, by class of network
    FastGanGenerator: fastgan,
    FastGanDiscriminator: fastgan,
    PgganGenerator: pggan,
    PgganDiscriminator: pggan,
    StyleGan2Generator: stylegan2,
    StyleGan2Discriminator: stylegan2,
}
IGNORED = (fastgan.COUNTER, pggan.LOD)  # last parts of the names of official arrays that have no variable


def read_weight_file(path) -> WeightFile:
    """Reads a checkpoint of FastGAN-pytorch, or a pickle of Progressive GAN or StyleGAN2-ADA. Runs no code in it.

    Raises:
        UsageError: the file cannot be read, is damaged, names a function that weights do not need, or has networks that
            cannot be converted; one line with the path.
    """
    path = Path(path)
    with reading(path, "checkpoint of torch.save or pickle of networks"):
        if is_torch_file(path):
            weights = fastgan.describe(read_torch_file(path))
        else:
            networks, left_out = read_network_pickle(path)
            weights = _family_of_pickle(networks).describe(networks, left_out)
        check_weights(weights.states, path.stat().st_size)
        return weights


def _family_of_pickle(networks):
    """Returns the module of the family of networks {role: Network}, which the EMA generator's array names identify.

    Raises:
        UsageError: no EMA generator, or another family.
    """
    if "G_ema" not in networks:
        raise UsageError(f"it has {' and '.join(networks)}, but no EMA generator G_ema")
    g = networks["G_ema"]
    for family in (stylegan2, pggan):
        if family.FIRST_OF_G in g.arrays:
            return family
    family = "unknown"
    if any(name.startswith("synthesis") for name in g.arrays):
        # Only StyleGAN 1 has modules named StyleMod. StyleGAN3 begins with Fourier features, `synthesis.input`.
        family = "StyleGAN1" if any("StyleMod" in name for name in g.arrays) else "StyleGAN2"
        family = "StyleGAN3" if any(name.startswith("synthesis.input.") for name in g.arrays) else family
    details = [g.form, f"{g.name} with {len(g.arrays)} arrays"]
    for name in ("img_resolution", "resolution", "z_dim", "latent_size"):
        if name in g.arguments:
            details.append(f"{name} {shown(g.arguments[name])}")
    if family == "StyleGAN2" and g.form == FORM_TENSORFLOW:
        remedy = "convert it to a pickle of the PyTorch program first, with that program's legacy.py"
    else:
        remedy = "give a checkpoint of FastGAN-pytorch, or a pickle of Progressive GAN or StyleGAN2-ADA (PyTorch)"
    raise UsageError(f"it has {family} networks ({', '.join(details)}), which cannot be converted; {remedy}")


def check_weights(states: dict, size: int):
    """Raises UsageError for arrays {network: {name: array}} that cannot be weights of a file of `size` bytes.

    Weights are floating-point numbers, finite in float32, and together no more numbers than the file has bytes.
    """
    distinct = {id(array): array for arrays in states.values() for array in arrays.values()}
    if sum(array.size for array in distinct.values()) > size:
        raise UsageError("its tensors have more numbers than the file has bytes")
    for network, arrays in states.items():
        for name, array in arrays.items():
            if array.dtype.kind != "f" and array.ndim:
                raise UsageError(f"{network}: {name} has type {array.dtype}, and should have floating-point numbers")
            with np.errstate(over="ignore"):
                finite = np.isfinite(array.astype(np.float32, copy=False)).all()
            if not finite:
                raise UsageError(f"{network}: {name} has numbers that are not finite")


def load_state_dict(network, arrays: dict) -> None:
    """Copies an official state dict into a built network; each array is used exactly once.

    Args:
        network: generator or discriminator with the same sizes and widths as the official one.
        arrays: {official name: array}, complete.

    Raises:
        UsageError: an array is missing, left over or of another shape, or a constant (a resampling filter) has other
            numbers. The network is unchanged then.
    """
    converter, variables = CONVERTERS[type(network)], named_variables(network)
    names = converter.official_names(network, arrays)
    constants = stylegan2.constants(network) if converter is stylegan2 else {}
    expected = {*names.values(), *constants}
    present = {name for name in arrays if name.rpartition(".")[2] not in IGNORED}
    if expected != present:
        missing, extra = sorted(expected - present), sorted(present - expected)
        raise UsageError(f"weights do not fit the network: missing {missing[:3]}, left over {extra[:3]}")
    shapes = {name: tuple(variable.shape) for name, variable in variables.items()}
    values = pggan.growth(network, arrays) if converter is pggan else {}
    for ours, theirs in names.items():
        indices = np.arange(np.prod(shapes[ours], dtype=int)).reshape(shapes[ours])
        indices = converter.to_official_layout(ours, theirs, indices, shapes)  # into our array, flattened
        if arrays[theirs].shape != indices.shape:
            raise UsageError(f"{theirs} has shape {arrays[theirs].shape}, not {indices.shape}, and does not fit {ours}")
        values[ours] = np.empty(shapes[ours], arrays[theirs].dtype)
        values[ours].flat[indices] = arrays[theirs]
    for theirs, value in constants.items():
        if arrays[theirs].shape != value.shape or not np.allclose(arrays[theirs], value, rtol=0, atol=1e-6):
            raise UsageError(f"{theirs} has other numbers than the official default, the only ones supported")
    for ours, value in values.items():
        variables[ours].assign(value)
