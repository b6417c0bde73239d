"""State dicts of random numbers, and the refusal of broken ones."""

import numpy as np
import pytest

from gan_tf.convert.state_dicts import NAME_MAPS, load_state_dict, state_dict
from gan_tf.errors import UsageError


def built(kind, arguments, **more):
    """A network with its variables."""
    network = kind(**arguments, **more)
    network.build()
    return network


def random_state(network, seed=0):
    """An official state dict with other values than the network's, but for what is always the same."""
    rng, fixed = np.random.default_rng(seed), NAME_MAPS[type(network)].constants(network)
    return {
        name: value if name in fixed else rng.normal(size=value.shape).astype(np.float32)
        for name, value in state_dict(network).items()
    }


def assert_refused(network, cases):
    """Asserts that each of `cases`, pairs of a state dict and words, is refused with these, and changes nothing."""
    before = state_dict(network)
    for broken, said in cases:
        with pytest.raises(UsageError, match=said):
            load_state_dict(network, broken)
    for name, value in state_dict(network).items():
        np.testing.assert_array_equal(value, before[name])
