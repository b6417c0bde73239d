"""Progressive GAN: official tensors in the networks, and pickles of the official program."""

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.convert import load_state_dict, read_weight_file
from gan_tf.convert.pggan import arguments_of
from gan_tf.errors import UsageError
from gan_tf.models.pggan import PgganDiscriminator, PgganGenerator
from tests.convert.file_writers import Module, TfNetwork, buffer, write_pytorch, write_tensorflow
from tests.convert.states import (
    PGGAN,
    assert_refused,
    assert_round_trip,
    assert_same,
    built,
    changed,
    loaded,
    pggan_networks,
    pggan_states,
    random_state,
    refusal,
    unfused,
)
from tests.parity.state_dicts import state_dict

G = {"resolution": 32, "fmap_base": 64, "fmap_max": 16, "latent_size": 6}
D = {"resolution": 32, "fmap_base": 64, "fmap_max": 16, "minibatch_stddev": True}


def write(path, states, **arguments):
    return write_tensorflow(path, pggan_networks(states, **arguments))


@pytest.mark.parametrize(("kind", "arguments"), [(PgganGenerator, G), (PgganDiscriminator, D)])
def test_every_tensor_is_used_once_and_comes_back(kind, arguments):
    network = built(kind, arguments)
    assert_round_trip(network, random_state(network), left_alone=["growth"])


@pytest.mark.parametrize(("fmap_base", "fmap_max"), [(64, 16), (64, 512), (96, 32), (40, 7), (2**13, 8)])
@pytest.mark.parametrize("minibatch_stddev", [True, False])
def test_arguments_are_read_from_the_shapes(fmap_base, fmap_max, minibatch_stddev):
    widths = {"resolution": 16, "fmap_base": fmap_base, "fmap_max": fmap_max}
    g = built(PgganGenerator, widths, latent_size=5)
    d = built(PgganDiscriminator, widths, minibatch_stddev=minibatch_stddev)
    for network in (g, d):
        state = state_dict(network)
        again = state_dict(built(type(network), arguments_of(state)))
        assert {name: value.shape for name, value in again.items()} == {n: v.shape for n, v in state.items()}
    assert arguments_of(state_dict(g))["latent_size"] == 5
    assert arguments_of(state_dict(d))["minibatch_stddev"] == minibatch_stddev


@pytest.mark.parametrize("fused", [True, False])
def test_up_convolutions_of_both_official_forms(fused):
    """Fused: taps summed over shifts by one pixel, then a transposed convolution of stride 2. Else: enlarged first."""
    state = random_state(built(PgganGenerator, G))
    layer = loaded(PgganGenerator, G, state if fused else unfused(state)).blocks[0].first
    kernel, bias = state["8x8/Conv0_up/weight"], state["8x8/Conv0_up/bias"]  # [3, 3, O, I]
    x = np.random.default_rng(1).normal(size=(2, 4, 4, kernel.shape[3])).astype(np.float32)
    taps = kernel * (2 / (9 * kernel.shape[3])) ** 0.5
    if fused:
        taps = np.pad(taps, ((1, 1), (1, 1), (0, 0), (0, 0)))
        taps = taps[1:, 1:] + taps[:-1, 1:] + taps[1:, :-1] + taps[:-1, :-1]
        want = tf.nn.conv2d_transpose(x, taps, (2, 8, 8, kernel.shape[2]), 2, "SAME")
    else:
        enlarged = x.repeat(2, axis=1).repeat(2, axis=2)
        want = tf.nn.conv2d(enlarged, taps[::-1, ::-1].transpose(0, 1, 3, 2), 1, "SAME")
    np.testing.assert_allclose(layer(x), want + bias, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("lod", "growth"), [(None, 3.0), (0.0, 3.0), (1.25, 1.75)])
def test_growth(lod, growth):
    g = built(PgganGenerator, G)
    load_state_dict(g, random_state(g) | ({} if lod is None else {"lod": np.float32(lod)}))
    assert float(g.growth.numpy()) == growth


def test_unfit_weights_are_refused_and_change_nothing():
    g = built(PgganGenerator, G)
    state = random_state(g)
    assert_refused(
        g,
        [
            (state | {"8x8/Conv0_up/weight": np.zeros((3, 3, 16, 8))}, "8x8/Conv0_up/weight has shape"),
            (state | {"lod": np.float32(-0.5)}, "lod is -0.5"),
            (state | {"lod": np.float32(3.5)}, "lod is 3.5"),
            (state | {"lod": np.float32("nan")}, "lod is nan"),
            (state | {"lod": np.zeros(3, np.float32)}, "lod is"),
        ],
    )


def test_arrays_of_other_networks():
    state = state_dict(built(PgganGenerator, G))
    narrow = {"ToRGB_lod0/weight": np.zeros((1, 1, 4, 3))}
    for arrays, reason in (
        (changed(state, **{"4x4/Dense/weight": None}), "4x4/Dense/weight is missing"),
        ({}, "at 0 sizes"),
        (narrow | {"ToRGB_lod2/weight": np.zeros((1, 1, 4, 3))}, "at 2 sizes"),
        (state | {"4x4/Dense/weight": np.zeros(5)}, r"4x4/Dense/weight has the shape \(5,\)"),
        (state | {"4x4/Conv/weight": np.zeros((3, 3, 0, 2**20))}, "4x4/Conv/weight has the shape"),
        (state | {"32x32/Conv1/weight": np.zeros((3, 3, 5, 5))}, "do not halve"),
    ):
        with pytest.raises(UsageError, match=reason):
            arguments_of(arrays)


def test_a_pickle(tmp_path):
    states = pggan_states()
    weights = read_weight_file(write(tmp_path / "network.pkl", states))
    assert weights.model == "pggan"
    want = {**PGGAN, "latent_size": 6, "pixel_norm": True, "minibatch_stddev": True}
    assert {name: weights.settings[name] for name in want} == want
    for name, state in zip(("g", "d", "g_ema"), states, strict=True):
        assert_same(weights.states[name], state | {"lod": 0})
    assert len(weights.left_out) == 1 and weights.left_out[0].startswith("D: lod")


def test_a_pickle_of_the_ema_generator_alone(tmp_path):
    g_ema = pggan_networks(pggan_states(), use_pixelnorm=False)[2]
    weights = read_weight_file(write_tensorflow(tmp_path / "a.pkl", g_ema))
    assert list(weights.states) == ["g_ema"] and weights.settings["pixel_norm"] is False


@pytest.mark.parametrize(
    ("fused", "arguments", "reason"),
    [
        (True, {"mbstd_group_size": 16}, "mbstd_group_size"),
        (False, {"fused_scale": False, "mbstd_group_size": 16}, "fused_scale"),  # imported from Theano: CelebA-HQ
    ],
)
def test_a_discriminator_that_cannot_be_converted_is_left_out(tmp_path, fused, arguments, reason):
    weights = read_weight_file(write(tmp_path / "a.pkl", pggan_states(fused), **arguments))
    assert set(weights.states) == {"g", "g_ema"} and "minibatch_stddev" not in weights.settings
    assert len(weights.left_out) == 1 and reason in weights.left_out[0]
    for name, state in zip(("g", "g_ema"), pggan_states()[::2], strict=True):
        assert_same(state_dict(loaded(PgganGenerator, PGGAN | {"latent_size": 6}, weights.states[name])), state)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"label_size": 10}, "G was built with label_size 10; only 0"),
        ({"tanh_at_end": True}, "G was built with tanh_at_end True"),
        ({"num_channels": 1}, "num_channels 1; only 3"),
        ({"resolution": 32}, "G was built with resolution 32, and its arrays have 16"),
        ({"latent_size": 512}, "was built with latent_size 512, and its arrays have 6"),
        ({"attention": True}, "G was built with the unknown argument attention"),
    ],
)
def test_unsupported_arguments(tmp_path, arguments, reason):
    assert reason in refusal(write(tmp_path / "a.pkl", pggan_states(), **arguments))


def test_pickles_that_do_not_fit(tmp_path):
    g, d, g_ema = pggan_states()
    other, _, another = pggan_states(resolution=32)
    cases = [
        ((other, d, another), "D has resolution 16, another network of the file 32"),
        ((g, d, changed(g_ema, **{"16x16/Conv1/weight": None})), "16x16/Conv1/weight is missing"),
        ((g, d, changed(g_ema, **{"8x8/Conv1/weight": np.zeros((3, 3, 1, 2), np.float32)})), "8x8/Conv1/weight has"),
    ]
    for i, (states, reason) in enumerate(cases):
        assert reason in refusal(write(tmp_path / f"{i}.pkl", states)), reason


def test_other_families_are_named(tmp_path):
    from tests.pretrained.test_network_pickles import stylegan

    two = write_tensorflow(tmp_path / "a.pkl", (stylegan(),) * 3, "dnnlib.tflib.network")
    assert "StyleGAN2 networks (TensorFlow, G_main with 5 arrays, latent_size 4)" in refusal(two)
    assert "legacy.py" in refusal(two)
    synthesis = TfNetwork("G_synthesis", {"4x4/Const/StyleMod/weight": np.zeros((4, 8), np.float32)}, {}, {})
    one = TfNetwork("G_style", {"lod": np.float32(0)}, {}, {"synthesis": synthesis})
    assert "StyleGAN1" in refusal(write_tensorflow(tmp_path / "b.pkl", one, "dnnlib.tflib.network"))
    waves = Module("SynthesisInput", buffers={"freqs": buffer(np.zeros((4, 2), np.float32))})
    three = Module("Generator", parts={"synthesis": Module("SynthesisNetwork", parts={"input": waves})}, z_dim=4)
    text = refusal(write_pytorch(tmp_path / "c.pkl", {"G": three, "D": three, "G_ema": three}))
    assert "StyleGAN3 networks (PyTorch, Generator with 1 arrays, z_dim 4)" in text
