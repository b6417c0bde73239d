"""Checkpoints written by PyTorch, converted without it, compared with arrays of the official networks.

Needs the extra `parity`, and the folder in GAN_TF_REFERENCE.
"""

from collections import OrderedDict

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.cli.main import run_command
from gan_tf.convert.fastgan import BUFFERS
from gan_tf.models import FAMILIES
from gan_tf.models.variables import load_weights
from gan_tf.pretrained.network_pickles import read_network_pickle
from gan_tf.runs.folder import Run
from gan_tf.runs.weights import load_generator, newest_networks
from tests.convert.file_writers import Module, write_pytorch
from tests.parity.fastgan import discriminate
from tests.parity.report import channels_first, channels_last, read_arrays, relative_l2
from tests.parity.test_parity import reference

pytestmark = pytest.mark.slow
BOUND = 1e-4  # relative L2, as in tests.parity.fastgan


@pytest.fixture(scope="module")
def arrays():
    """fastgan_a.npz: official state dicts, and outputs of the official networks."""
    return read_arrays(reference("fastgan"))


def averages(state):
    """g_ema as the official program saves it: a list of the parameters."""
    return [value.clone() for name, value in state.items() if not name.endswith(BUFFERS)]


def stepped(torch, parameters):
    """The state dict of Adam after a step."""
    parameters = [torch.nn.Parameter(value.clone()) for value in parameters]
    optimizer = torch.optim.Adam(parameters, lr=2e-4, betas=(0.5, 0.999))
    sum((value**2).sum() for value in parameters).backward()
    optimizer.step()
    return optimizer.state_dict()


@pytest.mark.parametrize("new", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("kind", ["N.pth", "module.", "all_N.pth", "generator"])
def test_images_are_those_of_the_official_networks(torch, arrays, tmp_path, kind, new):
    prefix = "module." if kind == "module." else ""
    g, d = (
        OrderedDict((prefix + name, torch.tensor(value)) for name, value in arrays.group(f"{player}/").items())
        for player in "gd"
    )
    content = g if kind == "generator" else {"g": g, "d": d}
    if kind == "all_N.pth":
        content["g_ema"] = averages(g)
        content |= {"opt_g": stepped(torch, content["g_ema"]), "opt_d": stepped(torch, averages(d))}
        content["g"] = OrderedDict((name, value if name.endswith(BUFFERS) else -value) for name, value in g.items())
    torch.save(content, tmp_path / "10.pth", _use_new_zipfile_serialization=new)
    assert run_command("convert", [str(tmp_path / "10.pth"), str(tmp_path / "run")]) == 0

    trained = load_generator(Run(tmp_path / "run"))
    fakes = trained.generator(tf.constant(arrays["z"]), training=True)
    for got, name in zip(fakes, ("train/fake_big", "train/fake_128"), strict=True):
        assert relative_l2(channels_first(got), arrays[name]) < BOUND
    if kind != "generator":
        networks, _, where = newest_networks(Run(tmp_path / "run"), ["d"])
        critic = FAMILIES["fastgan"].discriminator(trained.config, "float32")
        load_weights(critic, networks["d"], where)
        _, outputs = discriminate(critic, channels_last(arrays["real"]), fakes)
        for name in ("pred_real", "pred_fake", "rec_big", "rec_small", "rec_part"):
            assert relative_l2(outputs[name], arrays[f"train/{name}"]) < BOUND


@pytest.mark.parametrize("protocol", [3, 4])
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
