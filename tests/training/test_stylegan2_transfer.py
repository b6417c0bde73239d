"""Runs that begin with converted networks of StyleGAN2, of a file or of a known name."""

import numpy as np
import pytest

from gan_tf.cli.main import run_command
from gan_tf.cli.train import prepare_published_networks
from gan_tf.errors import UsageError
from gan_tf.io.files import sha256_of
from gan_tf.models.stylegan2 import Discriminator, Generator
from gan_tf.pretrained import downloads, published_networks
from gan_tf.runs.folder import Run
from tests.convert import official_stylegan2 as official
from tests.convert.states import built, random_state
from tests.training import styled
from tests.training.test_init_from import assert_equal, networks_of
from tests.training.tiny import images_file

OWN = {"resolution": 16, "base": 128, "most": 8}
FLAGS = {"total_kimg": 0.008, "freeze_d": 1, "eval_every": 1000, "final_score": None}


def write_official(path, seed=0):
    """A pickle of the sizes of `styled`. Its weights are a fifth of random ones, so that a step is a tame one."""
    sizes = {name: styled.SIZES[name] for name in ("channel_base", "channel_max")} | {"resolution": 16}
    g = built(Generator, styled.SIZES | {"resolution": 16})
    d = built(Discriminator, sizes)
    states = [random_state(network, seed) for network in (g, d)]
    states = [
        {name: value if "filter" in name else value * np.float32(0.2) for name, value in state.items()}
        for state in states
    ]
    g_arguments, d_arguments = official.generator_arguments(**OWN, size=8), official.discriminator_arguments(**OWN)
    return official.write(path, *states, None, g_arguments, d_arguments)


@pytest.mark.slow
def test_a_converted_run_is_one_to_fine_tune(tmp_path):
    path = write_official(tmp_path / "network.pkl")
    converted = Run(tmp_path / "converted")
    assert run_command("convert", [str(path), str(converted.folder)]) == 0
    code, run = styled.train(images_file(tmp_path), tmp_path, init_from=converted.folder, **FLAGS)
    assert code == 0
    begun, end = networks_of(run, 0), networks_of(run, 8)
    assert_equal(begun, networks_of(converted, 0))
    still = {name for name in begun if name.startswith("d/") and np.array_equal(begun[name], end[name])}
    assert {name.split("/")[1] for name in still} == {"from_rgb"}
    assert not np.array_equal(begun["g/synthesis/convs/0/kernel"], end["g/synthesis/convs/0/kernel"])


@pytest.mark.slow
def test_a_known_name_is_fetched_by_hand_converted_once_and_recorded(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("GAN_TF_CACHE", str(tmp_path / "cache"))
    data, flags = images_file(tmp_path), {**FLAGS, "init_from": "ffhq256", "offline": True, "freeze_d": None}
    code, _ = styled.train(data, tmp_path, **flags, run="a")
    [line] = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    source = published_networks.SOURCES["ffhq256"]
    assert code == 2 and "--offline forbids fetching" in line and source.url in line and "296 MB" in line
    place = tmp_path / "cache" / "pretrained" / source.name
    place.parent.mkdir(parents=True, exist_ok=True)
    write_official(place)
    code, run = styled.train(data, tmp_path, **flags, run="a")
    said = capsys.readouterr().out
    assert code == 0
    assert "NVIDIA Source Code License, which allows non-commercial use only" in said
    assert "recorded its SHA-256" in said
    assert downloads.read_checksums(downloads.checksums_path()) == {source.name: sha256_of(place)}
    assert run.read_settings()[0].init_from == "ffhq256"
    converted = Run(published_networks.folder_of("ffhq256"))
    assert_equal(networks_of(run, 0), networks_of(converted, 0))

    place.unlink()  # no longer needed
    assert published_networks.folder_of("ffhq256").is_dir()
    write_official(place, seed=5)
    with pytest.raises(UsageError, match="is recorded: delete the file"):
        published_networks.obtain_source("ffhq256", offline=True, log=lambda line: None)


def test_a_wrong_download_does_not_stay(tmp_path, monkeypatch):
    monkeypatch.setenv("GAN_TF_CACHE", str(tmp_path))
    place = tmp_path / "pretrained" / published_networks.SOURCES["ffhq256"].name
    place.parent.mkdir()
    place.write_text("<html>Not found</html>")
    with pytest.raises(UsageError) as caught:
        prepare_published_networks("ffhq256", offline=True, log=lambda line: None)
    assert str(caught.value).endswith(f"delete {place}, so that it is fetched again")
    assert str(caught.value).startswith(f"{place} is damaged")
    assert not downloads.checksums_path().exists() and not published_networks.folder_of("ffhq256").exists()
    place.unlink()
    write_official(place)
    prepare_published_networks("ffhq256", offline=True, log=lambda line: None)
    assert published_networks.folder_of("ffhq256").is_dir()


def test_known_names_are_the_official_ones():
    assert list(published_networks.SOURCES) == ["ffhq256", "ffhq512", "ffhq1024", "celebahq256", "lsundog256"]
    for source in published_networks.SOURCES.values():
        assert source.url == published_networks.SITE + source.name
    assert str(published_networks.folder_of("./ffhq256")) == "ffhq256"
