"""Random official state dicts of gan_tf's networks, and assertions about weight files."""

import numpy as np
import pytest

from gan_tf.convert.reading import read_weight_file
from gan_tf.convert.state_dicts import NAME_MAPS, load_state_dict, state_dict, to_official
from gan_tf.errors import UsageError
from gan_tf.models.variables import named_variables


def built(kind, arguments, **more):
    """Returns a network with its variables."""
    network = kind(**arguments, **more)
    network.build()
    return network


def random_state(network, seed=0):
    """Returns an official state dict with other values than the network's, except its constants."""
    rng, fixed = np.random.default_rng(seed), NAME_MAPS[type(network)].constants(network)
    return {
        name: value if name in fixed else rng.normal(size=value.shape).astype(np.float32)
        for name, value in state_dict(network).items()
    }


def changed(state, **changes):
    """Returns the state with other arrays, without those that are None."""
    return {name: value for name, value in (state | changes).items() if value is not None}


def assert_same(got, want):
    """Asserts that two state dicts are equal."""
    assert set(got) == set(want)
    for name, value in want.items():
        np.testing.assert_array_equal(got[name], value, err_msg=name)


def assert_round_trip(network, state, left_alone=()):
    """Asserts that each official tensor goes into exactly one variable, comes back, and that gradients are mapped."""
    name_map = NAME_MAPS[type(network)]
    names = name_map.family.official_names(network)
    assert sorted([*names.values(), *name_map.constants(network)]) == sorted(state)  # a list: no name twice
    assert set(names) == set(named_variables(network)) - set(left_alone)
    load_state_dict(network, state)
    assert_same(state_dict(network), state)
    slopes = {name: np.zeros(v.shape) for name, v in named_variables(network).items() if v.trainable}
    for name, slope in to_official(network, slopes).items():
        assert slope.shape == state[name].shape


def assert_refused(network, cases):
    """Asserts that each of `cases`, (state dict, pattern), is refused with that text, and that nothing is changed."""
    before = state_dict(network)
    for broken, pattern in cases:
        with pytest.raises(UsageError, match=pattern):
            load_state_dict(network, broken)
    assert_same(state_dict(network), before)


def refusal(path):
    """Returns the one line of the UsageError for a weight file."""
    with pytest.raises(UsageError) as caught:
        read_weight_file(path)
    text = str(caught.value)
    assert text.isprintable() and str(path) in text and len(text) < 700
    return text
