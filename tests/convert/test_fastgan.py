"""FastGAN: official tensors in the networks, and checkpoints of the official program."""

from collections import OrderedDict

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.convert.fastgan import discriminator_arguments, generator_arguments, official_names
from gan_tf.convert.reading import read_weight_file
from gan_tf.convert.state_dicts import load_state_dict
from gan_tf.errors import UsageError
from gan_tf.models.fastgan import FastGanDiscriminator, FastGanGenerator
from tests.convert import file_writers
from tests.convert import official_fastgan as official
from tests.convert.states import assert_refused, assert_round_trip, assert_same, built, changed, refusal
from tests.parity.report import relative_l2
from tests.pretrained.torch_format import Storage, tensor, whole, write_legacy, write_zip

FORMATS = pytest.mark.parametrize("write", [write_zip, write_legacy], ids=["zip", "legacy"])
COUNTER = "num_batches_tracked"


@pytest.fixture(scope="module")
def g():
    return official.random_state(official.shapes_of_generator(256, ngf=8, latent_size=12))


@pytest.fixture(scope="module")
def d():
    return official.random_state(official.shapes_of_discriminator(256, ndf=8), seed=1)


@pytest.mark.parametrize("size", [256, 512, 1024])
def test_networks_compute_the_same_as_the_official_ones(size):
    g_state = official.random_state(official.shapes_of_generator(size, ngf=8, latent_size=12))
    d_state = official.random_state(official.shapes_of_discriminator(size, ndf=8), seed=1)
    assert generator_arguments(g_state) == {"resolution": size, "ngf": 8, "latent_size": 12}
    assert discriminator_arguments(d_state) == {"resolution": size, "ndf": 8}
    g, d = (
        built(FastGanGenerator, generator_arguments(g_state)),
        built(FastGanDiscriminator, discriminator_arguments(d_state)),
    )
    for network, state in ((g, g_state), (d, d_state)):
        load_state_dict(network, state)
        assert_round_trip(network, {name: value for name, value in state.items() if not name.endswith(COUNTER)})
    rng = np.random.default_rng(2)
    z = tf.constant(rng.normal(size=(1, 12)), tf.float32)
    images, small = g(z)
    want_images, want_small = official.generate(g_state, z, size)
    assert relative_l2(images, tf.transpose(want_images, (0, 2, 3, 1))) < 1e-4
    assert relative_l2(small, tf.transpose(want_small, (0, 2, 3, 1))) < 1e-4
    assert np.std(want_images) > 0.01  # not a comparison of zeros

    real = tf.constant(rng.normal(size=(1, size, size, 3)), tf.float32)
    small = real[:, :: size // 128, :: size // 128]
    logits, rebuilt = d.logits_and_reconstructions((real, small), 1)
    planes = (tf.transpose(x, (0, 3, 1, 2)) for x in (real, small))
    big, small_logits, part = official.judge(d_state, *planes, size)
    assert relative_l2(logits[:, :25], big) < 1e-4
    assert relative_l2(logits[:, 25:], small_logits) < 1e-4
    assert relative_l2(rebuilt["part"], tf.transpose(part, (0, 2, 3, 1))) < 1e-4


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


@pytest.mark.parametrize("network", [FastGanGenerator(128, ngf=4), FastGanDiscriminator(256, ndf=4, decoders=4)])
def test_networks_without_an_official_counterpart(network):
    network.build()
    with pytest.raises(UsageError, match="official"):
        official_names(network)


@FORMATS
@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_checkpoint_with_the_ema_generator_alone(tmp_path, g, d, write, prefix):
    state = {"g": file_writers.tensors(g, prefix), "d": file_writers.tensors(d, prefix)}
    weights = read_weight_file(write(tmp_path / "10.pth", state))
    assert weights.model == "fastgan"
    assert weights.settings == {"resolution": 256, "ngf": 8, "latent_size": 12, "ndf": 8}
    for name, want in (("g", g), ("g_ema", g), ("d", d)):
        assert_same(weights.states[name], want)
    assert len(weights.left_out) == 2 and all(COUNTER in line for line in weights.left_out)


@FORMATS
def test_a_checkpoint_with_optimisers(tmp_path, g, d, write):
    averages = [whole(-value) for value in official.parameters(g)]
    optimiser = file_writers.optimizer(official.parameters(g))
    content = {"g": file_writers.tensors(g), "d": file_writers.tensors(d), "g_ema": averages}
    weights = read_weight_file(write(tmp_path / "all_10.pth", content | {"opt_g": optimiser, "opt_d": optimiser}))
    assert_same(weights.states["g"], g)
    assert_same(weights.states["g_ema"], {n: -v if n.endswith(official.PARAMETERS) else v for n, v in g.items()})
    count = 3 * len(averages)
    assert weights.left_out[:2] == [f"opt_g: {count} tensors", f"opt_d: {count} tensors"]


def test_a_state_dict_of_the_generator(tmp_path, g):
    weights = read_weight_file(write_zip(tmp_path / "g.pth", file_writers.tensors(g)))
    assert_same(weights.states["g_ema"], g)
    assert "d" not in weights.states and "ndf" not in weights.settings


def test_bfloat16(tmp_path, g):
    halves = OrderedDict()
    for name, value in g.items():
        bits = (np.ravel(value).view(np.uint32) >> 16).astype(np.uint16)
        halves[name] = tensor(Storage(bits, "BFloat16Storage"), *whole(value).arguments[1:4])
    weights = read_weight_file(write_zip(tmp_path / "a.pth", {"g": halves}))
    for name, value in g.items():
        np.testing.assert_allclose(weights.states["g_ema"][name].reshape(value.shape), value, rtol=2**-7)


def test_files_that_do_not_fit_are_refused(tmp_path, g, d):
    larger = official.shapes_of_discriminator(512, ndf=8)
    kernel = g["to_big.weight_orig"]
    g_512 = {name.replace("feat_256", "feat_2048"): value for name, value in g.items()}
    cases = [
        ({"g": g, "d": official.random_state(larger)}, "its generator has 256 pixels, its discriminator 512"),
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
        ({"g": g, "g_ema": g | {7: kernel}}, "the number 7 in place of a name"),
    ]
    for i, (state, reason) in enumerate(cases):
        nested = all(isinstance(value, dict) for value in state.values())
        content = {k: file_writers.tensors(v) for k, v in state.items()} if nested else file_writers.tensors(state)
        assert reason in refusal(write_zip(tmp_path / f"{i}.pth", content)), reason


def test_averaged_parameters_that_do_not_fit(tmp_path, g):
    values = [whole(value) for value in official.parameters(g)]
    for content, reason in (
        ({"g": file_writers.tensors(g), "g_ema": values[:-1]}, f"{len(values) - 1} parameters, g has {len(values)}"),
        ({"g": file_writers.tensors(g), "g_ema": values[::-1]}, "shape"),
        ({"g_ema": values}, "g is missing"),
    ):
        assert reason in refusal(write_zip(tmp_path / "all.pth", content))


def test_one_tensor_of_a_small_file_claims_no_large_network(tmp_path, g):
    repeated = tensor(Storage(np.zeros(1, np.float32)), 0, (3, 10**6, 3, 3), (0, 0, 0, 0))
    path = write_zip(tmp_path / "a.pth", {"g": file_writers.tensors(g) | {"to_big.weight_orig": repeated}})
    assert "more numbers than the file has bytes" in refusal(path)


def test_other_tensors_are_counted(tmp_path, g):
    content = {"g": file_writers.tensors(g)} | {f"x{i:02}": whole(np.zeros(2, np.float32)) for i in range(23)}
    left_out = read_weight_file(write_zip(tmp_path / "a.pth", content)).left_out
    assert left_out[0] == "x00: 1 tensors" and left_out[19:21] == ["x19: 1 tensors", "and 3 more"]
    path = write_zip(tmp_path / "a.pth", {"g": {"state_dict": file_writers.tensors(g)}})
    assert f"no generator g of FastGAN, but g/state_dict: {len(g)} tensors" in refusal(path)
