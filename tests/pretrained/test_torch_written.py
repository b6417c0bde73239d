"""Files written by PyTorch, read without it. Needs the extra `parity`."""

import numpy as np
import pytest

from gan_tf.errors import UsageError
from gan_tf.pretrained.torch_files import read_state_dict

pytestmark = pytest.mark.slow


@pytest.fixture(params=["zip", "legacy", "zip, protocol 4"])
def save(torch, tmp_path, request):
    """Function that saves a state and returns its path."""
    options = {"_use_new_zipfile_serialization": request.param != "legacy"}
    options |= {"pickle_protocol": 4} if request.param.endswith("4") else {}

    def write(state):
        torch.save(state, tmp_path / "state.pth", **options)
        return tmp_path / "state.pth"

    return write


def assert_same(got, state, torch):
    assert list(got) == list(state)
    for name, value in state.items():
        value = value.detach()
        value = value.float() if value.dtype == torch.bfloat16 else value
        np.testing.assert_array_equal(got[name], value.numpy(), strict=True, err_msg=name)


def test_layouts(torch, save):
    base = torch.randn(6, 5, 4)
    state = {
        "contiguous": base,
        "transposed": base.transpose(0, 2),
        "sliced": base[1:5:2, :, 1],
        "tail": base[-1:],
        "expanded": torch.randn(3, 1).expand(3, 4),
        "channels_last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 3),
        "parameter": torch.nn.Parameter(base[0].t()),
        "tied": base,
    }
    got = read_state_dict(save(state))
    assert_same(got, state, torch)
    assert np.shares_memory(got["contiguous"], got["tied"]) and np.shares_memory(got["contiguous"], got["transposed"])


def test_types(torch, save):
    values = torch.tensor([0.0, 1.0, -2.7, 3e-4, 200.0])
    types = ["float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "uint8", "bool"]
    assert_same(
        read_state_dict(save(state := {name: values.abs().to(getattr(torch, name)) for name in types})), state, torch
    )
    assert_same(read_state_dict(save(state := {"int8": values[:4].to(torch.int8)})), state, torch)


def test_module_with_counters(torch, save):
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.Linear(8, 2))
    state = network.state_dict()
    assert "_metadata" in vars(state) and state["1.num_batches_tracked"].dtype == torch.int64
    assert_same(read_state_dict(save(state)), state, torch)


def test_whole_modules_and_optimisers_are_refused_by_name(torch, save):
    network = torch.nn.Linear(2, 2)
    with pytest.raises(UsageError, match=r"asks for torch\.nn\.modules\.linear\.Linear"):
        read_state_dict(save(network))
    with pytest.raises(UsageError, match="no state dict"):
        read_state_dict(save(torch.optim.Adam(network.parameters()).state_dict()))
    with pytest.raises(UsageError, match="conjugated"):
        read_state_dict(save({"x": torch._neg_view(torch.ones(3))}))
    with pytest.raises(UsageError, match="ComplexFloatStorage"):
        read_state_dict(save({"x": torch.ones(3, dtype=torch.complex64)}))


def test_many_tensors(torch, save):
    state = {f"layer.{i}.weight": torch.randn(4, 3) for i in range(3000)}
    assert_same(read_state_dict(save(state)), state, torch)
