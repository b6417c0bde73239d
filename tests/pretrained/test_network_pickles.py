"""Networks pickled by NVIDIA's programs: their arrays and arguments, and the refusal of hostile and damaged files."""

import functools
import os
import pickle
import tracemalloc

import numpy as np
import pytest

from gan_tf.pretrained.network_pickles import read_network_pickle
from tests.convert.file_writers import (
    LOAD,
    EasyDict,
    Module,
    TfNetwork,
    buffer,
    parameter,
    write_pytorch,
    write_tensorflow,
)
from tests.pretrained import torch_format
from tests.pretrained.torch_format import Call, Storage, legacy_bytes, tensor

NUMBERS = np.arange(12, dtype=np.float32).reshape(3, 4)
refusal = functools.partial(torch_format.refusal, read_network_pickle)
PROTOCOLS = pytest.mark.parametrize("protocol", [3, 4])


def stylegan():
    """A generator as StyleGAN2-ADA's TensorFlow program pickles it: two networks in one."""
    mapping = TfNetwork("G_mapping", {"Dense0/weight": NUMBERS, "Dense0/bias": NUMBERS[0]}, {"mapping_layers": 8}, {})
    synthesis = TfNetwork("G_synthesis", {"4x4/Const/const": NUMBERS[None]}, {"resolution": 8}, {})
    arguments = {"latent_size": 4, "resample_kernel": [1, 3, 3, 1], "fmap_base": np.int64(8), "conv_clamp": None}
    components = {"synthesis": synthesis, "mapping": mapping}
    return TfNetwork("G_main", {"dlatent_avg": NUMBERS[0], "lod": np.float32(0.5)}, arguments, components)


def module():
    """A generator as StyleGAN2-ADA's PyTorch program pickles it."""
    block = Module("SynthesisBlock", {"const": parameter(NUMBERS)}, {"resample_filter": buffer(NUMBERS.T)})
    parts = {"synthesis": Module("SynthesisNetwork", parts={"b4": block})}
    kwargs = EasyDict(channel_base=16, resample_filter=[1, 3, 3, 1])
    return Module("Generator", {"bias": None}, {"w_avg": buffer(NUMBERS[0])}, parts, z_dim=4, s=kwargs)


def assert_arrays(network, want):
    assert set(network.arrays) == set(want)
    for name, value in want.items():
        np.testing.assert_array_equal(network.arrays[name], value, strict=True)


@PROTOCOLS
def test_tensorflow_networks_in_networks(tmp_path, protocol):
    path = write_tensorflow(tmp_path / "a.pkl", (stylegan(), stylegan(), stylegan()), "dnnlib.tflib.network", protocol)
    networks, others = read_network_pickle(path)
    assert list(networks) == ["G", "D", "G_ema"] and others == []
    g = networks["G_ema"]
    assert (g.form, g.name) == ("TensorFlow", "G_main")
    assert g.arguments == {"latent_size": 4, "resample_kernel": [1, 3, 3, 1], "fmap_base": 8, "conv_clamp": None}
    want = {"dlatent_avg": NUMBERS[0], "lod": np.float32(0.5), "mapping/Dense0/weight": NUMBERS}
    assert_arrays(g, want | {"mapping/Dense0/bias": NUMBERS[0], "synthesis/4x4/Const/const": NUMBERS[None]})


@PROTOCOLS
def test_pytorch_modules_in_modules(tmp_path, protocol):
    content = {"G": module(), "D": module(), "G_ema": module(), "augment_pipe": Module("AugmentPipe"), "progress": None}
    networks, others = read_network_pickle(write_pytorch(tmp_path / "a.pkl", content, protocol))
    assert list(networks) == ["G", "D", "G_ema"] and others == ["augment_pipe"]
    g = networks["G_ema"]
    assert (g.form, g.name) == ("PyTorch", "Generator")
    assert g.arguments == {"z_dim": 4, "s": {"channel_base": 16, "resample_filter": [1, 3, 3, 1]}}
    want = {"w_avg": NUMBERS[0], "synthesis.b4.const": NUMBERS, "synthesis.b4.resample_filter": NUMBERS.T}
    assert_arrays(g, want)


@pytest.mark.parametrize("kind", [">f4", "<f8", "<f2", "|u1", ">i8"])
def test_types_and_byte_orders(tmp_path, kind):
    values = NUMBERS.astype(kind)
    network = TfNetwork("G", {"rows": values, "columns": np.asfortranarray(values)}, {})
    g = read_network_pickle(write_tensorflow(tmp_path / "a.pkl", network))[0]["G_ema"]
    assert_arrays(g, dict.fromkeys(("rows", "columns"), values.astype(values.dtype.newbyteorder("="))))


def test_no_command_in_a_pickle_runs(tmp_path):
    marker = tmp_path / "was-run"
    hostile = Call(os.system, f"touch {marker}")
    for protocol in range(5):
        (tmp_path / f"{protocol}.pkl").write_bytes(pickle.dumps(hostile, protocol))
    (tmp_path / "tuple.pkl").write_bytes(pickle.dumps((hostile, hostile, hostile)))
    (tmp_path / "text.pkl").write_bytes(f"cos\nsystem\n(S'touch {marker}'\ntR.".encode())
    write_tensorflow(tmp_path / "tensorflow.pkl", TfNetwork("G", {"w": hostile}, {}))
    write_tensorflow(tmp_path / "arguments.pkl", TfNetwork("G", {}, {"x": hostile}))
    write_pytorch(tmp_path / "pytorch.pkl", {"G_ema": Module("G", {"w": hostile})})
    for path in sorted(tmp_path.glob("*.pkl")):
        assert "system, which weights do not need" in refusal(path)
    assert not marker.exists()
    pickle.loads((tmp_path / "4.pkl").read_bytes())  # the check of this test: pickle itself runs it
    assert marker.exists()


def test_a_truncated_file(tmp_path):
    content = write_tensorflow(tmp_path / "a.pkl", (stylegan(),) * 3, "dnnlib.tflib.network").read_bytes()
    for length in (0, 1, 10, len(content) // 2, len(content) - 1):
        (tmp_path / "b.pkl").write_bytes(content[:length])
        assert "damaged, incomplete or no pickle of networks" in refusal(tmp_path / "b.pkl")


def test_content_without_networks(tmp_path):
    for content in ([1, 2], {"a": 1}, (1, 2, 3), 5, (1, 2), {"G_ema": {"variables": []}}):
        (tmp_path / "a.pkl").write_bytes(pickle.dumps(content))
        refusal(tmp_path / "a.pkl")


def test_variables_that_are_no_arrays(tmp_path):
    for value in ([1.0], np.array([1 + 2j]), np.array(["text"]), np.array([object()], object)):
        refusal(write_tensorflow(tmp_path / "a.pkl", TfNetwork("G", {"w": value}, {})))


def test_a_network_within_itself(tmp_path):
    network = TfNetwork("G", {}, {}, {})
    network.state["components"] |= {"a": network, "b": network}
    refusal(write_tensorflow(tmp_path / "a.pkl", network))
    arguments = []
    arguments.append(arguments)
    refusal(write_tensorflow(tmp_path / "a.pkl", TfNetwork("G", {}, {"x": arguments})))


def test_an_array_that_is_named_many_times_takes_memory_once(tmp_path):
    numbers = np.zeros(10_000, ">f4")
    network = TfNetwork("G", {f"w{i}": numbers for i in range(100)}, {})
    tracemalloc.start()
    assert "more numbers than the file has bytes" in refusal(write_tensorflow(tmp_path / "a.pkl", network))
    halves = legacy_bytes(Storage(np.zeros(100_000, np.uint16), "BFloat16Storage"))
    views = {f"w{i}": tensor(Call(LOAD, halves), 0, (10,), (1,)) for i in range(200)}
    [g] = read_network_pickle(write_pytorch(tmp_path / "b.pkl", {"G_ema": Module("G", {}, views)}))[0].values()
    assert tracemalloc.get_traced_memory()[1] < 4e6
    tracemalloc.stop()
    assert all(np.shares_memory(g.arrays["w0"], array) for array in g.arrays.values())


@pytest.mark.slow
@PROTOCOLS
def test_modules_with_tensors_written_by_pickle(torch, tmp_path, protocol):
    """As in StyleGAN2-ADA's pickles: PyTorch's tensors in persistent objects."""
    const, grid = torch.randn(4, 3), torch.arange(24.0).reshape(2, 3, 4).transpose(0, 2)
    layer = Module("SynthesisLayer", {"weight": torch.nn.Parameter(const)}, {"noise": grid})
    scalar, half = torch.tensor(0.5), torch.randn(3).half()
    g = Module("Generator", {}, {"w_avg": scalar, "half": half}, {"b4": layer}, z_dim=4)
    network = read_network_pickle(write_pytorch(tmp_path / "a.pkl", {"G_ema": g}, protocol))[0]["G_ema"]
    want = {"w_avg": scalar, "half": half, "b4.weight": const, "b4.noise": grid}
    assert set(network.arrays) == set(want) and network.arguments == {"z_dim": 4}
    for name, value in want.items():
        np.testing.assert_array_equal(network.arrays[name], value.numpy(), strict=True)
