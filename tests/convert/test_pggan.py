"""The name map: every official tensor lands in one place, in the layout that the official operation gives it."""

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.convert.pggan import arguments_of, official_names
from gan_tf.convert.state_dicts import load_state_dict, state_dict, to_official
from gan_tf.errors import UsageError
from gan_tf.models.pggan import PgganDiscriminator, PgganGenerator
from gan_tf.models.variables import named_variables
from gan_tf.ops.activations import leaky_relu
from tests.convert.states import assert_refused, built, random_state

G = {"resolution": 32, "fmap_base": 64, "fmap_max": 16, "latent_size": 6}
D = {"resolution": 32, "fmap_base": 64, "fmap_max": 16, "minibatch_stddev": True}


@pytest.mark.parametrize(("kind", "arguments"), [(PgganGenerator, G), (PgganDiscriminator, D)])
def test_every_tensor_is_consumed_once_and_comes_back(kind, arguments):
    network = built(kind, arguments)
    state = random_state(network)
    names = official_names(network)
    assert len(set(names.values())) == len(names) == len(state)
    assert set(names) == set(named_variables(network)) - {"growth"}
    load_state_dict(network, state)
    back = state_dict(network)
    for name in state:
        np.testing.assert_array_equal(back[name], state[name], err_msg=name)


def test_names_are_the_official_ones():
    names = set(official_names(built(PgganGenerator, G)).values())
    assert {"4x4/Dense/weight", "4x4/Conv/bias", "8x8/Conv0_up/weight", "32x32/Conv1/bias", "ToRGB_lod0/weight"} < names
    names = set(official_names(built(PgganDiscriminator, D)).values())
    assert {"FromRGB_lod3/weight", "32x32/Conv0/weight", "8x8/Conv1_down/bias", "4x4/Dense1/weight"} < names


@pytest.mark.parametrize(
    ("fmap_base", "fmap_max"), [(64, 16), (64, 512), (96, 32), (40, 7), (2**13, 8)], ids=lambda value: str(value)
)
@pytest.mark.parametrize("minibatch_stddev", [True, False])
def test_arguments_are_read_from_the_shapes(fmap_base, fmap_max, minibatch_stddev):
    widths = {"resolution": 16, "fmap_base": fmap_base, "fmap_max": fmap_max}
    g = built(PgganGenerator, widths, latent_size=5)
    d = built(PgganDiscriminator, widths, minibatch_stddev=minibatch_stddev)
    for network in (g, d):
        state = state_dict(network)
        found = arguments_of(state)
        again = built(type(network), found)
        assert {name: value.shape for name, value in state_dict(again).items()} == {
            name: value.shape for name, value in state.items()
        }
    assert arguments_of(state_dict(g))["latent_size"] == 5
    assert arguments_of(state_dict(d))["minibatch_stddev"] == minibatch_stddev


def test_first_layer_counts_its_map_channel_first():
    g = built(PgganGenerator, G)
    state = random_state(g)
    load_state_dict(g, state)
    z = np.random.default_rng(1).normal(size=(2, 6)).astype(np.float32)
    want = (z @ state["4x4/Dense/weight"] * (2**0.5 / 4 / 6**0.5)).reshape(2, 16, 4, 4)
    want += state["4x4/Dense/bias"][:, None, None]
    np.testing.assert_allclose(np.moveaxis(g.stem.first(z), 3, 1), want, rtol=1e-4, atol=1e-5)


def test_up_convolution_is_the_official_transposed_one():
    """Official: taps summed over shifts by one pixel, then a transposed convolution of stride 2."""
    g = built(PgganGenerator, G)
    state = random_state(g)
    load_state_dict(g, state)
    layer, kernel = g.blocks[0].first, state["8x8/Conv0_up/weight"]  # [3, 3, O, I]
    x = np.random.default_rng(1).normal(size=(2, 4, 4, kernel.shape[3])).astype(np.float32)
    taps = np.pad(kernel * (2 / (9 * kernel.shape[3])) ** 0.5, ((1, 1), (1, 1), (0, 0), (0, 0)))
    taps = taps[1:, 1:] + taps[:-1, 1:] + taps[1:, :-1] + taps[:-1, :-1]
    want = tf.nn.conv2d_transpose(x, taps, (2, 8, 8, kernel.shape[2]), 2, "SAME") + state["8x8/Conv0_up/bias"]
    np.testing.assert_allclose(layer(x), want, rtol=1e-4, atol=1e-4)


def test_dense_layer_of_the_discriminator_reads_its_map_channel_first():
    d = built(PgganDiscriminator, D | {"minibatch_stddev": False})
    state = random_state(d)
    load_state_dict(d, state)
    x = np.random.default_rng(1).normal(size=(2, 4, 4, 16)).astype(np.float32)
    maps = np.moveaxis(leaky_relu(d.head.conv(x)), 3, 1).reshape(2, -1)
    hidden = maps @ state["4x4/Dense0/weight"] * (2 / maps.shape[1]) ** 0.5 + state["4x4/Dense0/bias"]
    want = leaky_relu(hidden) @ state["4x4/Dense1/weight"] / 16**0.5 + state["4x4/Dense1/bias"]
    np.testing.assert_allclose(d.head(x), want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("lod", "growth"), [(None, 3.0), (0.0, 3.0), (1.25, 1.75)])
def test_growth_is_taken_over(lod, growth):
    g = built(PgganGenerator, G)
    load_state_dict(g, random_state(g) | ({} if lod is None else {"lod": np.float32(lod)}))
    assert float(g.growth.numpy()) == growth


def test_gradients_take_the_official_layout():
    for network in (built(PgganGenerator, G), built(PgganDiscriminator, D)):
        shapes = {name: value.shape for name, value in state_dict(network).items()}
        slopes = {name: np.zeros(v.shape) for name, v in named_variables(network).items() if v.trainable}
        assert {name: slope.shape for name, slope in to_official(network, slopes).items()} == shapes


def test_incomplete_surplus_or_misshapen_weights_are_refused_and_change_nothing():
    g = built(PgganGenerator, G)
    state = random_state(g)
    lacking = {name: value for name, value in state.items() if name != "ToRGB_lod0/bias"}
    cases = (
        (lacking, "missing.*ToRGB_lod0/bias"),
        (state | {"64x64/Conv1/bias": np.zeros(3)}, "left over.*64x64/Conv1/bias"),
        (state | {"8x8/Conv0_up/weight": np.zeros((3, 3, 16, 8))}, "8x8/Conv0_up/weight has shape"),
    )
    assert_refused(g, cases)


def test_other_networks_and_other_arrays_are_refused():
    with pytest.raises(UsageError, match="no batch norm"):
        official_names(built(PgganGenerator, G, batch_norm=True))
    state = state_dict(built(PgganGenerator, G))
    del state["4x4/Dense/weight"]
    cut = {"ToRGB_lod0/weight": np.zeros((1, 1, 4, 3)), "ToRGB_lod1/weight": np.zeros((1, 1, 4, 3))}
    for arrays, said in (
        (state, "4x4/Dense/weight is missing"),
        ({}, "they have ToRGB or FromRGB at 0 sizes"),
        ({"ToRGB_lod0/weight": cut["ToRGB_lod0/weight"]}, "at 1 sizes"),
        ({"ToRGB_lod0/weight": cut["ToRGB_lod0/weight"], "ToRGB_lod2/weight": np.zeros((1, 1, 4, 3))}, "at 2 sizes"),
        (cut | {"4x4/Dense/weight": np.zeros(5)}, r"4x4/Dense/weight has the shape \(5,\), and should have 2 axes"),
    ):
        with pytest.raises(UsageError, match=f"^these are not the weights of an official Progressive GAN: .*{said}"):
            arguments_of(arrays)
    state = state_dict(built(PgganGenerator, G))
    state["ToRGB_lod0/weight"] = np.zeros((1, 1, 5, 3))
    with pytest.raises(UsageError, match="do not halve"):
        arguments_of(state)
