"""The name map: every official tensor lands in one place, in the layout that the official operation gives it."""

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.convert.state_dicts import load_state_dict, state_dict, to_official
from gan_tf.convert.stylegan2 import arguments_of, constants, official_names
from gan_tf.errors import UsageError
from gan_tf.models.stylegan2 import StyleGan2Discriminator, StyleGan2Generator
from gan_tf.models.variables import named_variables
from tests.convert.states import assert_refused, built, random_state

SIZES = {"resolution": 16, "channel_base": 128, "channel_max": 16}
G = {**SIZES, "latent_size": 6, "w_size": 5, "mapping_layers": 2, "classes": 0}
D = {**SIZES, "classes": 0, "architecture": "resnet", "mbstd_channels": 1}
NETWORKS = [
    (StyleGan2Generator, G),
    (StyleGan2Generator, G | {"classes": 3}),
    (StyleGan2Discriminator, D),
    (StyleGan2Discriminator, D | {"classes": 3, "label_layers": 2}),
    (StyleGan2Discriminator, D | {"architecture": "orig", "mbstd_channels": 2}),
    (StyleGan2Discriminator, D | {"mbstd_channels": 0, "channel_base": 64}),
]
ALL = pytest.mark.parametrize(("kind", "arguments"), NETWORKS)


@ALL
def test_every_tensor_is_consumed_once_and_comes_back(kind, arguments):
    network = built(kind, arguments)
    state, names = random_state(network), official_names(network)
    assert len(set(names.values())) == len(names) == len(state) - len(constants(network))
    assert set(names) == set(named_variables(network))
    load_state_dict(network, state)
    back = state_dict(network)
    for name in state:
        np.testing.assert_array_equal(back[name], state[name], err_msg=name)


@ALL
def test_arguments_are_read_from_the_shapes(kind, arguments):
    found = arguments_of(state_dict(built(kind, arguments)))
    assert found == arguments


def test_names_are_the_official_ones():
    names = set(state_dict(built(StyleGan2Generator, G | {"classes": 3})))
    assert {
        "mapping.w_avg",
        "mapping.embed.weight",
        "mapping.fc1.bias",
        "synthesis.b4.const",
        "synthesis.b4.conv1.noise_const",
        "synthesis.b4.resample_filter",
        "synthesis.b8.conv0.affine.weight",
        "synthesis.b16.conv1.noise_strength",
        "synthesis.b16.torgb.affine.bias",
    } < names
    assert "synthesis.b4.conv0.resample_filter" not in names and "synthesis.b4.torgb.resample_filter" not in names
    names = set(state_dict(built(StyleGan2Discriminator, D | {"classes": 3})))
    assert {"b16.fromrgb.bias", "b16.skip.weight", "b8.conv1.bias", "b4.fc.weight", "b4.out.bias"} < names
    assert {"mapping.fc7.weight", "b4.conv.resample_filter", "b16.fromrgb.resample_filter"} < names


def test_a_dense_layer_reads_its_map_channel_first():
    d = built(StyleGan2Discriminator, D)
    state = random_state(d)
    load_state_dict(d, state)
    x = np.random.default_rng(1).normal(size=(2, 4, 4, 16)).astype(np.float32)
    maps = np.moveaxis(x, 3, 1).reshape(2, -1)
    want = maps @ state["b4.fc.weight"].T / maps.shape[1] ** 0.5 + state["b4.fc.bias"]
    want = np.where(want < 0, 0.2, 1) * want * 2**0.5
    np.testing.assert_allclose(d.head.dense(tf.reshape(x, (2, -1))), want, rtol=1e-4, atol=1e-5)


def dense(x, state, name, lr_multiplier=1.0):
    """The official fully connected layer."""
    weight = state[f"{name}.weight"]
    return x @ weight.T * (lr_multiplier / weight.shape[1] ** 0.5) + state[f"{name}.bias"] * lr_multiplier


def unit(x):
    return x / np.sqrt((x**2).mean(axis=1, keepdims=True) + 1e-8)


def mapped(parts, state, layers):
    """The official mapping network behind its inputs."""
    x = np.concatenate(parts, axis=1)
    for index in range(layers):
        x = dense(x, state, f"mapping.fc{index}", 0.01)
        x = np.where(x < 0, 0.2, 1) * x * 2**0.5
    return x


def scaled(state):
    """Weights of a mapping network as large as the official ones, which are kept divided by 0.01."""
    return {name: value * (100 if name.startswith("mapping.fc") else 1) for name, value in state.items()}


def test_labels_are_embedded_normalised_and_put_behind_the_latents():
    g = built(StyleGan2Generator, G | {"classes": 3})
    state = scaled(random_state(g))
    load_state_dict(g, state)
    z, labels = np.random.default_rng(1).normal(size=(4, 6)), [0, 2, 1, 2]
    want = mapped([unit(z), unit(dense(np.eye(3)[labels], state, "mapping.embed"))], state, 2)
    np.testing.assert_allclose(g.mapping(z, tf.constant(labels))[:, 3], want, rtol=1e-4, atol=1e-5)


def test_the_logit_of_a_label_is_a_scaled_product_with_its_embedding():
    d = built(StyleGan2Discriminator, D | {"classes": 3, "label_layers": 2})
    state = scaled(random_state(d))
    load_state_dict(d, state)
    images, labels = np.random.default_rng(1).normal(size=(4, 16, 16, 3)).astype(np.float32), [0, 2, 1, 2]
    embedding = mapped([unit(dense(np.eye(3)[labels], state, "mapping.embed"))], state, 2)
    seen = d.head(d.features(images)[-1]).numpy()
    want = (seen * embedding).sum(axis=1, keepdims=True) / 16**0.5
    np.testing.assert_allclose(d(images, tf.constant(labels)), want, rtol=1e-4, atol=1e-4)


@ALL
def test_gradients_take_the_official_layout(kind, arguments):
    network = built(kind, arguments)
    shapes = {name: value.shape for name, value in state_dict(network).items()}
    slopes = {name: np.zeros(v.shape) for name, v in named_variables(network).items() if v.trainable}
    for name, slope in to_official(network, slopes).items():
        assert slope.shape == shapes[name]


def test_unfit_weights_are_refused_and_change_nothing():
    g = built(StyleGan2Generator, G)
    state = random_state(g)
    lacking = {name: value for name, value in state.items() if name != "synthesis.b8.torgb.bias"}
    cases = (
        (lacking, "missing.*synthesis.b8.torgb.bias"),
        (state | {"synthesis.b32.const": np.zeros(3)}, "left over.*synthesis.b32.const"),
        (state | {"synthesis.b8.conv0.weight": np.zeros((8, 16, 3, 3))}, "synthesis.b8.conv0.weight has shape"),
        (
            state | {"synthesis.b8.conv0.resample_filter": np.ones((4, 4)) / 16},
            "b8.conv0.resample_filter has other numbers than the official",
        ),
    )
    assert_refused(g, cases)


def test_other_arrays_are_refused():
    state = state_dict(built(StyleGan2Generator, G))
    lacking = {name: value for name, value in state.items() if name != "mapping.fc0.weight"}
    flat = state | {"mapping.fc0.weight": np.zeros(3)}
    for arrays in ({}, lacking, flat, {"synthesis.b4.const": np.zeros((1, 4, 4))}):
        with pytest.raises(UsageError, match="not the weights of an official StyleGAN2-ADA network") as caught:
            arguments_of(arrays)
        assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match="do not halve"):
        arguments_of(state | {"synthesis.b8.conv1.weight": np.zeros((15, 15, 3, 3))})
