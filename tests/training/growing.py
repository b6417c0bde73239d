"""A tiny Progressive GAN for training tests; every level is traced in a second or two.

It has stages of 40 images in batches of 4: 4x4, 8x8 fading in from image 40, 8x8 from 80, 16x16 fading in from 120,
16x16 from 160.
"""

import functools

from tests.training import tiny

FLAGS = {
    "model": "pggan",
    "resolution": 16,
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
arguments = functools.partial(tiny.arguments, flags=FLAGS)
train = functools.partial(tiny.train, flags=FLAGS)
trained = functools.partial(tiny.trained, flags=FLAGS)
make_trainer = functools.partial(tiny.make_trainer, flags=FLAGS)
