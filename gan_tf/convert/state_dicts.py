"""Official state dicts into built networks and out of them, each array held against its official shape first.

A family's own module says what its variables are called officially and how they lie there:

    official_names(network, arrays)         {our name: official name} of every variable that an official array holds;
                                            `arrays` tells which of several official forms it is, default the usual one
    to_official_layout(ours, theirs, value, shapes), from_official_layout(ours, theirs, value, shapes)
                                            one array; `shapes` is {our name: shape} of the network
    has_no_counterpart(name)                True for official arrays that are no variable of ours
    other_values(network, arrays)           {our name: value} of variables that official arrays tell in another way
    constants(network)                      {official name: array} of what an official network holds beside them, always
                                            with these numbers
"""

import numpy as np

from gan_tf.convert import fastgan, pggan, stylegan2
from gan_tf.errors import UsageError
from gan_tf.models import fastgan as fastgan_networks
from gan_tf.models import pggan as pggan_networks
from gan_tf.models import stylegan2 as stylegan2_networks
from gan_tf.models.variables import named_variables

NAME_MAPS = {
    fastgan_networks.FastGanGenerator: fastgan,
    fastgan_networks.FastGanDiscriminator: fastgan,
    pggan_networks.PgganGenerator: pggan,
    pggan_networks.PgganDiscriminator: pggan,
    stylegan2_networks.StyleGan2Generator: stylegan2,
    stylegan2_networks.StyleGan2Discriminator: stylegan2,
}


def load_state_dict(network, arrays: dict) -> None:
    """Copies an official state dict into a built network, and its growth into a generator that grows.

    Args:
        network: Generator or Discriminator of the same sizes and widths.
        arrays: {official name: array}, complete.

    Raises:
        UsageError: an array is missing, left over, or of another shape, or a constant has other numbers. Nothing is
            changed then.
    """
    family, variables = NAME_MAPS[type(network)], named_variables(network)
    names, shapes = family.official_names(network, arrays), shapes_of(variables)
    constants = family.constants(network)
    wanted = {*names.values(), *constants}
    given = {name for name in arrays if not family.has_no_counterpart(name)}
    if wanted != given:
        missing, extra = sorted(wanted - given), sorted(given - wanted)
        raise UsageError(f"weights do not fit the network: missing {missing[:3]}, left over {extra[:3]}")
    for ours, theirs in names.items():
        empty = np.broadcast_to(np.False_, shapes[ours])
        shape = family.to_official_layout(ours, theirs, empty, shapes).shape
        if arrays[theirs].shape != shape:
            raise UsageError(f"{theirs} has shape {arrays[theirs].shape}, not {shape}, and does not fit {ours}")
    for theirs, value in constants.items():
        if arrays[theirs].shape != value.shape or not np.allclose(arrays[theirs], value, rtol=0, atol=1e-6):
            raise UsageError(f"{theirs} has other numbers than the official default, which alone can be converted")
    others = family.other_values(network, arrays)
    for ours, theirs in names.items():
        variables[ours].assign(family.from_official_layout(ours, theirs, arrays[theirs], shapes))
    for ours, value in others.items():
        variables[ours].assign(value)


def state_dict(network) -> dict:
    """{official name: array in the official layout} of a built network: the reverse of `load_state_dict`."""
    family, variables = NAME_MAPS[type(network)], named_variables(network)
    names = family.official_names(network)
    return to_official(network, {name: np.asarray(variables[name]) for name in names}) | family.constants(network)


def to_official(network, arrays: dict) -> dict:
    """{our name: array} of variables or their gradients -> {official name: array in the official layout}."""
    family, shapes = NAME_MAPS[type(network)], shapes_of(named_variables(network))
    names = family.official_names(network)
    return {
        names[ours]: family.to_official_layout(ours, names[ours], np.asarray(value), shapes)
        for ours, value in arrays.items()
    }


def shapes_of(variables):
    """{our name: shape}."""
    return {name: tuple(variable.shape) for name, variable in variables.items()}
