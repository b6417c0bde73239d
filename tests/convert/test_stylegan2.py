"""StyleGAN2-ADA: official tensors in the networks, and pickles of the official program."""

import numpy as np
import pytest
import tensorflow as tf

import gan_tf
from gan_tf.cli.main import run_command
from gan_tf.convert import read_weight_file
from gan_tf.convert.stylegan2 import arguments_of
from gan_tf.errors import UsageError
from gan_tf.models.stylegan2 import StyleGan2Discriminator, StyleGan2Generator
from gan_tf.models.stylegan2_blocks import CONST
from gan_tf.models.variables import load_weights
from gan_tf.runs.folder import Run
from gan_tf.runs.weights import load_generator, newest_networks
from tests.convert import file_writers as official
from tests.convert.states import (
    assert_refused,
    assert_round_trip,
    assert_same,
    built,
    changed,
    loaded,
    random_state,
    refusal,
)
from tests.parity.report import read_arrays, relative_l2
from tests.parity.state_dicts import state_dict
from tests.parity.test_parity import reference

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
OFFICIAL_SIZES = {"resolution": 16, "base": 128, "most": 16}
G_ARGUMENTS = official.generator_arguments(**OFFICIAL_SIZES, size=8)
D_ARGUMENTS = official.discriminator_arguments(**OFFICIAL_SIZES)


@pytest.mark.parametrize(("kind", "arguments"), NETWORKS)
def test_every_tensor_is_used_once_and_arguments_are_read_from_the_shapes(kind, arguments):
    network = built(kind, arguments)
    assert_round_trip(network, random_state(network))
    assert arguments_of(state_dict(network)) == arguments


def dense(x, state, name, lr_multiplier=1.0):
    """The official fully connected layer."""
    weight = state[f"{name}.weight"]
    return x @ weight.T * (lr_multiplier / weight.shape[1] ** 0.5) + state[f"{name}.bias"] * lr_multiplier


def unit(x):
    return x / np.sqrt((x**2).mean(axis=1, keepdims=True) + 1e-8)


def mapped(parts, state, layers):
    """The official mapping network after its inputs."""
    x = np.concatenate(parts, axis=1)
    for index in range(layers):
        x = dense(x, state, f"mapping.fc{index}", 0.01)
        x = np.where(x < 0, 0.2, 1) * x * 2**0.5
    return x


def scaled(state):
    """Weights of a mapping network with the official scale: they are stored divided by 0.01."""
    return {name: value * (100 if name.startswith("mapping.fc") else 1) for name, value in state.items()}


def test_labels_are_embedded_normalised_and_concatenated_to_the_latents():
    arguments = G | {"classes": 3}
    state = scaled(random_state(built(StyleGan2Generator, arguments)))
    g = loaded(StyleGan2Generator, arguments, state)
    z, labels = np.random.default_rng(1).normal(size=(4, 6)), [0, 2, 1, 2]
    want = mapped([unit(z), unit(dense(np.eye(3)[labels], state, "mapping.embed"))], state, 2)
    np.testing.assert_allclose(g.mapping(z, tf.constant(labels))[:, 3], want, rtol=1e-4, atol=1e-5)


def test_the_logit_of_a_label_is_a_scaled_product_with_its_embedding():
    arguments = D | {"classes": 3, "label_layers": 2}
    state = scaled(random_state(built(StyleGan2Discriminator, arguments)))
    d = loaded(StyleGan2Discriminator, arguments, state)
    images, labels = np.random.default_rng(1).normal(size=(4, 16, 16, 3)).astype(np.float32), [0, 2, 1, 2]
    embedding = mapped([unit(dense(np.eye(3)[labels], state, "mapping.embed"))], state, 2)
    seen = d.head(d.features(images)[-1]).numpy()
    want = (seen * embedding).sum(axis=1, keepdims=True) / 16**0.5
    np.testing.assert_allclose(d(images, tf.constant(labels)), want, rtol=1e-4, atol=1e-4)


def test_another_resampling_filter_is_refused():
    g = built(StyleGan2Generator, G)
    blur = {"synthesis.b8.conv0.resample_filter": np.ones((4, 4)) / 16}
    assert_refused(g, [(random_state(g) | blur, "b8.conv0.resample_filter")])


def test_arrays_of_other_networks():
    state = state_dict(built(StyleGan2Generator, G))
    for arrays, reason in (
        ({}, r"at \[4\]"),
        (changed(state, **{"mapping.fc0.weight": None}), "mapping.fc0.weight is missing"),
        (state | {"mapping.fc0.weight": np.zeros(3)}, "mapping.fc0.weight has the shape"),
        (state | {"synthesis.b8.conv1.weight": np.zeros((15, 15, 3, 3))}, "do not halve"),
    ):
        with pytest.raises(UsageError, match=reason):
            arguments_of(arrays)


@pytest.mark.parametrize(
    ("kind", "name", "shape"),
    [
        (StyleGan2Generator, "synthesis.b16.conv1.weight", (2**20, 0, 3, 3)),
        (StyleGan2Generator, "synthesis.b4.conv1.affine.weight", (16, 0)),
        (StyleGan2Generator, "mapping.fc0.weight", (2**20, 0)),
        (StyleGan2Generator, "mapping.fc1.weight", (8, 0)),
        (StyleGan2Generator, "mapping.embed.weight", (0, 2**30)),
        (StyleGan2Discriminator, "b4.conv.weight", (2**20, 2**20 + 1, 0, 0)),
        (StyleGan2Discriminator, "b4.fc.weight", (16, 0)),
        (StyleGan2Discriminator, "mapping.embed.weight", (0, 2**30)),
    ],
)
def test_empty_arrays_claim_no_large_network(kind, name, shape):
    state = state_dict(built(kind, (G if kind is StyleGan2Generator else D) | {"classes": 3}))
    with pytest.raises(UsageError, match="has the shape .* and should have"):
        arguments_of(state | {name: np.zeros(shape, np.float32)})


def states(classes=0, architecture="resnet", channel_base=128):
    """Official weights of (G, D, G_ema)."""
    sizes = SIZES | {"channel_base": channel_base}
    g = built(StyleGan2Generator, sizes | {"latent_size": 8, "w_size": 8, "mapping_layers": 2, "classes": classes})
    d = built(StyleGan2Discriminator, sizes | {"classes": classes, "architecture": architecture})
    return tuple(random_state(network, seed) for seed, network in enumerate((g, d, g), start=1))


def write(path, all_states, g_arguments=None, d_arguments=None):
    g, d, g_ema = all_states
    return official.write_ada(path, g, d, g_ema, g_arguments or G_ARGUMENTS, d_arguments or D_ARGUMENTS)


def test_a_pickle(tmp_path):
    all_states = states()
    weights = read_weight_file(write(tmp_path / "a.pkl", all_states))
    assert weights.model == "stylegan2"
    want = {**SIZES, "latent_size": 8, "w_size": 8, "mapping_layers": 2, "classes": 0, "conditional": False}
    assert weights.settings == want | {"conv_clamp": 256.0, "architecture": "resnet", "mbstd_group": 4}
    for name, state in zip(("g", "d", "g_ema"), all_states, strict=True):
        assert_same(weights.states[name], state)
    assert weights.left_out == ["training_set_kwargs", "augment_pipe"]


def test_classes_architecture_groups_and_no_clamp(tmp_path):
    g_arguments = official.generator_arguments(**OFFICIAL_SIZES, size=8, classes=3, conv_clamp=None)
    more = {"conv_clamp": None, "architecture": "orig", "epilogue_kwargs": {"mbstd_group_size": 32}}
    d_arguments = official.discriminator_arguments(**OFFICIAL_SIZES, classes=3, **more)
    weights = read_weight_file(write(tmp_path / "a.pkl", states(3, "orig"), g_arguments, d_arguments))
    want = {"classes": 3, "conditional": True, "conv_clamp": None, "architecture": "orig", "mbstd_group": 32}
    assert {name: weights.settings[name] for name in want} == want
    d = loaded(StyleGan2Discriminator, SIZES | {"classes": 3, "architecture": "orig"}, weights.states["d"])
    assert np.isfinite(d(tf.zeros((4, 16, 16, 3)), tf.constant([0, 1, 2, 0]))).all()


def test_a_converted_conditional_run_generates_images_of_a_class(tmp_path, capsys):
    g_arguments = official.generator_arguments(**OFFICIAL_SIZES, size=8, classes=3)
    d_arguments = official.discriminator_arguments(**OFFICIAL_SIZES, classes=3)
    path, run = tmp_path / "a.pkl", tmp_path / "run"
    write(path, [scaled(state) for state in states(3)], g_arguments, d_arguments)
    assert run_command("convert", [str(path), str(run)]) == 0
    first, second = (gan_tf.load(run).sample([0], classes=number)[0].astype(int) for number in (1, 2))
    assert np.abs(first - second).max() > 10
    flags = [str(run), "--seeds", "0", "--overwrite", "--out", str(tmp_path / "out"), "--class"]
    assert run_command("generate", [*flags, "1"]) == 0
    assert run_command("generate", [*flags, "3"]) == 2
    assert "--class" in capsys.readouterr().err


def test_a_pickle_of_the_stylegan3_program(tmp_path):
    """Here with a size that is given twice, as by other programs."""
    g_arguments = dict(official.generator_arguments(**OFFICIAL_SIZES, size=8))
    synthesis = dict(g_arguments.pop("synthesis_kwargs"))
    del synthesis["conv_clamp"]
    g_arguments |= synthesis | {"fused_modconv_default": "inference_only", "resolution": 16}
    d_arguments = {name: value for name, value in D_ARGUMENTS.items() if name != "conv_clamp"}
    weights = read_weight_file(write(tmp_path / "a.pkl", states(), g_arguments, d_arguments))
    assert weights.settings["conv_clamp"] == 256.0 and weights.settings["channel_base"] == 128


def test_the_official_channel_base_is_kept(tmp_path):
    """16384 / 16 channels are more than channel_max at every size."""
    own = OFFICIAL_SIZES | {"base": 16384}
    arguments = official.generator_arguments(**own, size=8), official.discriminator_arguments(**own)
    path = write(tmp_path / "a.pkl", states(channel_base=16384), *arguments)
    assert read_weight_file(path).settings["channel_base"] == 16384


@pytest.mark.parametrize(
    ("g", "d", "reason"),
    [
        ({"img_channels": 1}, {}, "G was built with img_channels 1; only 3"),
        ({"architecture": "resnet"}, {}, "G was built with architecture resnet; only skip"),
        ({"img_resolution": 32}, {}, "G was built with img_resolution 32, and its arrays have 16"),
        ({}, {"resolution": 32}, "D was built with resolution 32, and its arrays have 16"),
        ({"w_dim": 512}, {}, "G was built with w_dim 512, and its arrays have 8"),
        ({"c_dim": 3}, {}, "G was built with c_dim 3, and its arrays have 0"),
        ({"attention": True}, {}, "G was built with the unknown argument attention (True)"),
        ({"resample_filter": [1, 2, 1]}, {}, "resample_filter [1, 2, 1]; only [1, 3, 3, 1]"),
        ({"mapping_kwargs": {"lr_multiplier": 1}}, {}, "lr_multiplier 1; only 0.01"),
        ({"synthesis_kwargs": {"channel_base": 2**40, "channel_max": 2**30}}, {}, "16 channels at 4x4"),
        ({}, {"architecture": "skip"}, "D was built with architecture skip; only resnet or orig"),
        ({}, {"epilogue_kwargs": {"mbstd_group_size": None}}, "D was built with mbstd_group_size None"),
        ({}, {"epilogue_kwargs": {"mbstd_num_channels": 4}}, "mbstd_num_channels 4; only 1"),
        ({}, {"conv_clamp": 128}, "D has conv_clamp 128.0, another network of the file 256.0"),
        ({}, {"conv_clamp": "much"}, "damaged"),
    ],
)
def test_unsupported_arguments(tmp_path, g, d, reason):
    assert reason in refusal(write(tmp_path / "a.pkl", states(), G_ARGUMENTS | g, D_ARGUMENTS | d))


def test_a_converted_run_has_the_official_styles_images_and_logits(tmp_path):
    arrays = read_arrays(reference("stylegan2"))
    g, d = (arrays.group(f"{player}/") for player in "gd")
    g_arguments = official.generator_arguments(conv_clamp=None)
    d_arguments = official.discriminator_arguments(conv_clamp=None)
    path, run = official.write_ada(tmp_path / "a.pkl", g, d, None, g_arguments, d_arguments), Run(tmp_path / "run")
    assert run_command("convert", [str(path), str(run.folder)]) == 0
    z = tf.constant(arrays["in/z"])
    networks, _, _ = newest_networks(run, ("d",), print)
    d = built(StyleGan2Discriminator, {"resolution": 32, "channel_base": 512, "channel_max": 32})
    load_weights(d, networks["d"], run.folder)
    outputs = {"d_logits_real": d(tf.constant(arrays["in/real"].transpose(0, 2, 3, 1)))}
    for g in (load_generator(run, "best").generator, gan_tf.load(run.folder).generator):
        outputs["ws_psi1"], outputs["ws_psi07"] = g.mapping(z), g.mapping(z, truncation=0.7)
        outputs["img_const"] = g(z, noise=CONST).numpy().transpose(0, 3, 1, 2)
        for name, got in outputs.items():
            assert relative_l2(np.asarray(got), arrays[f"out/{name}"]) < 1e-4, name
