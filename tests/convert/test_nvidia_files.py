"""Whole pickles of NVIDIA's programs: what is found in them, in which role, and the line that refuses others."""

import numpy as np
import pytest

from gan_tf.convert.official import read_official
from gan_tf.convert.state_dicts import load_state_dict, state_dict
from gan_tf.errors import UsageError
from gan_tf.models.pggan import PgganGenerator
from tests.convert import official_pggan, stand_ins
from tests.convert.states import built
from tests.convert.test_fastgan_files import assert_same, changed, refusal
from tests.parity.report import read_arrays
from tests.parity.test_parity import reference

SIZES = {"resolution": 16, "fmap_base": 64, "fmap_max": 16}
ARGUMENTS = {"num_channels": 3, "resolution": 16, "label_size": 0, "fmap_base": 64, "fmap_max": 16, "latent_size": 6}


def states(fused=True, resolution=16):
    """Official weights of (G, D, Gs)."""
    g = official_pggan.shapes_of_generator(resolution, 64, 16, 6, fused)
    d = official_pggan.shapes_of_discriminator(resolution, 64, 16, fused)
    return tuple(official_pggan.random_state(shapes, seed) for seed, shapes in enumerate((g, d, g), start=1))


def networks(states, **arguments):
    g, d, g_ema = states
    lod = {"lod": np.float32(0)}
    own = ARGUMENTS | arguments
    return (
        stand_ins.TfNetwork("G_paper", g | lod, own),
        stand_ins.TfNetwork("D_paper", d | lod, {k: v for k, v in own.items() if k != "latent_size"}),
        stand_ins.TfNetwork("G_paper", g_ema | lod, own),
    )


def test_pggan(tmp_path):
    all_states = states()
    found = read_official(stand_ins.write_tensorflow(tmp_path / "network.pkl", networks(all_states)))
    assert found.model == "pggan"
    want = {**SIZES, "latent_size": 6, "pixel_norm": True, "minibatch_stddev": True}
    assert {name: found.settings[name] for name in want} == want
    for name, state in zip(("g", "d", "g_ema"), all_states, strict=True):
        assert_same(found.states[name], state | {"lod": 0})
    assert found.left_out == ["D: lod, how far it has grown, which the generator tells"]


def test_pggans_averaged_generator_alone(tmp_path):
    found = read_official(stand_ins.write_tensorflow(tmp_path / "a.pkl", networks(states(), use_pixelnorm=False)[2]))
    assert list(found.states) == ["g_ema"] and found.settings["pixel_norm"] is False


def test_how_far_it_has_grown_is_kept(tmp_path):
    g_ema = networks(states())[2]
    g_ema.state["variables"][-1] = ("lod", np.float32(0.5))
    found = read_official(stand_ins.write_tensorflow(tmp_path / "a.pkl", g_ema))
    g = built(PgganGenerator, SIZES, latent_size=6)
    load_state_dict(g, found.states["g_ema"])
    assert g.growth.numpy() == 1.5


IMPORTED = {"fused_scale": False, "mbstd_group_size": 16}  # of networks that came from the program in Theano


def test_networks_imported_from_theano(tmp_path):
    """As NVIDIA published those of CelebA-HQ: not fused, groups of 16; G takes all arguments, and ignores some."""
    all_states = states(fused=False)
    found = read_official(stand_ins.write_tensorflow(tmp_path / "a.pkl", networks(all_states, **IMPORTED)))
    assert set(found.states) == {"g", "g_ema"} and "minibatch_stddev" not in found.settings
    [said] = found.left_out
    assert said.startswith("D, the discriminator: it halves its maps behind their activations (fused_scale False)")
    z = np.random.default_rng(3).normal(size=(2, 6)).astype(np.float32)
    for name, state, lod in (("g", all_states[0], 0), ("g_ema", all_states[2], 0.25)):
        g = built(PgganGenerator, SIZES, latent_size=6)
        load_state_dict(g, found.states[name] | {"lod": np.float32(lod)})
        assert g.growth.numpy() == 2 - lod
        images = g(z, alpha=None if lod == 0 else 1 - lod).numpy().transpose(0, 3, 1, 2)
        want = official_pggan.generate(state, z, 16, fused=False, lod=lod)
        assert np.linalg.norm(images - want) < 1e-5 * np.linalg.norm(want) and np.std(want) > 0.1


def test_a_discriminator_with_larger_groups_is_left_out(tmp_path):
    path = stand_ins.write_tensorflow(tmp_path / "a.pkl", networks(states(), mbstd_group_size=16))
    found = read_official(path)
    assert set(found.states) == {"g", "g_ema"}
    assert "it measures the spread of 16 images together (mbstd_group_size)" in found.left_out[0]


@pytest.mark.parametrize(
    "lod", [np.float32(-0.5), np.float32(2.5), np.float32("nan"), np.zeros(3, np.float32), np.zeros((1, 1), np.float32)]
)
def test_a_growth_that_is_none_is_refused_and_changes_nothing(tmp_path, lod):
    g, state = built(PgganGenerator, SIZES, latent_size=6), states()[0]
    before = state_dict(g)
    with pytest.raises(UsageError, match="lod is .* and should be one number from 0 to 2"):
        load_state_dict(g, state | {"lod": lod})
    for name, value in state_dict(g).items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"label_size": 10}, "G was built with label_size 10; only networks with 0"),
        ({"tanh_at_end": True}, "G was built with tanh_at_end True"),
        ({"use_wscale": False}, "G was built with use_wscale False"),
        ({"num_channels": 1}, "num_channels 1; only networks with 3"),
        ({"attention": True}, "G was built with the unknown argument attention"),
    ],
)
def test_pggan_of_another_architecture(tmp_path, arguments, said):
    assert said in refusal(stand_ins.write_tensorflow(tmp_path / "a.pkl", networks(states(), **arguments)))


def test_pggan_files_that_do_not_fit(tmp_path):
    g, d, g_ema = states()
    other, _, another = states(resolution=32)
    cases = [
        ((other, d, another), "D has the resolution 16, another of its networks 32"),
        ((g, d, changed(g_ema, **{"16x16/Conv1/weight": None})), "16x16/Conv1/weight is missing"),
        ((g, d, changed(g_ema, **{"ToRGB_lod1/weight": None})), "ToRGB or FromRGB at 2 sizes"),
        (
            (g, d, changed(g_ema, **{"4x4/Dense/weight": np.zeros(3, np.float32)})),
            "4x4/Dense/weight has the shape (3,)",
        ),
        ((g, d, changed(g_ema, **{"8x8/Conv1/weight": np.zeros((3, 3, 2, 2), np.float32)})), "8x8/Conv1/weight has"),
    ]
    for i, (all_states, said) in enumerate(cases):
        assert said in refusal(stand_ins.write_tensorflow(tmp_path / f"{i}.pkl", networks(all_states))), said


def test_stylegan_is_told_by_name(tmp_path):
    from tests.pretrained.test_network_pickles import stylegan

    path = stand_ins.write_tensorflow(tmp_path / "a.pkl", (stylegan(),) * 3, "dnnlib.tflib.network")
    said = refusal(path)
    assert "it holds StyleGAN2 networks (TensorFlow, G_main with 5 arrays, latent_size 4)" in said
    assert said.endswith("pickles of the PyTorch program are converted, which its legacy.py makes of this one")
    waves = stand_ins.Module("SynthesisInput", buffers={"freqs": stand_ins.Tensor(np.zeros((4, 2), np.float32))})
    parts = {"synthesis": stand_ins.Module("SynthesisNetwork", parts={"input": waves})}
    g = stand_ins.Module("Generator", parts=parts, z_dim=4)
    said = refusal(stand_ins.write_pytorch(tmp_path / "b.pkl", {"G": g, "D": g, "G_ema": g}))
    assert "it holds StyleGAN3 networks (PyTorch, Generator with 1 arrays, z_dim 4)" in said
    assert said.endswith("checkpoints of FastGAN-pytorch and pickles of Progressive GAN and StyleGAN2-ADA")


def test_the_first_stylegan_is_told_from_the_second(tmp_path):
    arrays = {"4x4/Const/StyleMod/weight": np.zeros((4, 8), np.float32)}
    synthesis = stand_ins.TfNetwork("G_synthesis", arrays, {}, {})
    network = stand_ins.TfNetwork("G_style", {"lod": np.float32(0)}, {}, {"synthesis": synthesis})
    path = stand_ins.write_tensorflow(tmp_path / "a.pkl", network, "dnnlib.tflib.network")
    assert "it holds StyleGAN1 networks (TensorFlow, G_style" in refusal(path)


def test_pggan_against_the_official_network(tmp_path):
    arrays = read_arrays(reference("pggan"))
    g, d = (arrays.group(f"{player}/") for player in "gd")
    found = read_official(stand_ins.write_tensorflow(tmp_path / "a.pkl", official_networks(g, d)))
    network = built(
        PgganGenerator, {name: found.settings[name] for name in SIZES}, latent_size=found.settings["latent_size"]
    )
    load_state_dict(network, found.states["g_ema"])
    images = network(arrays["in/latents"]).numpy().transpose(0, 3, 1, 2)
    want = arrays["lod0.0/g_images"]
    assert np.linalg.norm(images - want) < 1e-4 * np.linalg.norm(want)


def official_networks(g, d):
    """(G, D, Gs) of the reference's weights; Gs in arrays of its own, as in a real file."""
    arguments = {"num_channels": 3, "resolution": 32, "fmap_base": 128, "fmap_max": 32, "latent_size": 32}
    networks = (("G_paper", g), ("D_paper", d), ("G_paper", {name: value.copy() for name, value in g.items()}))
    return tuple(stand_ins.TfNetwork(name, state, arguments) for name, state in networks)
