"""Estimates the batch norm statistics that fit the weights of a generator, from generated images.

The running statistics of an EMA generator are averages over earlier weights, or, in the files of programs that average
weights alone, those of other weights. Standing statistics are computed for the given weights instead.
Source: Brock et al. 2019 (BigGAN), appendix C.
"""

import contextlib
import math

import numpy as np
import tensorflow as tf

from gan_tf.io.progress import StagedProgress
from gan_tf.models.pggan import GROWTH
from gan_tf.models.variables import load_weights, named_variables
from gan_tf.ops.layers import MOMENTUM
from gan_tf.ops.normalisation import spectral_normalise
from gan_tf.rng import Draws

MEAN, VARIANCE = "moving_mean", "moving_variance"
IMAGES = 512  # generated for an estimate; docs/fastgan.md has the measurements
BATCH = 8  # images, a divisor of IMAGES; layers are normalised with the statistics of such a batch, as in training
POWER_ITERATIONS = 100  # from random vectors; those of a trained network hardly change
VERB = "generated for the statistics of batch norm"  # for the progress line


def has_statistics(generator) -> bool:
    """Returns True if a built generator has batch norm."""
    return any(name.endswith(MEAN) for name in named_variables(generator))


class StandingStatistics:
    """Function of generator weights that replaces the batch norm statistics by those of generated images.

    The images are always of the same latents, noise and labels, in training mode, so equal weights give equal results,
    whatever their statistics are. The mean is the mean of the batches' means. The variance is the mean of the batches'
    variances plus the variance of their means: that of all pixels of all images. The spectral vectors are first set to
    those of the kernels, so that the statistics are those of the kernels that a folded generator has.

    Args:
        generator: built network of the weights' architecture, not folded; one device. Calls change its variables. Its
            policy is the precision of the images.
        labels_of: function of a rng.Draws that returns the class labels of its rows, or None.
    """

    def __init__(self, generator, labels_of=lambda draws: None):
        self._generator, self._labels_of = generator, labels_of
        self._variables = named_variables(generator)
        self._statistics = {name: v for name, v in self._variables.items() if name.endswith((MEAN, VARIANCE))}
        self._kernels = [name.removesuffix("u") for name in self._variables if name.endswith("/u")]
        self._settle = tf.function(self._power_iteration, autograph=False)
        self._measure = tf.function(self._batch_statistics, autograph=False)

    def __call__(self, weights: dict, progress=None) -> dict:
        """Returns the weights with other statistics and spectral vectors; without batch norm the same dict.

        Args:
            weights: {attribute path: array}. Statistics of layers above the present size of a growing network stay.
            progress: StagedProgress that shows the progress, or raises to stop it; default a new one.
        """
        if not self._statistics:
            return weights
        load_weights(self._generator, weights, "the weights")
        for _ in range(POWER_ITERATIONS):
            self._settle()
        level, batches = math.ceil(weights[GROWTH]) if GROWTH in weights else None, []
        with contextlib.closing(progress or StagedProgress()) as shown:
            for first in range(0, IMAGES, BATCH):
                shown(first, IMAGES, VERB)
                batch = self._measure(tf.constant(first, tf.int64), level)
                batches.append({name: value.numpy().astype(np.float64) for name, value in batch.items()})
        estimated = {name: np.stack([batch[name] for batch in batches]) for name in self._statistics}
        estimated = {name: values for name, values in estimated.items() if values.any()}  # the layer was used
        for name, values in estimated.items():
            if name.endswith(VARIANCE):
                means = estimated[name.removesuffix(VARIANCE) + MEAN]
                values += np.square(means - means.mean(axis=0))
        estimated = {name: values.mean(axis=0).astype(np.float32) for name, values in estimated.items()}
        vectors = {name: v.numpy() for name, v in self._variables.items() if name.endswith(("/u", "/v"))}
        return weights | vectors | estimated

    def _power_iteration(self):
        for name in self._kernels:
            kernel, u, v = (self._variables[f"{name}{part}"] for part in ("kernel", "u", "v"))
            _, *vectors = spectral_normalise(kernel.value, u.value, v.value, training=True)
            for variable, value in zip((u, v), vectors, strict=True):
                variable.assign(value)

    def _batch_statistics(self, first, level):
        """{name: mean or variance of a layer's maps in the batch of images from number `first` on}."""
        draws = Draws(0, first, BATCH, path="statistics/")
        for variable in self._statistics.values():
            variable.assign(tf.zeros_like(variable.value))
        g = self._generator
        size = {} if level is None else {"level": level}
        noise = draws.noise("noise", g.noise_shapes)
        g(draws.normal("latents", (g.latent_size,)), self._labels_of(draws), noise=noise, training=True, **size)
        return {name: variable.value / MOMENTUM for name, variable in self._statistics.items()}
