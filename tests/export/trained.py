"""Small untrained generators whose images have contrast, visible noise and many values, as trained ones have."""

import dataclasses

import tensorflow as tf

from gan_tf import rng
from gan_tf.config.presets import PRESETS
from gan_tf.config.settings import TrainConfig
from gan_tf.metrics.score import Score
from gan_tf.models import FAMILIES
from gan_tf.models.variables import named_variables
from gan_tf.runs.weights import TrainedGenerator

from ..sampling.trained import styled, styled_config, write_run

FASTGAN = TrainConfig(dataset="none", resolution=64, ngf=8, ndf=8, latent_size=16)
GROWING = {"dataset": "none", "resolution": 32, "fmap_base": 256, "fmap_max": 32, "latent_size": 8}
SEEN = 12_000
CONTRAST, PALER = 5.0, 0.4  # so that images fill [-1, 1], and few values are outside
PROTOCOL = {"reals": 100, "reals_source": "/home/anna/photos of pandas/", "resolution": 64, "fakes": 2000, "seed": 0}
SCORE = Score("swd2k", 28.5, True, PROTOCOL, {"level 64": 28.5})


def fastgan(config=FASTGAN):
    """A `TrainedGenerator` of FastGAN with batch norm statistics and visible noise."""
    g = FAMILIES["fastgan"].generator(config, "float32")
    draws = rng.Draws(0, tf.constant(0, tf.int64), batch=8)
    noise = draws.noise("noise", g.noise_shapes)
    for i in range(10):
        g(draws.normal(f"latents/{i}", (g.latent_size,)), noise=noise, training=True)
    change(g, draws, strength=0.3)
    g.blocks[-1].norm.gamma.assign(CONTRAST * g.blocks[-1].norm.gamma)
    return TrainedGenerator(g, config, SEEN)


def pggan(growth=3.0, **changes):
    """A `TrainedGenerator` of Progressive GAN at a stage of growth (2.5: in the middle of the fade to 32x32)."""
    config = TrainConfig(**{**vars(PRESETS["pggan"]["celebahq-256"]), **GROWING, **changes})
    g = FAMILIES["pggan"].generator(config, "float32")
    draws = rng.Draws(0, tf.constant(0, tf.int64), batch=8)
    change(g, draws)
    for layer in g.to_rgb:
        layer.kernel.assign(PALER * layer.kernel)
    g.growth.assign(growth)
    return TrainedGenerator(g, config, SEEN)


def stylegan2():
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


def make_run(folder, trained, meta=None):
    """Writes a run with the weights of `trained` as its best, and a score. Returns the Run."""
    best = {"score": dataclasses.asdict(SCORE), "images_seen": SEEN} if meta is None else meta
    return write_run(folder, trained.config, trained.generator, best)
