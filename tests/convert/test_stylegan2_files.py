"""Whole pickles of StyleGAN2-ADA: what is found in them, the line that refuses others, and the official images."""

import numpy as np
import pytest
import tensorflow as tf

import gan_tf
from gan_tf.cli.main import run_command
from gan_tf.convert.official import fill, read_official
from gan_tf.io import image_files
from gan_tf.models.stylegan2 import StyleGan2Discriminator, StyleGan2Generator
from gan_tf.models.stylegan2_blocks import CONST
from gan_tf.models.variables import load_weights
from gan_tf.runs.folder import Run
from gan_tf.runs.weights import load_generator, newest_networks
from tests.convert import official_stylegan2 as official
from tests.convert.states import built, random_state
from tests.convert.test_fastgan_files import assert_same, changed, refusal
from tests.convert.test_stylegan2 import scaled
from tests.parity.report import read_arrays, relative_l2
from tests.parity.test_parity import reference

SIZES = {"resolution": 16, "channel_base": 128, "channel_max": 16}
OWN = {"resolution": 16, "base": 128, "most": 16}
G_ARGUMENTS = official.generator_arguments(**OWN, size=8)
D_ARGUMENTS = official.discriminator_arguments(**OWN)


def states(classes=0, architecture="resnet"):
    """Official weights of (G, D, G_ema)."""
    g = built(StyleGan2Generator, SIZES | {"latent_size": 8, "w_size": 8, "mapping_layers": 2, "classes": classes})
    d = built(StyleGan2Discriminator, SIZES | {"classes": classes, "architecture": architecture})
    return tuple(random_state(network, seed) for seed, network in enumerate((g, d, g), start=1))


def arguments(classes):
    """What the official trainer gives G and D."""
    g_arguments = official.generator_arguments(**OWN, size=8, classes=classes)
    return g_arguments, official.discriminator_arguments(**OWN, classes=classes)


def write(path, all_states, g_arguments=None, d_arguments=None):
    g, d, g_ema = all_states
    return official.write(path, g, d, g_ema, g_arguments or G_ARGUMENTS, d_arguments or D_ARGUMENTS)


def test_networks_and_settings_are_found(tmp_path):
    all_states = states()
    found = read_official(write(tmp_path / "a.pkl", all_states))
    assert found.model == "stylegan2"
    assert found.settings == {
        **SIZES,
        "latent_size": 8,
        "w_size": 8,
        "mapping_layers": 2,
        "classes": 0,
        "conditional": False,
        "conv_clamp": 256.0,
        "architecture": "resnet",
        "mbstd_group": 4,
    }
    for name, state in zip(("g", "d", "g_ema"), all_states, strict=True):
        assert_same(found.states[name], state)
    assert found.left_out == ["training_set_kwargs", "augment_pipe"]


def test_classes_architecture_groups_and_no_clamp(tmp_path):
    g_arguments = official.generator_arguments(**OWN, size=8, classes=3, conv_clamp=None)
    more = {"conv_clamp": None, "architecture": "orig", "epilogue_kwargs": {"mbstd_group_size": 32}}
    d_arguments = official.discriminator_arguments(**OWN, classes=3, **more)
    found = read_official(write(tmp_path / "a.pkl", states(3, "orig"), g_arguments, d_arguments))
    want = {"classes": 3, "conditional": True, "conv_clamp": None, "architecture": "orig", "mbstd_group": 32}
    assert {name: found.settings[name] for name in want} == want
    d = built(StyleGan2Discriminator, SIZES | {"classes": 3, "architecture": "orig"})
    fill(d, found.states["d"], "a.pkl")
    assert np.isfinite(d(tf.zeros((4, 16, 16, 3)), tf.constant([0, 1, 2, 0]))).all()


def test_a_converted_conditional_run_makes_images_of_a_class(tmp_path, capsys):
    all_states = [scaled(state) for state in states(3)]  # a class shows
    path, run = write(tmp_path / "a.pkl", all_states, *arguments(3)), tmp_path / "run"
    assert run_command("convert", [str(path), str(run)]) == 0
    words = [str(run), "--seeds", "0", "--precision", "float32"]
    made = {}
    for number in (1, 2):
        out = tmp_path / str(number)
        assert run_command("generate", [*words, "--class", str(number), "--out", str(out)]) == 0
        made[number] = image_files.read_png(out / "seed-000000.png").astype(int)
        [image] = gan_tf.load(run).sample([0], classes=number)
        assert np.abs(made[number] - image).max() <= 1
    assert np.abs(made[1] - made[2]).max() > 10
    assert run_command("generate", [*words, "--class", "3", "--out", str(tmp_path / "3")]) == 2
    assert "--class '3' is no class of this run; it has 0 0, 1 1, 2 2" in capsys.readouterr().err


def test_arguments_beside_the_mapping_networks_are_those_of_the_later_program(tmp_path):
    g_arguments = dict(official.generator_arguments(**OWN, size=8))
    synthesis = dict(g_arguments.pop("synthesis_kwargs"))
    del synthesis["conv_clamp"]
    g_arguments |= synthesis | {"fused_modconv_default": "inference_only"}
    d_arguments = {name: value for name, value in D_ARGUMENTS.items() if name != "conv_clamp"}
    found = read_official(write(tmp_path / "a.pkl", states(), g_arguments, d_arguments))
    assert found.settings["conv_clamp"] == 256.0 and found.settings["channel_base"] == 128


def test_the_published_width_is_said_as_a_number(tmp_path):
    """16384 / 16 channels are more than channel_max at every size."""
    sizes = {"resolution": 16, "channel_base": 16384, "channel_max": 16}
    g = random_state(built(StyleGan2Generator, sizes | {"latent_size": 8, "w_size": 8, "mapping_layers": 2}))
    d = random_state(built(StyleGan2Discriminator, sizes))
    own = {"resolution": 16, "base": 16384, "most": 16}
    path = write(
        tmp_path / "a.pkl",
        (g, d, g),
        official.generator_arguments(**own, size=8),
        official.discriminator_arguments(**own),
    )
    assert read_official(path).settings["channel_base"] == 16384


@pytest.mark.parametrize(
    ("g", "d", "said"),
    [
        ({"img_channels": 1}, {}, "G was built with img_channels 1; only networks with 3"),
        ({"use_noise": False}, {}, "G was built with use_noise False; only networks with True"),
        ({"architecture": "resnet"}, {}, "G was built with architecture resnet; only networks with skip"),
        ({"attention": True}, {}, "G was built with the unknown argument attention (True)"),
        ({"resample_filter": [1, 2, 1]}, {}, "resample_filter [1, 2, 1]; only networks with [1, 3, 3, 1]"),
        ({"z_dim": 64}, {}, "G was built with z_dim 64, and its arrays say 8"),
        ({"mapping_kwargs": {"num_layers": 8}}, {}, "G was built with num_layers 8, and its arrays say 2"),
        ({"mapping_kwargs": {"lr_multiplier": 1}}, {}, "lr_multiplier 1; only networks with 0.01"),
        ({"synthesis_kwargs": {"channel_base": 2**40, "channel_max": 2**30}}, {}, "its arrays have 16 channels at 4x4"),
        ({}, {"architecture": "skip"}, "D was built with architecture skip; only networks with resnet or orig"),
        ({}, {"architecture": "orig"}, "D was built with architecture orig, and its arrays are of another"),
        ({}, {"epilogue_kwargs": {"mbstd_group_size": None}}, "D was built with mbstd_group_size None"),
        ({}, {"epilogue_kwargs": {"mbstd_num_channels": 4}}, "mbstd_num_channels 4; only networks with 1"),
        ({}, {"conv_clamp": 128}, "D has conv_clamp 128.0, another of its networks 256.0"),
        ({}, {"conv_clamp": "much"}, "D was built with conv_clamp much"),
    ],
)
def test_other_arguments_are_refused_by_name(tmp_path, g, d, said):
    assert said in refusal(write(tmp_path / "a.pkl", states(), G_ARGUMENTS | g, D_ARGUMENTS | d))


def test_arrays_that_do_not_fit(tmp_path):
    g, d, g_ema = states()
    for i, (changes, said) in enumerate(
        [
            ({"mapping.fc0.weight": None}, ": mapping.fc0.weight is missing"),
            ({"synthesis.b16.conv1.weight": None}, "they have convolutions at the sizes [4, 8]"),
            ({"mapping.w_avg": np.full(8, np.nan, np.float32)}, "w_avg holds numbers that are not finite"),
        ]
    ):
        assert said in refusal(write(tmp_path / f"{i}.pkl", (g, d, changed(g_ema, **changes))))


@pytest.fixture(scope="module")
def official_run(tmp_path_factory):
    """(run converted from a pickle of the reference's weights, the vectors)."""
    arrays = read_arrays(reference("stylegan2"))
    g, d = (arrays.group(f"{player}/") for player in "gd")
    here = tmp_path_factory.mktemp("stylegan2")
    g_arguments = official.generator_arguments(conv_clamp=None)
    path = official.write(here / "a.pkl", g, d, None, g_arguments, official.discriminator_arguments(conv_clamp=None))
    assert run_command("convert", [str(path), str(here / "run")]) == 0
    return Run(here / "run"), arrays


def assert_near(got, want):
    assert relative_l2(np.asarray(got), want) < 1e-4


def test_a_converted_run_makes_the_official_styles_and_images(official_run):
    run, arrays = official_run
    g = load_generator(run, "best").generator
    z = tf.constant(arrays["in/z"])
    assert_near(g.mapping(z), arrays["out/ws_psi1"])
    assert_near(g.mapping(z, truncation=0.7), arrays["out/ws_psi07"])
    assert_near(g(z, noise=CONST).numpy().transpose(0, 3, 1, 2), arrays["out/img_const"])
    folded = gan_tf.load(run.folder).generator
    assert_near(folded.mapping(z), arrays["out/ws_psi1"])
    assert_near(folded(z, noise=CONST).numpy().transpose(0, 3, 1, 2), arrays["out/img_const"])


def test_a_converted_discriminator_gives_the_official_logits(official_run):
    run, arrays = official_run
    networks, _, _ = newest_networks(run, ("d",), print)
    d = built(StyleGan2Discriminator, {"resolution": 32, "channel_base": 512, "channel_max": 32})
    load_weights(d, networks["d"], run.folder)
    assert_near(d(tf.constant(arrays["in/real"].transpose(0, 2, 3, 1))), arrays["out/d_logits_real"])
