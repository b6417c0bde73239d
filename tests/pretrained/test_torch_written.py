"""Files written by PyTorch, read without it. Needs the extra `parity`."""

import numpy as np
import pytest

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


def test_layouts_types_and_modules(torch, save):
    base, values = torch.randn(6, 5, 4), torch.tensor([0.0, 1.0, 2.7, 3e-4, 200.0])
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.Linear(8, 2))
    state = network.state_dict()
    assert "_metadata" in vars(state) and state["1.num_batches_tracked"].dtype == torch.int64
    state |= {
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
        "int8": torch.tensor([-3, 4], dtype=torch.int8),
    }
    types = ["float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "uint8", "bool"]
    state |= {name: values.to(getattr(torch, name)) for name in types}
    got = read_state_dict(save(state))
    assert list(got) == list(state)
    for name, value in state.items():
        value = value.detach().float() if value.dtype == torch.bfloat16 else value.detach()
        np.testing.assert_array_equal(got[name], value.numpy(), strict=True, err_msg=name)
    assert np.shares_memory(got["contiguous"], got["tied"]) and np.shares_memory(got["contiguous"], got["transposed"])
