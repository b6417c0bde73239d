"""A StyleGAN2 so small that its step is traced in seconds: 16x16 pixels, 8 channels."""

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
    """Trains in this process as the command line does: (exit code, Run)."""
    words = ["--model", "stylegan2"]
    for name, value in {"dataset": dataset, "checkpoints": checkpoints, **FLAGS, **changes}.items():
        if value is not None:
            words += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    with tiny.in_place():  # for its short scores
        code = run_command("train", words)
    return code, Run(checkpoints / changes.get("run", FLAGS["run"]))


def make_trainer(**changes):
    """The trainer of a new run, which writes nothing until it is trained."""
    images = prepare(ArraySource("pictures", tiny.square_pictures()), resolution=RESOLUTION)
    settings = {**vars(PRESETS["stylegan2"]["auto"]), **FLAGS, **changes}
    return build_trainer(TrainConfig(**settings), images, Run("unused"), log=lambda line: None)
