"""Estimates batch norm statistics of a generator, and its spectral vectors, from generated images.

The running statistics of a trained generator are those of earlier weights, or, in the files of programs that average
weights alone, of other weights. Standing statistics are computed for given weights instead.
Source: Brock et al. 2019 (BigGAN), appendix C.
"""

import numpy as np
import tensorflow as tf

from gan_tf.models.variables import named_variables
from gan_tf.ops.layers import MOMENTUM
from gan_tf.ops.normalisation import spectral_normalise
from gan_tf.rng import Draws

MEAN, VARIANCE = "moving_mean", "moving_variance"
BATCH = 8  # images; layers are normalised with the statistics of such a batch, as in training
POWER_ITERATIONS = 100  # from random vectors; those of a trained network hardly change


def has_statistics(generator) -> bool:
    """Returns True if a built generator has batch norm."""
    return any(name.endswith(MEAN) for name in named_variables(generator))


def estimate_statistics(generator, images, progress=lambda count: None):
    """Sets the batch norm statistics of a trainable generator to those of generated images, in training mode.

    The mean is the mean of the batches' means. The variance is the mean of the batches' variances plus the variance of
    their means: that of all pixels of all images. The spectral vectors are first set to those of the kernels.

    Args:
        generator: built, not folded, without classes; one device. Its other variables are not changed.
        images: number of images, at least BATCH; rounded down to whole batches.
        progress: called with the number of images of each batch.
    """
    variables = named_variables(generator)
    kernels = [name.removesuffix("u") for name in variables if name.endswith("/u")]
    statistics = {name: variables[name] for name in variables if name.endswith((MEAN, VARIANCE))}

    @tf.function(autograph=False)
    def settle():
        for name in kernels:
            kernel, u, v = (variables[f"{name}{part}"] for part in ("kernel", "u", "v"))
            _, *vectors = spectral_normalise(kernel.value, u.value, v.value, training=True)
            for variable, value in zip((u, v), vectors, strict=True):
                variable.assign(value)

    @tf.function(autograph=False)
    def batch_statistics(first):
        draws = Draws(0, first, BATCH, path="statistics/")
        for variable in statistics.values():
            variable.assign(tf.zeros_like(variable.value))
        noise = draws.noise("noise", generator.noise_shapes)
        generator(draws.normal("latents", (generator.latent_size,)), noise=noise, training=True)
        return {name: variable.value / MOMENTUM for name, variable in statistics.items()}

    for _ in range(POWER_ITERATIONS):
        settle()
    batches = []
    for first in range(0, images - BATCH + 1, BATCH):
        batches.append({name: value.numpy() for name, value in batch_statistics(tf.constant(first, tf.int64)).items()})
        progress(BATCH)
    for name, variable in statistics.items():
        values = np.stack([batch[name] for batch in batches]).astype(np.float64)
        if name.endswith(VARIANCE):
            means = np.stack([batch[name.removesuffix(VARIANCE) + MEAN] for batch in batches]).astype(np.float64)
            values = values + np.square(means - means.mean(axis=0))
        variable.assign(values.mean(axis=0).astype(np.float32))
