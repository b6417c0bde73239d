"""Runs that begin with StyleGAN2 networks, converted from a file or published under a name."""

import numpy as np
import pytest

from gan_tf.cli.main import run_command
from gan_tf.cli.train import prepare_published_networks
from gan_tf.errors import UsageError
from gan_tf.io.files import sha256_of
from gan_tf.models.stylegan2 import StyleGan2Discriminator, StyleGan2Generator
from gan_tf.pretrained import downloads, published_networks
from gan_tf.runs.folder import Run
from tests.convert import file_writers as official
from tests.convert.states import built, random_state
from tests.training import tiny

OFFICIAL_SIZES = {"resolution": 16, "base": 128, "most": 8}
FLAGS = {"model": "stylegan2", "total_kimg": 0.008, "freeze_d": 1, "eval_every": 1000}


def write_official(path, seed=0):
    """Writes a pickle in the sizes of tiny runs, with small random weights, so that a step changes little."""
    sizes = tiny.SIZES["stylegan2"]
    g = built(StyleGan2Generator, sizes)
    d = built(StyleGan2Discriminator, {name: sizes[name] for name in ("resolution", "channel_base", "channel_max")})
    states = [random_state(network, seed) for network in (g, d)]
    for state in states:
        state.update({name: value * np.float32(0.2) for name, value in state.items() if "filter" not in name})
    g_arguments = official.generator_arguments(**OFFICIAL_SIZES, size=8)
    return official.write_ada(path, *states, None, g_arguments, official.discriminator_arguments(**OFFICIAL_SIZES))


@pytest.mark.slow
def test_a_converted_run_is_fine_tuned(dataset, tmp_path):
    path = write_official(tmp_path / "network.pkl")
    converted = Run(tmp_path / "converted")
    assert run_command("convert", [str(path), str(converted.folder)]) == 0
    run = tiny.trained(dataset, tmp_path, init_from=converted.folder, **FLAGS)
    first, end = tiny.networks(run, 0), tiny.networks(run, 8)
    tiny.assert_equal(first, tiny.networks(converted, 0))
    unchanged = {name for name in first if name.startswith("d/") and np.array_equal(first[name], end[name])}
    assert {name.split("/")[1] for name in unchanged} == {"from_rgb"}
    assert not np.array_equal(first["g/synthesis/convs/0/kernel"], end["g/synthesis/convs/0/kernel"])


@pytest.mark.slow
def test_a_published_network_is_placed_by_hand_and_converted_once(dataset, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("GAN_TF_CACHE", str(tmp_path / "cache"))
    flags = {**FLAGS, "init_from": "ffhq256", "offline": True, "freeze_d": None, "run": "a"}
    code, _ = tiny.train(dataset, tmp_path, **flags)
    [error] = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    source = published_networks.SOURCES["ffhq256"]
    assert code == 2 and "--offline" in error and source.url in error and "296 MB" in error
    path = tmp_path / "cache" / "pretrained" / source.name
    path.parent.mkdir(parents=True, exist_ok=True)
    write_official(path)
    run = tiny.trained(dataset, tmp_path, **flags)
    output = capsys.readouterr().out
    assert "NVIDIA Source Code License" in output and "SHA-256" in output
    assert downloads.read_checksums(downloads.checksums_path()) == {source.name: sha256_of(path)}
    assert run.read_settings()[0].init_from == "ffhq256"
    converted = Run(published_networks.folder_of("ffhq256"))
    tiny.assert_equal(tiny.networks(run, 0), tiny.networks(converted, 0))

    path.unlink()  # no longer needed
    assert published_networks.folder_of("ffhq256").is_dir()
    assert str(published_networks.folder_of("./ffhq256")) == "ffhq256"  # a folder, not a name
    write_official(path, seed=5)
    with pytest.raises(UsageError, match="delete the file"):
        published_networks.obtain_source("ffhq256", offline=True, log=lambda line: None)


def test_a_wrong_download_is_refused_and_can_be_replaced(tmp_path, monkeypatch):
    monkeypatch.setenv("GAN_TF_CACHE", str(tmp_path))
    path = tmp_path / "pretrained" / published_networks.SOURCES["ffhq256"].name
    path.parent.mkdir()
    path.write_text("<html>Not found</html>")
    with pytest.raises(UsageError, match=f"{path}.*delete {path}"):
        prepare_published_networks("ffhq256", offline=True, log=lambda line: None)
    assert not downloads.checksums_path().exists() and not published_networks.folder_of("ffhq256").exists()
    path.unlink()
    write_official(path)
    prepare_published_networks("ffhq256", offline=True, log=lambda line: None)
    assert published_networks.folder_of("ffhq256").is_dir()
