"""Run folders and generators for tests, made without training.

The images of `trained_...` generators have contrast, visible noise and many values.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from gan_tf import rng
from gan_tf.config.presets import PRESETS
from gan_tf.config.settings import TrainConfig
from gan_tf.metrics.score import Score
from gan_tf.models import FAMILIES
from gan_tf.models.variables import named_variables
from gan_tf.runs.folder import Run
from gan_tf.runs.weights import TrainedGenerator
from gan_tf.training import state as states
from gan_tf.training.recipes import fastgan

CONFIG = TrainConfig(dataset="none", resolution=64, ngf=8, ndf=8, latent_size=16)
BEST_AT, FIRST, SECOND = 500, 1000, 2000  # images seen
BEST_META = {"score": {"name": "swd2k", "value": 1.0}, "images_seen": BEST_AT}


def make_run(folder):
    """Writes a run of FastGAN with two checkpoints and best weights that differ, and returns it."""
    family = FAMILIES[CONFIG.model]
    builders = (family.generator, family.discriminator, family.generator)
    g, d, g_ema = (build(CONFIG, "float32") for build in builders)
    state = states.create_state(g, d, g_ema, CONFIG, fastgan.RECIPE)
    mark(state.g_ema, BEST_AT)
    run = write_run(folder, CONFIG, state.g_ema)
    for seen in (FIRST, SECOND):
        state.images_seen.assign(seen)
        mark(state.g_ema, seen)
        states.save_state(state, run, keep=5)
    return run


def make_growing(folder, growth=2.0):
    """Writes a run of Progressive GAN that has grown to 4 * 2**growth of 16 pixels, with best weights only."""
    config = TrainConfig(dataset="none", model="pggan", resolution=16, fmap_base=32, fmap_max=8, latent_size=8)
    g = FAMILIES["pggan"].generator(config, "float32")
    g.growth.assign(growth)
    return write_run(folder, config, g)


def write_run(folder, config, g, meta=BEST_META, **data):
    """Writes a run whose best weights are those of `g`, with the metadata `meta`, and returns it."""
    run = Run(folder)
    run.create()
    run.write_settings(config, {"fingerprint": "0" * 64, "images": 3, "class_names": [], **data})
    weights = {path: variable.numpy() for path, variable in named_variables(g).items()}
    run.replace_best(weights, meta)
    run.close()
    return run


def styled_config(**changes):
    """Returns the TrainConfig of a small StyleGAN2."""
    sizes = {"resolution": 16, "channel_base": 128, "channel_max": 16, "latent_size": 8, "w_size": 12}
    preset = vars(PRESETS["stylegan2"]["stylegan2"])
    return TrainConfig(**{**preset, "dataset": "none", "mapping_layers": 2, **sizes, **changes})


def styled(config, noise=0.05):
    """Returns a generator of StyleGAN2 with a mean w, biases and noise strength as after training."""
    g = FAMILIES["stylegan2"].generator(config, "float32")
    for i, (name, variable) in enumerate(named_variables(g).items()):
        if name.endswith("noise_strength"):
            variable.assign(noise)
        elif name.endswith("bias"):
            variable.assign_add(0.2 * tf.random.stateless_normal(variable.shape, (i, 0)))
        elif name.startswith("synthesis/to_rgb") and name.endswith("/kernel") and "affine" not in name:
            variable.assign(0.4 * variable)  # untrained, its images have too much contrast
    latents = rng.latents_of_seeds(range(512), g.latent_size)
    g.mapping.average.assign(tf.reduce_mean(g.mapping(latents)[:, 0], axis=0))
    return g


def difference(a, b):
    """Returns the largest difference of two uint8 arrays."""
    return np.abs(np.asarray(a, int) - np.asarray(b, int)).max()


def mark(g, number):
    """Writes a number to a weight that `marked` reads, and changes the brightness of the images."""
    g.stem_norm.beta.assign([float(number)] + [0.5] * (g.stem_norm.beta.shape[0] - 1))


def marked(g):
    """Returns the number that `mark` wrote."""
    return float(g.stem_norm.beta.numpy()[0])


# Generators with images as after training

GROWING = {"dataset": "none", "resolution": 32, "fmap_base": 256, "fmap_max": 32, "latent_size": 8}
SEEN = 12_000
CONTRAST, PALER = 5.0, 0.4  # so that images fill [-1, 1], and few values are outside
PROTOCOL = {"reals": 100, "reals_source": "/home/anna/photos of pandas/", "resolution": 64, "fakes": 2000, "seed": 0}
SCORE = Score("swd2k", 28.5, True, PROTOCOL, {"level 64": 28.5})


def trained_fastgan():
    """A `TrainedGenerator` of FastGAN with batch norm statistics and visible noise."""
    g = FAMILIES["fastgan"].generator(CONFIG, "float32")
    draws = rng.Draws(0, tf.constant(0, tf.int64), batch=8)
    noise = draws.noise("noise", g.noise_shapes)
    for i in range(10):
        g(draws.normal(f"latents/{i}", (g.latent_size,)), noise=noise, training=True)
    change(g, draws, strength=0.3)
    g.blocks[-1].norm.gamma.assign(CONTRAST * g.blocks[-1].norm.gamma)
    return TrainedGenerator(g, CONFIG, SEEN)


def trained_pggan(growth=3.0, **changes):
    """A `TrainedGenerator` of Progressive GAN at a stage of growth (2.5: in the middle of the fade to 32x32)."""
    config = TrainConfig(**{**vars(PRESETS["pggan"]["celebahq-256"]), **GROWING, **changes})
    g = FAMILIES["pggan"].generator(config, "float32")
    draws = rng.Draws(0, tf.constant(0, tf.int64), batch=8)
    change(g, draws)
    for layer in g.to_rgb:
        layer.kernel.assign(PALER * layer.kernel)
    g.growth.assign(growth)
    return TrainedGenerator(g, config, SEEN)


def trained_stylegan2():
    """A `TrainedGenerator` of StyleGAN2 at 16x16, so wide that most of its weights are in kernels."""
    config = styled_config(channel_base=512, channel_max=32)
    g = styled(config)
    for layer in g.synthesis.to_rgb:
        layer.kernel.assign(PALER * layer.kernel)
    return TrainedGenerator(g, config, SEEN)


def change(g, draws, strength=0.0):
    """Changes biases, scales and shifts from their initial values, and sets the strength of noise."""
    for name, variable in named_variables(g).items():
        if name.endswith("strength"):
            variable.assign([strength])
        elif name.endswith(("bias", "gamma", "beta")):
            variable.assign_add(0.2 * draws.fold_in(name).normal("change", variable.shape)[0])


def write_trained(folder, trained):
    """Writes a run with the weights of a `TrainedGenerator` as its best, and a score. Returns the Run."""
    meta = {"score": dataclasses.asdict(SCORE), "images_seen": SEEN}
    return write_run(folder, trained.config, trained.generator, meta)
