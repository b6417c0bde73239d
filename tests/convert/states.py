"""Official state dicts made of gan_tf's networks, and assertions about weight files."""

import functools

import numpy as np
import pytest

from gan_tf.convert import CONVERTERS, load_state_dict, read_weight_file
from gan_tf.convert.fastgan import BUFFERS
from gan_tf.errors import UsageError
from gan_tf.models.fastgan import FastGanDiscriminator, FastGanGenerator
from gan_tf.models.pggan import PgganDiscriminator, PgganGenerator
from gan_tf.models.variables import named_variables
from tests.convert.file_writers import TfNetwork
from tests.parity.state_dicts import constants, state_dict, to_official
from tests.pretrained import torch_format

PGGAN = {"resolution": 16, "fmap_base": 64, "fmap_max": 16}


def built(kind, arguments, **more):
    """Returns a network with its variables."""
    network = kind(**arguments, **more)
    network.build()
    return network


def loaded(kind, arguments, state):
    """Returns a network with the arrays of an official state dict."""
    network = built(kind, arguments)
    load_state_dict(network, state)
    return network


def random_state(network, seed=0):
    """Returns an official state dict with other values than the network's, except its constants."""
    rng, fixed = np.random.default_rng(seed), constants(network)
    return {
        name: value if name in fixed else rng.normal(size=value.shape).astype(np.float32)
        for name, value in state_dict(network).items()
    }


@functools.cache
def fastgan_states(size=256, ngf=8, latent_size=12):
    """Official weights of FastGAN's (G, D), near initial values, with the counters of batch norms."""
    g = built(FastGanGenerator, {"resolution": size, "ngf": ngf, "latent_size": latent_size}, seed=1)
    states, rng = [], np.random.default_rng(0)
    for network in (g, built(FastGanDiscriminator, {"resolution": size, "ndf": 8}, seed=2)):
        state = state_dict(network)
        state = {name: value + rng.normal(0, 0.02, value.shape).astype(np.float32) for name, value in state.items()}
        norms = [name for name in state if name.endswith("running_mean")]
        states.append(state | {name.replace("running_mean", "num_batches_tracked"): np.array(7) for name in norms})
    return states


def parameters(state):
    """The parameters in the order of a state dict of FastGAN, without buffers."""
    return [value for name, value in state.items() if not name.endswith(BUFFERS)]


def averaged(state, factor):
    """A state dict of FastGAN with the parameters multiplied by a factor."""
    factor = np.float32(factor)
    return {name: value if name.endswith(BUFFERS) else factor * value for name, value in state.items()}


def pggan_states(fused=True, resolution=16):
    """Official weights of Progressive GAN's (G, D, Gs)."""
    sizes = PGGAN | {"resolution": resolution}
    g, d = built(PgganGenerator, sizes | {"latent_size": 6}), built(PgganDiscriminator, sizes)
    states = [random_state(network, seed) for seed, network in enumerate((g, d, g), start=1)]
    return states if fused else [unfused(state) for state in states]


def unfused(state):
    """The same weights in the form of the first program, which resizes and convolves in two steps."""
    arrays = {}
    for name, value in state.items():
        if name.endswith("Conv0_up/weight"):  # [k, k, O, I], with its taps reversed
            value = value[::-1, ::-1].transpose(0, 1, 3, 2)
        arrays[name.replace("Conv0_up", "Conv0").replace("Conv1_down", "Conv1")] = value
    return arrays


def pggan_networks(states, **arguments):
    """(G, D, Gs) of a pickle, made of state dicts."""
    of_d = {"num_channels": 3, "label_size": 0, **PGGAN, **arguments}
    kinds = (("G_paper", of_d | {"latent_size": 6}), ("D_paper", of_d), ("G_paper", of_d | {"latent_size": 6}))
    return tuple(
        TfNetwork(name, state | {"lod": np.float32(0)}, own) for (name, own), state in zip(kinds, states, strict=True)
    )


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
    names = CONVERTERS[type(network)].official_names(network)
    assert sorted([*names.values(), *constants(network)]) == sorted(state)  # a list: no name twice
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
    text = torch_format.refusal(read_weight_file, path)
    assert len(text) < 700
    return text
