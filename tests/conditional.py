"""Writes runs of conditional networks without training; images of different classes differ."""

import numpy as np
import tensorflow as tf
from PIL import Image

from gan_tf import rng
from gan_tf.config.presets import PRESETS
from gan_tf.config.settings import TrainConfig
from gan_tf.models import FAMILIES
from gan_tf.models.variables import named_variables
from gan_tf.training import recipes
from gan_tf.training import state as states
from tests.sampling.trained import BEST_META, write_run
from tests.training.tiny import square_images

NAMES, COUNTS = ["cat", "dog", "7"], [1, 2, 9]
SEEN = 12_000
CONTRAST = 40.0  # of FastGAN's images, which are grey without training
SIZES = {
    "fastgan": {"resolution": 64, "ngf": 8, "ndf": 8, "latent_size": 16},
    "pggan": {"resolution": 16, "fmap_base": 64, "fmap_max": 16, "latent_size": 8},
    "stylegan2": {
        "resolution": 16,
        "latent_size": 16,
        "w_size": 16,
        "mapping_layers": 2,
        "channel_base": 128,
        "channel_max": 16,
    },
}


def settings(model, **changes):
    """Returns the settings of a small conditional run."""
    preset = next(iter(PRESETS[model].values()))
    given = {"dataset": "none", "conditional": True, "classes": len(NAMES), **SIZES[model], **changes}
    return TrainConfig(**{**vars(preset), **given})


def make_run(folder, model="fastgan", **changes):
    """Writes a run with best weights and a checkpoint, and returns it."""
    config, family = settings(model, **changes), FAMILIES[model]
    g, d, g_ema = (build(config, "float32") for build in (family.generator, family.discriminator, family.generator))
    ready(g)
    state = states.create_state(g, d, g_ema, config, recipes.RECIPES[model])
    names, counts = (NAMES, COUNTS) if config.classes else ([], [])
    data = {"images": sum(COUNTS), "class_names": names, "class_counts": counts}
    run = write_run(folder, config, g_ema, {**BEST_META, "images_seen": SEEN}, **data)
    state.images_seen.assign(SEEN)
    states.save_state(state, run, keep=5)
    return run


def ready(g):
    """Gives an untrained generator images with values across [-1, 1]."""
    if hasattr(g, "growth"):
        g.growth.assign(g.levels)
    draws = rng.Draws(0, tf.constant(0, tf.int64), 8)
    if hasattr(g, "stem_norm"):  # FastGAN's batch norm updates its statistics in training calls
        labels = None if not g.classes else draws.integers("classes", (), 0, g.classes)
        for i in range(10):
            latents = draws.normal(f"latents/{i}", (g.latent_size,))
            g(latents, labels, noise=draws.noise("noise", g.noise_shapes), training=True)
        g.blocks[-1].norm.gamma.assign(CONTRAST * g.blocks[-1].norm.gamma)
    if hasattr(g, "mapping"):  # the mean w moves in training, and noise starts without effect
        latents, labels = rng.latents_of_seeds(range(512), g.latent_size), np.arange(512) % max(1, g.classes)
        g.mapping.average.assign(tf.reduce_mean(g.mapping(latents, labels)[:, 0], axis=0))
        for name, variable in named_variables(g).items():
            if name.endswith("noise_strength"):
                variable.assign(0.05)


def class_folders(folder, counts=(8, 6)):
    """Writes smooth images in a folder for each class, one dark and one bright; returns the folder."""
    for number, (name, count) in enumerate(zip(NAMES, counts, strict=False)):
        (folder / name).mkdir(parents=True)
        for i, pixels in enumerate(square_images(count, seed=number)):
            Image.fromarray((pixels // 2 + 120 * number).astype(np.uint8)).save(folder / name / f"{i}.png")
    return folder
