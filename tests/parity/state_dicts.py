"""Official state dicts of gan_tf's networks, the inverse of `gan_tf.convert.load_state_dict`."""

import numpy as np

from gan_tf.convert import CONVERTERS, stylegan2
from gan_tf.models.variables import named_variables


def constants(network):
    """{official name: array} of the arrays with the same numbers in every official network."""
    return stylegan2.constants(network) if CONVERTERS[type(network)] is stylegan2 else {}


def state_dict(network):
    """{official name: array in the official layout} of a built network."""
    variables = named_variables(network)
    names = CONVERTERS[type(network)].official_names(network)
    return to_official(network, {name: np.asarray(variables[name]) for name in names}) | constants(network)


def to_official(network, arrays):
    """Maps {our name: array} of variables or gradients to {official name: array in the official layout}."""
    converter = CONVERTERS[type(network)]
    names, shapes = converter.official_names(network), {name: value.shape for name, value in arrays.items()}
    return {
        names[ours]: converter.to_official_layout(ours, names[ours], np.asarray(value), shapes)
        for ours, value in arrays.items()
    }
