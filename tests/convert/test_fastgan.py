"""FastGAN: official tensors in the networks, and checkpoints of the official program."""

import os
import pickle

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.convert import read_weight_file
from gan_tf.convert.fastgan import discriminator_arguments, generator_arguments
from gan_tf.models.fastgan import FastGanDiscriminator, FastGanGenerator
from tests.convert.file_writers import tensors
from tests.convert.states import (
    assert_refused,
    assert_round_trip,
    assert_same,
    built,
    changed,
    fastgan_states,
    loaded,
    parameters,
    refusal,
)
from tests.parity.report import relative_l2
from tests.parity.state_dicts import state_dict
from tests.pretrained.torch_format import Storage, tensor, whole, write_legacy, write_zip

FORMATS = pytest.mark.parametrize("write", [write_zip, write_legacy], ids=["zip", "legacy"])
COUNTER = "num_batches_tracked"


@pytest.fixture
def g():
    return fastgan_states()[0]


@pytest.fixture
def d():
    return fastgan_states()[1]


@pytest.mark.parametrize("size", [256, 512, 1024])
def test_every_tensor_is_used_once_and_arguments_are_read_from_the_shapes(size):
    for state, kind, arguments in zip(
        fastgan_states(size),
        (FastGanGenerator, FastGanDiscriminator),
        ({"resolution": size, "ngf": 8, "latent_size": 12}, {"resolution": size, "ndf": 8}),
        strict=True,
    ):
        read = generator_arguments if kind is FastGanGenerator else discriminator_arguments
        assert read(state) == arguments
        without_counters = {name: value for name, value in state.items() if not name.endswith(COUNTER)}
        assert_round_trip(built(kind, arguments), without_counters)


def conv(state, name, x, stride=1, pad=1):
    """The official convolution in evaluation mode, on maps [N, H, W, C]."""
    kernel = state[f"{name}.weight_orig"]  # [O, I, h, w]
    sigma = state[f"{name}.weight_u"] @ kernel.reshape(len(kernel), -1) @ state[f"{name}.weight_v"]
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    return tf.nn.conv2d(x, kernel.transpose(2, 3, 1, 0) / sigma, stride, "VALID").numpy()


def norm(state, name, x):
    scale = state[f"{name}.weight"] / np.sqrt(state[f"{name}.running_var"] + 1e-5)
    return (x - state[f"{name}.running_mean"]) * scale + state[f"{name}.bias"]


def gated(state, block, conv_index, norm_index, x):
    x = norm(state, f"{block}.{norm_index}", conv(state, f"{block}.{conv_index}", x))
    values, gates = np.split(x, 2, axis=3)
    return values / (1 + np.exp(-gates))


def settled(state):
    """The state dict with singular vectors of its kernels and small variances: maps keep their scale."""
    state = {name: value / 10 if name.endswith("running_var") else value for name, value in state.items()}
    for name in [name.removesuffix("_u") for name in state if name.endswith("weight_u")]:
        kernel = state[f"{name}_orig"].swapaxes(0, 1) if name == "init.init.0.weight" else state[f"{name}_orig"]
        left, _, right = np.linalg.svd(kernel.reshape(len(kernel), -1), full_matrices=False)
        state[f"{name}_u"], state[f"{name}_v"] = left[:, 0], right[0]
    return state


@pytest.mark.parametrize("size", [512, 1024])
def test_layers_of_the_larger_networks_have_the_official_outputs(size):
    """The networks of 256 pixels, which have all other layers, are compared with the official ones in tests/parity."""
    (g, d), random = map(settled, fastgan_states(size)), np.random.default_rng(2)
    generator = loaded(FastGanGenerator, generator_arguments(g), g)
    critic = loaded(FastGanDiscriminator, discriminator_arguments(d), d)
    z = random.normal(size=(1, 12)).astype(np.float32)
    maps = {at: x.numpy() for at, x in generator._maps(*generator._first_map(z, None), None, size).items()}
    x = gated(g, "feat_512", 1, 3, maps[256].repeat(2, axis=1).repeat(2, axis=2))
    x = gated(g, "feat_512", 5, 7, x)
    squeezed = conv(g, "se_512.main.1", maps[32].reshape(1, 4, 8, 4, 8, -1).mean((2, 4)), pad=0)
    x = x / (1 + np.exp(-conv(g, "se_512.main.3", squeezed / (1 + np.exp(-squeezed)), pad=0)))
    if size == 1024:
        x = gated(g, "feat_1024", 1, 2, x.repeat(2, axis=1).repeat(2, axis=2))
    images = conv(g, "to_big", x) if size == 512 else np.tanh(conv(g, "to_big", x))
    assert relative_l2(generator(z)[0], images) < 1e-4 and 0.01 < images.std() < 1
    x = real = random.normal(size=(1, size, size, 3)).astype(np.float32)
    for index in (0, 2)[: size // 512]:
        assert d[f"down_from_big.{index}.weight_orig"].shape[2:] == (4, 4)
        x = conv(d, f"down_from_big.{index}", x, stride=2)
        x = norm(d, "down_from_big.3", x) if index else x
        x = np.where(x > 0, x, 0.2 * x)
    assert relative_l2(critic._features((real, real[:, :128, :128]), False)[0][256], x) < 1e-4


def test_missing_surplus_and_misshapen_tensors_are_refused_and_change_nothing(g):
    cases = (
        ({"to_128.weight_u": None}, "missing.*to_128.weight_u"),
        ({"to_512.weight_u": np.zeros(3)}, "left over.*to_512.weight_u"),
        ({"to_128.weight_u": np.zeros(4)}, r"to_128.weight_u has shape \(4,\), not \(3,\)"),
        ({"feat_8.1.weight_v": np.zeros(7)}, r"feat_8.1.weight_v has shape \(7,\), not \(1152,\)"),
        ({"feat_8.1.weight_orig": np.zeros(36864)}, "feat_8.1.weight_orig has shape"),
        ({"feat_8.2.weight": np.zeros((1, 1, 1, 1))}, "feat_8.2.weight has shape"),
    )
    network = built(FastGanGenerator, generator_arguments(g))
    assert_refused(network, [(changed(g, **changes), pattern) for changes, pattern in cases])


@FORMATS
@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_checkpoint_with_the_ema_generator_alone(tmp_path, g, d, write, prefix):
    weights = read_weight_file(write(tmp_path / "10.pth", {"g": tensors(g, prefix), "d": tensors(d, prefix)}))
    assert weights.model == "fastgan"
    assert weights.settings == {"resolution": 256, "ngf": 8, "latent_size": 12, "ndf": 8}
    for name, want in (("g", g), ("g_ema", g), ("d", d)):
        assert_same(weights.states[name], want)
    assert len(weights.left_out) == 2 and all(COUNTER in line for line in weights.left_out)


def test_a_state_dict_of_the_generator(tmp_path, g):
    weights = read_weight_file(write_zip(tmp_path / "g.pth", tensors(g)))
    assert_same(weights.states["g_ema"], g)
    assert "d" not in weights.states and "ndf" not in weights.settings


def test_files_that_do_not_fit_are_refused(tmp_path, g, d):
    larger = state_dict(built(FastGanDiscriminator, {"resolution": 512, "ndf": 8}))
    kernel = g["to_big.weight_orig"]
    g_512 = {name.replace("feat_256", "feat_2048"): value for name, value in g.items()}
    cases = [
        ({"g": g, "d": larger}, "its generator has 256 pixels, its discriminator 512"),
        ({"d": d}, "no generator g of FastGAN, but d"),
        (d, "no generator g of FastGAN, but d"),
        ({"x": {"a": kernel}}, "no generator g of FastGAN, but x: 1 tensors"),
        ({"a": kernel}, "no generator g of FastGAN, but a: 1 tensors"),
        ({"g": changed(g, **{"to_128.weight_orig": None})}, "to_128.weight_orig is missing"),
        ({"g": g_512}, "256, 512 or 1024 pixels, this one has 2048"),
        ({"g": {n: v for n, v in g.items() if "256" not in n}}, "256, 512 or 1024 pixels, this one has 128"),
        # a width that the larger arrays do not have
        ({"g": changed(g, **{"to_128.weight_orig": np.zeros((3, 9, 1, 1), np.float32)})}, "(144, 144, 3, 3)"),
        ({"g": changed(g, **{"to_big.weight_orig": kernel * np.float32("nan")})}, "to_big.weight_orig has numbers"),
        ({"g": changed(g, **{"to_big.weight_orig": np.full(kernel.shape, 1e300)})}, "to_big.weight_orig has numbers"),
        ({"g": changed(g, **{"to_big.weight_orig": np.zeros(3, np.int64)})}, "to_big.weight_orig has type int64"),
        ({"g": {("module." if "big" in n else "") + n: v for n, v in g.items()}}, "begin with module."),
    ]
    for i, (state, reason) in enumerate(cases):
        nested = all(isinstance(value, dict) for value in state.values())
        content = {k: tensors(v) for k, v in state.items()} if nested else tensors(state)
        assert reason in refusal(write_zip(tmp_path / f"{i}.pth", content)), reason


def test_averaged_parameters_that_do_not_fit(tmp_path, g):
    values = [whole(value) for value in parameters(g)]
    for content, reason in (
        ({"g": tensors(g), "g_ema": values[:-1]}, f"{len(values) - 1} parameters, g has {len(values)}"),
        ({"g": tensors(g), "g_ema": values[::-1]}, "shape"),
        ({"g_ema": values}, "g is missing"),
    ):
        assert reason in refusal(write_zip(tmp_path / "all.pth", content))


def test_one_tensor_of_a_small_file_claims_no_large_network(tmp_path, g):
    repeated = tensor(Storage(np.zeros(1, np.float32)), 0, (3, 10**6, 3, 3), (0, 0, 0, 0))
    path = write_zip(tmp_path / "a.pth", {"g": tensors(g) | {"to_big.weight_orig": repeated}})
    assert "more numbers than the file has bytes" in refusal(path)


def test_other_tensors_are_counted(tmp_path, g):
    content = {"g": tensors(g)} | {f"x{i:02}": whole(np.zeros(2, np.float32)) for i in range(23)}
    left_out = read_weight_file(write_zip(tmp_path / "a.pth", content)).left_out
    assert left_out[0] == "x00: 1 tensors" and left_out[19:21] == ["x19: 1 tensors", "and 3 more"]
    path = write_zip(tmp_path / "a.pth", {"g": {"state_dict": tensors(g)}})
    assert f"no generator g of FastGAN, but g/state_dict: {len(g)} tensors" in refusal(path)


def test_other_files(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for i, content in enumerate((b"", b"hello", b"<html>Not found</html>", pickle.dumps({"a": 1}))):
        (tmp_path / f"{i}.pkl").write_bytes(content)
    for name in ("missing.pth", "pipe", "", *(f"{i}.pkl" for i in range(4))):
        refusal(tmp_path / name)
