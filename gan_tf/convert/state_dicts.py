"""Copies official state dicts into built networks and back; names and shapes of all arrays are checked first."""

import dataclasses
from collections.abc import Callable
from types import ModuleType

import numpy as np

from gan_tf.convert import fastgan, pggan, stylegan2
from gan_tf.errors import UsageError
from gan_tf.models import fastgan as fastgan_networks
from gan_tf.models import pggan as pggan_networks
from gan_tf.models import stylegan2 as stylegan2_networks
from gan_tf.models.variables import named_variables


@dataclasses.dataclass(frozen=True)
class NameMap:
    """Maps the official state dict of a family's networks to their variables.

    family: module with
        official_names(network, arrays): {our name: official name} of every variable with an official array; `arrays`
            selects one of several official forms.
        to_official_layout(ours, theirs, value, shapes): our array in the layout of the official one, a permutation of
            its items; `shapes` is {our name: shape} of the network.
    ignored: last part of the names of official arrays without a variable.
    constants(network): {official name: array} of arrays with the same numbers in every official network.
    other_values(network, arrays): {our name: value} of variables that official arrays store in another way.
    """

    family: ModuleType
    ignored: str | None = None
    constants: Callable = lambda network: {}
    other_values: Callable = lambda network, arrays: {}


FASTGAN = NameMap(fastgan, ignored=fastgan.IGNORED)
PGGAN = NameMap(pggan, ignored=pggan.LOD, other_values=pggan.growth)
STYLEGAN2 = NameMap(stylegan2, constants=stylegan2.constants)
NAME_MAPS = {
    fastgan_networks.FastGanGenerator: FASTGAN,
    fastgan_networks.FastGanDiscriminator: FASTGAN,
    pggan_networks.PgganGenerator: PGGAN,
    pggan_networks.PgganDiscriminator: PGGAN,
    stylegan2_networks.StyleGan2Generator: STYLEGAN2,
    stylegan2_networks.StyleGan2Discriminator: STYLEGAN2,
}


def load_state_dict(network, arrays: dict) -> None:
    """Copies an official state dict into a built network; each array is used exactly once.

    Args:
        network: Generator or Discriminator of the same sizes and widths.
        arrays: {official name: array}, complete.

    Raises:
        UsageError: an array is missing, left over or of another shape, or a constant has other numbers. The network is
            unchanged then.
    """
    name_map, variables = NAME_MAPS[type(network)], named_variables(network)
    names, constants = name_map.family.official_names(network, arrays), name_map.constants(network)
    expected = {*names.values(), *constants}
    present = {name for name in arrays if name.rpartition(".")[2] != name_map.ignored}
    if expected != present:
        missing, extra = sorted(expected - present), sorted(present - expected)
        raise UsageError(f"weights do not fit the network: missing {missing[:3]}, left over {extra[:3]}")
    shapes, values = _shapes(variables), name_map.other_values(network, arrays)
    for ours, theirs in names.items():
        indices = np.arange(np.prod(shapes[ours], dtype=int)).reshape(shapes[ours])
        indices = name_map.family.to_official_layout(ours, theirs, indices, shapes)  # into our array, flattened
        if arrays[theirs].shape != indices.shape:
            raise UsageError(f"{theirs} has shape {arrays[theirs].shape}, not {indices.shape}, and does not fit {ours}")
        values[ours] = np.empty(shapes[ours], arrays[theirs].dtype)
        values[ours].flat[indices] = arrays[theirs]
    for theirs, value in constants.items():
        if arrays[theirs].shape != value.shape or not np.allclose(arrays[theirs], value, rtol=0, atol=1e-6):
            raise UsageError(f"{theirs} has other numbers than the official default, the only ones supported")
    for ours, value in values.items():
        variables[ours].assign(value)


def state_dict(network) -> dict:
    """Returns {official name: array in the official layout} of a built network, the inverse of `load_state_dict`."""
    name_map, variables = NAME_MAPS[type(network)], named_variables(network)
    names = name_map.family.official_names(network)
    return to_official(network, {name: np.asarray(variables[name]) for name in names}) | name_map.constants(network)


def to_official(network, arrays: dict) -> dict:
    """Maps {our name: array} of variables or gradients to {official name: array in the official layout}."""
    family, shapes = NAME_MAPS[type(network)].family, _shapes(named_variables(network))
    names = family.official_names(network)
    return {
        names[ours]: family.to_official_layout(ours, names[ours], np.asarray(value), shapes)
        for ours, value in arrays.items()
    }


def _shapes(variables):
    return {name: tuple(variable.shape) for name, variable in variables.items()}
