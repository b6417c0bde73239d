"""Whole checkpoints of FastGAN, and files that are none: what is found, in which role, and the line that refuses."""

import os
import pickle
import struct
import tracemalloc
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from gan_tf.convert.official import read_official
from gan_tf.errors import UsageError
from tests.convert import official_form as official
from tests.convert import file_writers
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
    state = {"g": file_writers.tensors(g, prefix), "d": file_writers.tensors(d, prefix)}
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
    optimiser = file_writers.optimizer(parameters(g))
    content = {"g": file_writers.tensors(g), "d": file_writers.tensors(d), "g_ema": averages}
    path = write(tmp_path / "all_10.pth", content | {"opt_g": optimiser, "opt_d": optimiser})
    found = read_official(path)
    assert_same(found.states["g"], g)
    assert_same(found.states["g_ema"], {n: -v if n.endswith(PARAMETERS) else v for n, v in g.items()})
    count = 3 * len(averages)
    assert found.left_out[:2] == [f"opt_g: {count} tensors", f"opt_d: {count} tensors"]


def test_fastgans_generator_alone(tmp_path, g):
    found = read_official(write_zip(tmp_path / "g.pth", file_writers.tensors(g)))
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
        content = {k: file_writers.tensors(v) for k, v in state.items()} if nested else file_writers.tensors(state)
        assert said in refusal(write_zip(tmp_path / f"{i}.pth", content)), said


def test_a_state_dict_one_dict_too_deep_is_told_by_its_place(tmp_path, g):
    path = write_zip(tmp_path / "a.pth", {"g": {"state_dict": file_writers.tensors(g)}})
    assert f"it has no generator g, but g/state_dict: {len(g)} tensors" in refusal(path)


def test_tensors_beside_the_networks_are_named_or_counted(tmp_path, g):
    content = {"g": file_writers.tensors(g)} | {f"x{i:02}": whole(np.zeros(2, np.float32)) for i in range(23)}
    left_out = read_official(write_zip(tmp_path / "a.pth", content)).left_out
    assert left_out[0] == "x00: a tensor" and left_out[19:21] == ["x19: a tensor", "and 3 more tensors"]


def test_shapes_are_looked_at_before_numbers_are_read(tmp_path, g):
    """A tensor of 400 MB in the place of one of 1 KB."""
    path, numbers = tmp_path / "a.pth", 10**8
    large = tensor(Storage(np.broadcast_to(np.float32(0), numbers)), 0, (1, numbers), (numbers, 1))
    write_zip(path, {"g": file_writers.tensors(g) | {"to_big.weight_orig": large}})
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
    path = write_zip(tmp_path / "a.pth", {"g": file_writers.tensors(changed(g, **{"to_big.weight_orig": large}))})
    assert "to_big.weight_orig holds numbers that are not finite" in refusal(path)


@pytest.mark.parametrize("name", ["d", "g", "its"])
def test_a_file_whose_name_is_a_word_of_the_message_is_named(tmp_path, monkeypatch, g, name):
    monkeypatch.chdir(tmp_path)
    write_zip(Path(name), {"g": file_writers.tensors(changed(g, **{"to_128.weight_orig": None}))})
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
    content = {"g": file_writers.tensors(g), "d": file_writers.tensors(d), "g_ema": file_writers.tensors(g)}
    content[group][7] = whole(np.zeros(3, np.float32))
    said = refusal(write_zip(tmp_path / "a.pth", content))
    assert f"{group} has a tensor with the number 7 in the place of a name" in said


def test_averages_that_do_not_fit(tmp_path, g):
    values = [whole(value) for value in parameters(g)]
    for averages, said in (
        (values[:-1], f"g_ema has {len(values) - 1} parameters, g has {len(values)}"),
        (values[::-1], "shape"),
    ):
        content = {"g": file_writers.tensors(g), "g_ema": averages}
        assert said in refusal(write_zip(tmp_path / "all.pth", content))
    assert "g is missing" in refusal(write_zip(tmp_path / "all.pth", {"g_ema": values}))


@FORMATS
def test_a_hostile_checkpoint_is_refused_by_name(tmp_path, g, write):
    content = {"g": file_writers.tensors(g), "opt_g": {"state": {0: Name("os", "system")}}}
    assert "asks for os.system" in refusal(write(tmp_path / "a.pth", content))


@FORMATS
def test_a_truncated_checkpoint(tmp_path, g, write):
    whole_file = write(tmp_path / "a.pth", {"g": file_writers.tensors(g)}).read_bytes()
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
