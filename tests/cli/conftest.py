"""Fixtures of the commands: a run that all of them can read, and commands that succeed or fail."""

import dataclasses
import functools

import numpy as np
import pytest

from gan_tf.cli.main import run_command
from gan_tf.data.prepare import prepare
from gan_tf.data.sources import open_source
from gan_tf.io import image_files
from gan_tf.runs.weights import load_generator
from gan_tf.sampling.generate import images_of_seeds
from tests.export.litert import replace_files, write_packages
from tests.sampling.trained import make_run
from tests.training import tiny

LOG_TO_STDERR = ("evaluate", "inspect", "neighbours", "project", "report")


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """A run of FastGAN with 64x64 pixels and a sample grid of 4x4 images, which no test changes."""
    run = make_run(tmp_path_factory.mktemp("runs") / "run")
    image_files.save_png(run.grid_path(0), np.zeros((256, 256, 3), np.uint8))
    return run


@pytest.fixture(scope="session")
def copying(tmp_path_factory):
    """A run with 14 training images, of which its generator makes the last two, from seeds 3 and 1."""
    folder = tmp_path_factory.mktemp("copying")
    run = make_run(folder / "run")
    [(_, made)] = images_of_seeds(load_generator(run).folded(), [3, 1], 2)
    np.savez(folder / "set.npz", images=np.concatenate([tiny.square_images(), made]))
    config = dataclasses.replace(run.read_settings()[0], dataset=str(folder / "set.npz"))
    images = prepare(open_source(config.dataset), size=(64, 64))
    run.write_settings(config, {"fingerprint": images.fingerprint, "images": len(images), "class_names": []})
    return run


@pytest.fixture
def packages(tmp_path_factory, monkeypatch):
    """A folder for --runtime, with small files in place of LiteRT.js."""
    replace_files(monkeypatch)
    return write_packages(tmp_path_factory.mktemp("packages"))


@pytest.fixture
def output_of(capsys):
    """Function that runs a command, checks its exit code, and returns (standard output, standard error)."""

    def run_to_end(code, command, *arguments):
        capsys.readouterr()
        assert run_command(command, [str(argument) for argument in arguments]) == code
        return capsys.readouterr()

    return run_to_end


@pytest.fixture
def done(output_of):
    """Function that runs a command that succeeds, and returns (standard output, standard error)."""
    return functools.partial(output_of, 0)


@pytest.fixture
def refused(output_of):
    """Function that runs a command that fails, and returns the error: the only line on standard error.

    Commands whose standard output is the result may log lines before the error, and must not have printed a result.
    """

    def error_of(command, *arguments):
        out, err = output_of(2, command, *arguments)
        *logged, line = err.splitlines()
        assert line.startswith("gan-tf: error: ") and "Traceback" not in err
        assert out == "" if command in LOG_TO_STDERR else not logged
        return line.removeprefix("gan-tf: error: ")

    return error_of
