"""A Progressive GAN so small that every level is traced in a second or two, for tests of training that grows.

Phases of 40 images, four to a step: 4x4, 8x8 fading in from image 40, 8x8, 16x16 fading in from 120, 16x16 from 160.
"""

from gan_tf.cli.main import run_command
from gan_tf.config.presets import PRESETS
from gan_tf.config.settings import TrainConfig
from gan_tf.data.prepare import prepare
from gan_tf.data.sources import ArraySource
from gan_tf.runs.folder import Run
from gan_tf.training.trainer import build_trainer
from tests.training import tiny

RESOLUTION = 16
FLAGS = {
    "resolution": RESOLUTION,
    "fmap_base": 32,
    "fmap_max": 8,
    "latent_size": 8,
    "phase_batch": "4",
    "fade_kimg": 0.04,
    "stabilise_kimg": 0.04,
    "total_kimg": 0.2,
    "epoch_images": 40,
    "metric": "swd2k",
    "precision": "float32",
    "run": "growing",
    "keep": 100,
}


def arguments(dataset, checkpoints, **changes):
    """The command line of a growing run."""
    own = {"preset": "celebahq-256", "dataset": dataset, "checkpoints": checkpoints, **FLAGS, **changes}
    words = []
    for name, value in own.items():
        if value is not None:
            words += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    return words


def train(dataset, checkpoints, **changes):
    """Trains in this process as the command line does: (exit code, Run)."""
    with tiny.in_place():  # for its short scores
        code = run_command("train", arguments(dataset, checkpoints, **changes))
    return code, Run(checkpoints / changes.get("run", FLAGS["run"]))


def make_trainer(log=lambda line: None, **changes):
    """The trainer of a new run, which writes nothing until it is trained; its stage is the first."""
    image_set = prepare(ArraySource("pictures", tiny.square_pictures()), resolution=RESOLUTION)
    settings = {**vars(PRESETS["pggan"]["celebahq-256"]), **FLAGS, **changes}
    return build_trainer(TrainConfig(**settings), image_set, Run("unused"), log=log)
