"""A tiny StyleGAN2 for training tests, 16x16 pixels and 8 channels; its step is traced in seconds."""

import functools

from tests.training import tiny

SIZES = {"latent_size": 8, "w_size": 8, "mapping_layers": 2, "channel_base": 128, "channel_max": 8}
FLAGS = {
    "model": "stylegan2",
    "resolution": 16,
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
trained = functools.partial(tiny.trained, flags=FLAGS)
train = functools.partial(tiny.train, flags=FLAGS)
make_trainer = functools.partial(tiny.make_trainer, flags=FLAGS)
