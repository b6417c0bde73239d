"""Fixtures of the commands: a run that all of them can read, and commands that succeed or fail."""

import dataclasses

import numpy as np
import pytest

from gan_tf.cli.main import run_command
from gan_tf.data.prepare import prepare
from gan_tf.data.sources import open_source
from gan_tf.runs.weights import load_generator
from gan_tf.sampling.generate import images_of_seeds
from tests.sampling.trained import make_run
from tests.training import tiny


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """A run of FastGAN with 64x64 pixels, which no test changes."""
    return make_run(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="session")
def copying(tmp_path_factory):
    """A run with 14 training images, of which its generator makes the last two, from seeds 3 and 1."""
    folder = tmp_path_factory.mktemp("copying")
    run = make_run(folder / "run")
    [(_, made)] = images_of_seeds(load_generator(run).folded(), [3, 1], 2)
    np.savez(folder / "set.npz", images=np.concatenate([tiny.square_images(), made]))
    config = dataclasses.replace(run.read_settings()[0], dataset=str(folder / "set.npz"))
    images = prepare(open_source(config.dataset), resolution=64)
    run.write_settings(config, {"fingerprint": images.fingerprint, "images": len(images), "class_names": []})
    return run


@pytest.fixture
def done(capsys):
    """Function that runs a command that succeeds, and returns what it wrote: (standard output, standard error)."""

    def output_of(command, *arguments):
        capsys.readouterr()
        assert run_command(command, [str(argument) for argument in arguments]) == 0
        return capsys.readouterr()

    return output_of


@pytest.fixture
def refused(capsys):
    """Function that runs a command that fails, and returns the error: the last line on standard error."""

    def error_of(command, *arguments):
        capsys.readouterr()
        assert run_command(command, [str(argument) for argument in arguments]) == 2
        line = capsys.readouterr().err.splitlines()[-1]
        assert line.startswith("gan-tf: error: ")
        return line.removeprefix("gan-tf: error: ")

    return error_of
