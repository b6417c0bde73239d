"""Whole files of official programs: what is found in them, in which role, and the line for those that do not fit."""

import os
import pickle
import struct
import tracemalloc
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from gan_tf.convert.official import read_official
from gan_tf.convert.state_dicts import load_state_dict, state_dict
from gan_tf.errors import UsageError
from gan_tf.models.pggan import Generator
from tests.convert import official_form as official
from tests.convert import official_pggan, stand_ins
from tests.convert.test_pggan import built
from tests.pretrained.torch_format import Name, Storage, tensor, whole, write_legacy, write_zip

FORMATS = pytest.mark.parametrize("write", [write_zip, write_legacy], ids=["zip", "legacy"])
PARAMETERS = ("weight_orig", ".weight", ".bias")


@pytest.fixture(scope="module")
def g():
    return official.random_state(official.shapes_of_generator(256, ngf=8, latent_size=12))


@pytest.fixture(scope="module")
def d():
    return official.random_state(official.shapes_of_discriminator(256, ndf=8), seed=1)


def parameters(state):
    return [value for name, value in state.items() if name.endswith(PARAMETERS)]


def refusal(path):
    """The one line that the file is refused with."""
    with pytest.raises(UsageError) as caught:
        read_official(path)
    text = str(caught.value)
    assert "\n" not in text and str(path) in text and len(text) < 500
    return text


def assert_same(got, want):
    assert set(got) == set(want)
    for name, value in want.items():
        np.testing.assert_array_equal(got[name], value, err_msg=name)


@FORMATS
@pytest.mark.parametrize("prefix", ["", "module."])
def test_fastgan_with_the_averaged_generator_alone(tmp_path, g, d, write, prefix):
    state = {"g": stand_ins.tensors(g, prefix), "d": stand_ins.tensors(d, prefix)}
    found = read_official(write(tmp_path / "10.pth", state))
    assert found.model == "fastgan"
    assert found.settings == {"resolution": 256, "ngf": 8, "latent_size": 12, "ndf": 8}
    for name, want in (("g", g), ("g_ema", g), ("d", d)):
        assert_same(found.states[name], want)
    counters = [f"{name}: {n} counters num_batches_tracked, which have no effect" for name, n in (("g", 10), ("d", 31))]
    assert found.left_out == counters


@FORMATS
def test_fastgan_with_everything(tmp_path, g, d, write):
    averages = [whole(-value) for value in parameters(g)]
    optimiser = stand_ins.optimizer(parameters(g))
    content = {"g": stand_ins.tensors(g), "d": stand_ins.tensors(d), "g_ema": averages}
    path = write(tmp_path / "all_10.pth", content | {"opt_g": optimiser, "opt_d": optimiser})
    found = read_official(path)
    assert_same(found.states["g"], g)
    assert_same(found.states["g_ema"], {n: -v if n.endswith(PARAMETERS) else v for n, v in g.items()})
    count = 3 * len(averages)
    assert found.left_out[:2] == [f"opt_g: {count} tensors", f"opt_d: {count} tensors"]


def test_fastgans_generator_alone(tmp_path, g):
    found = read_official(write_zip(tmp_path / "g.pth", stand_ins.tensors(g)))
    assert_same(found.states["g_ema"], g)
    assert "d" not in found.states and "ndf" not in found.settings


def changed(state, **changes):
    return {name: value for name, value in (state | changes).items() if value is not None}


def test_fastgan_files_that_do_not_fit_are_refused_in_one_line(tmp_path, g, d):
    larger = official.shapes_of_discriminator(512, ndf=8)
    nan = g["to_big.weight_orig"] * np.float32("nan")
    cases = [
        ({"g": g, "d": official.random_state(larger)}, "its generator has 256 pixels, its discriminator 512"),
        ({"d": d}, "it has no generator g, but d"),
        (d, "it has no generator g, but d"),
        ({"x": {"a": g["to_big.weight_orig"]}}, "it has no generator g, but x: 1 tensors"),
        ({"a": g["to_big.weight_orig"]}, "it has no generator g, but a: a tensor"),
        ({"g": changed(g, **{"to_128.weight_orig": None})}, "to_128.weight_orig is missing"),
        (
            {"g": {n.replace("feat_256", "feat_2048"): v for n, v in g.items()}},
            "256, 512 or 1024 pixels, this one has 2048",
        ),
        ({"g": {n: v for n, v in g.items() if "256" not in n}}, "256, 512 or 1024 pixels, this one has 128"),
        (
            {"g": changed(g, **{"to_128.weight_orig": np.zeros((3, 9, 1, 1), np.float32)})},
            "should have (144, 144, 3, 3)",
        ),
        ({"g": changed(g, **{"to_big.weight_orig": nan})}, "to_big.weight_orig holds numbers that are not finite"),
        ({"g": changed(g, **{"to_big.weight_orig": np.zeros(3, np.int64)})}, "holds int64"),
        ({"g": {("module." if "big" in n else "") + n: v for n, v in g.items()}}, "some names in g begin with module."),
    ]
    for i, (state, said) in enumerate(cases):
        nested = all(isinstance(value, dict) for value in state.values())
        content = {k: stand_ins.tensors(v) for k, v in state.items()} if nested else stand_ins.tensors(state)
        assert said in refusal(write_zip(tmp_path / f"{i}.pth", content)), said


def test_a_state_dict_one_dict_too_deep_is_told_by_its_place(tmp_path, g):
    path = write_zip(tmp_path / "a.pth", {"g": {"state_dict": stand_ins.tensors(g)}})
    assert f"it has no generator g, but g/state_dict: {len(g)} tensors" in refusal(path)


def test_tensors_beside_the_networks_are_named_or_counted(tmp_path, g):
    content = {"g": stand_ins.tensors(g)} | {f"x{i:02}": whole(np.zeros(2, np.float32)) for i in range(23)}
    left_out = read_official(write_zip(tmp_path / "a.pth", content)).left_out
    assert left_out[0] == "x00: a tensor" and left_out[19:21] == ["x19: a tensor", "and 3 more tensors"]


def test_shapes_are_looked_at_before_numbers_are_read(tmp_path, g):
    """A tensor of 400 MB in the place of one of 1 KB."""
    path, numbers = tmp_path / "a.pth", 10**8
    large = tensor(Storage(np.broadcast_to(np.float32(0), numbers)), 0, (1, numbers), (numbers, 1))
    write_zip(path, {"g": stand_ins.tensors(g) | {"to_big.weight_orig": large}})
    tracemalloc.start()
    said = refusal(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "to_big.weight_orig has the shape (1, 100000000), larger than any of its layers" in said
    assert peak < 40_000_000


def test_bfloat16_counts_by_its_numbers(tmp_path, g):
    """Its two bytes become four in memory; the file is no smaller than it should be."""
    halves = OrderedDict()
    for name, value in g.items():
        bits = (np.ravel(value).view(np.uint32) >> 16).astype(np.uint16)
        halves[name] = tensor(Storage(bits, "BFloat16Storage"), *whole(value).arguments[1:4])
    found = read_official(write_zip(tmp_path / "a.pth", {"g": halves}))
    for name, value in g.items():
        np.testing.assert_allclose(found.states["g_ema"][name].reshape(value.shape), value, rtol=2**-7)


def test_numbers_that_float32_does_not_hold(tmp_path, g):
    large = np.full(g["to_big.weight_orig"].shape, 1e300)
    path = write_zip(tmp_path / "a.pth", {"g": stand_ins.tensors(changed(g, **{"to_big.weight_orig": large}))})
    assert "to_big.weight_orig holds numbers that are not finite" in refusal(path)


@pytest.mark.parametrize("name", ["d", "g", "its"])
def test_a_file_whose_name_is_a_word_of_the_message_is_named(tmp_path, monkeypatch, g, name):
    monkeypatch.chdir(tmp_path)
    write_zip(Path(name), {"g": stand_ins.tensors(changed(g, **{"to_128.weight_orig": None}))})
    with pytest.raises(UsageError) as caught:
        read_official(name)
    assert str(caught.value).startswith(f"{name}: these are not the weights")


@pytest.mark.parametrize("protocol", [0, 1])
def test_older_pickles_that_would_run_something_are_refused_by_name(tmp_path, protocol):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    (tmp_path / "a.pkl").write_bytes(pickle.dumps(Evil(), protocol))
    assert f"asks for {os.mkdir.__module__}.mkdir" in refusal(tmp_path / "a.pkl")
    (tmp_path / "b.pkl").write_bytes(pickle.dumps({"a": 1}, protocol))
    assert "neither a checkpoint" in refusal(tmp_path / "b.pkl")
    assert not (tmp_path / "ran").exists()


def test_files_of_any_claimed_size_are_refused_unread(tmp_path):
    """Sparse files, which take none of the disk: bytes of a hole, an archive with a hole before it."""
    path = tmp_path / "a.pkl"
    path.write_bytes(b"\x80\x04\x8e" + struct.pack("<Q", 20 << 30))
    os.truncate(path, 21 << 30)
    assert "it has 21 GB, more than the 16 of any such file" in refusal(path)
    path = write_zip(tmp_path / "a.pth", {"g": {}})
    os.truncate(path, 17 << 30)
    assert "it has 17 GB" in refusal(path)


@pytest.mark.parametrize("group", ["g", "d", "g_ema"])
def test_numbers_in_the_place_of_names(tmp_path, g, d, group):
    content = {"g": stand_ins.tensors(g), "d": stand_ins.tensors(d), "g_ema": stand_ins.tensors(g)}
    content[group][7] = whole(np.zeros(3, np.float32))
    said = refusal(write_zip(tmp_path / "a.pth", content))
    assert f"{group} has a tensor with the number 7 in the place of a name" in said


def test_averages_that_do_not_fit(tmp_path, g):
    values = [whole(value) for value in parameters(g)]
    for averages, said in (
        (values[:-1], f"g_ema has {len(values) - 1} parameters, g has {len(values)}"),
        (values[::-1], "shape"),
    ):
        content = {"g": stand_ins.tensors(g), "g_ema": averages}
        assert said in refusal(write_zip(tmp_path / "all.pth", content))
    assert "g is missing" in refusal(write_zip(tmp_path / "all.pth", {"g_ema": values}))


@FORMATS
def test_a_hostile_checkpoint_is_refused_by_name(tmp_path, g, write):
    content = {"g": stand_ins.tensors(g), "opt_g": {"state": {0: Name("os", "system")}}}
    assert "asks for os.system" in refusal(write(tmp_path / "a.pth", content))


@FORMATS
def test_a_truncated_checkpoint(tmp_path, g, write):
    whole_file = write(tmp_path / "a.pth", {"g": stand_ins.tensors(g)}).read_bytes()
    for length in (len(whole_file) // 3, len(whole_file) - 300):
        (tmp_path / "b.pth").write_bytes(whole_file[:length])
        assert "damaged, incomplete" in refusal(tmp_path / "b.pth")


def test_files_that_are_none(tmp_path):
    assert "cannot read" in refusal(tmp_path / "missing.pth")
    assert "no plain file" in refusal(tmp_path)
    (tmp_path / "text.pkl").write_text("hello")
    assert "neither a checkpoint of torch.save nor a pickle" in refusal(tmp_path / "text.pkl")
    (tmp_path / "empty.pkl").write_bytes(b"")
    assert "neither" in refusal(tmp_path / "empty.pkl")


# Progressive GAN

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
    g = built(Generator, SIZES, latent_size=6)
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
        g = built(Generator, SIZES, latent_size=6)
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
    g, state = built(Generator, SIZES, latent_size=6), states()[0]
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
    from tests.pretrained.test_network_pickles import module, stylegan

    path = stand_ins.write_tensorflow(tmp_path / "a.pkl", (stylegan(),) * 3, "dnnlib.tflib.network")
    assert "it holds StyleGAN2 networks (TensorFlow, G_main with 5 arrays, latent_size 4)" in refusal(path)
    path = stand_ins.write_pytorch(tmp_path / "b.pkl", {"G": module(), "D": module(), "G_ema": module()})
    said = refusal(path)
    assert "it holds StyleGAN2 networks (PyTorch, Generator with 3 arrays, z_dim 4)" in said
    assert said.endswith("checkpoints of FastGAN-pytorch and pickles of Progressive GAN")


def test_the_first_stylegan_is_told_from_the_second(tmp_path):
    arrays = {"4x4/Const/StyleMod/weight": np.zeros((4, 8), np.float32)}
    synthesis = stand_ins.TfNetwork("G_synthesis", arrays, {}, {})
    network = stand_ins.TfNetwork("G_style", {"lod": np.float32(0)}, {}, {"synthesis": synthesis})
    path = stand_ins.write_tensorflow(tmp_path / "a.pkl", network, "dnnlib.tflib.network")
    assert "it holds StyleGAN1 networks (TensorFlow, G_style" in refusal(path)


def test_pggan_against_the_official_network(tmp_path):
    folder = os.environ.get("GAN_TF_REFERENCE")
    if not folder:
        pytest.skip("GAN_TF_REFERENCE is not set: it names the folder of the reference vectors")
    with np.load(Path(folder) / "pggan_a.npz") as file:
        arrays = {name: file[name] for name in file.files}
    g, d = ({n[2:]: v for n, v in arrays.items() if n.startswith(f"{player}/")} for player in "gd")
    found = read_official(stand_ins.write_tensorflow(tmp_path / "a.pkl", official_networks(g, d)))
    network = built(
        Generator, {name: found.settings[name] for name in SIZES}, latent_size=found.settings["latent_size"]
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
