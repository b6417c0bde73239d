"""A tiny StyleGAN2 for training tests, 16x16 pixels and 8 channels; its step is traced in seconds."""

from gan_tf.cli.main import run_command
from gan_tf.config.presets import PRESETS
from gan_tf.config.settings import TrainConfig
from gan_tf.data.prepare import prepare
from gan_tf.data.sources import ArraySource
from gan_tf.runs.folder import Run
from gan_tf.training.trainer import build_trainer
from tests.training import tiny

RESOLUTION = 16
SIZES = {"latent_size": 8, "w_size": 8, "mapping_layers": 2, "channel_base": 128, "channel_max": 8}
FLAGS = {
    "resolution": RESOLUTION,
    **SIZES,
    "batch_size": 8,
    "total_kimg": 0.16,
    "epoch_images": 80,
    "metric": "swd2k",
    "precision": "float32",
    "run": "styled",
    "keep": 100,
    "augment": "none",
}


def train(dataset, checkpoints, **changes):
    """Runs `gan-tf train` for a tiny StyleGAN2 in this process, and returns (exit code, Run)."""
    flags = {"model": "stylegan2", "dataset": dataset, "checkpoints": checkpoints, **FLAGS, **changes}
    with tiny.in_place():  # for its short scores
        code = run_command("train", tiny.as_arguments(flags))
    return code, Run(checkpoints / changes.get("run", FLAGS["run"]))


def make_trainer(**changes):
    """Returns the Trainer of a new run. It writes nothing."""
    images = prepare(ArraySource("images", tiny.square_images()), resolution=RESOLUTION)
    settings = {**vars(PRESETS["stylegan2"]["auto"]), **FLAGS, **changes}
    return build_trainer(TrainConfig(**settings), images, Run("unused"), log=lambda line: None)
