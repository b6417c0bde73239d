"""A StyleGAN2 so small that its step is traced in seconds: 16x16 pixels, 8 channels."""

import numpy as np
import tensorflow as tf

from gan_tf.cli.main import run_command
from gan_tf.config.presets import PRESETS
from gan_tf.config.settings import TrainConfig
from gan_tf.data.prepare import prepare
from gan_tf.data.sources import ArraySource
from gan_tf.runs.folder import Run
from gan_tf.training import setup
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


def build_job(**changes):
    """A fresh job, which writes nothing until it is trained."""
    images = prepare(ArraySource("pictures", tiny.square_pictures()), resolution=RESOLUTION)
    settings = {**vars(PRESETS["stylegan2"]["auto"]), **FLAGS, **changes}
    return setup.build_job(TrainConfig(**settings), images, Run("unused"), log=lambda line: None)


def take_steps(job, count, seen=0):
    """Takes so many steps from image `seen` on: their statistics float32 [count, K]."""
    compiled, iterator, found = job.steps(seen)[0], job.batches(seen), []
    for i in range(count):
        compiled(iterator, tf.constant(1), tf.constant(seen + i * job.stage.batch_size, tf.int64))
        found.append(job.state.tally.numpy()[:-1])
        job.state.tally.assign(tf.zeros_like(job.state.tally))
    return np.stack(found)
