"""A tiny Progressive GAN for training tests; every level is traced in a second or two.

It has stages of 40 images in batches of 4: 4x4, 8x8 fading in from image 40, 8x8 from 80, 16x16 fading in from 120,
16x16 from 160.
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
    """Command-line arguments of a growing run."""
    return tiny.as_arguments(
        {"preset": "celebahq-256", "dataset": dataset, "checkpoints": checkpoints, **FLAGS, **changes}
    )


def train(dataset, checkpoints, **changes):
    """Runs `gan-tf train` for a growing run in this process, and returns (exit code, Run)."""
    with tiny.in_place():  # for its short scores
        code = run_command("train", arguments(dataset, checkpoints, **changes))
    return code, Run(checkpoints / changes.get("run", FLAGS["run"]))


def make_trainer(log=lambda line: None, **changes):
    """Returns the Trainer of a new run, in its first stage. It writes nothing."""
    image_set = prepare(ArraySource("images", tiny.square_images()), resolution=RESOLUTION)
    settings = {**vars(PRESETS["pggan"]["celebahq-256"]), **FLAGS, **changes}
    return build_trainer(TrainConfig(**settings), image_set, Run("unused"), log=log)
