"""Reconstructs the noise that a reference run drew and did not record.

The official generator draws noise in evaluation too. Its strengths are zero before the recorded step and one Adam step
long (the learning rate, either sign) after it, so the recorded evaluation images depend on noise that the file lacks,
by about 2e-3. The noise enters almost linearly: the maps that explain the images best are a least-squares problem with
far fewer unknowns than pixels. If the networks agree, the residual is rounding, and the noise has variance 1.
"""

import numpy as np
import scipy.sparse.linalg
import tensorflow as tf

from gan_tf.models.variables import named_variables
from gan_tf.ops.forms import PLAIN, use_forms

PROBES = 8  # random vectors that estimate how strongly each noise pixel acts
ITERATIONS = 90  # brings the error from 2e-3 to 1e-5 at 256 pixels


def set_strengths(generator, value):
    """Sets every noise injection to the same strength; the sign is part of the noise."""
    for name, variable in named_variables(generator).items():
        if name.endswith("/strength"):
            variable.assign([value])


def fit_noise(generator, z, images):
    """Returns the noise maps, [N, h, w, 1] float32, that minimise the distance of the generator's images to `images`.

    Args:
        generator: built, with its noise strengths set; run in evaluation mode.
        z: [N, Z].
        images: pair of [N, R, R, 3] and [N, S, S, 3] that it should make.

    Least squares by LSQR, around zero noise, with columns scaled by an estimate of their lengths.
    """
    zero = [tf.zeros((z.shape[0], *shape)) for shape in generator.noise_shapes]

    @tf.function
    def ahead(change):
        with tf.autodiff.ForwardAccumulator(zero, change) as accumulator:
            outputs = generator(z, noise=zero, training=False)
        return [accumulator.jvp(output) for output in outputs]

    @tf.function
    def back(slopes):
        with tf.GradientTape() as tape:
            tape.watch(zero)
            outputs = generator(z, noise=zero, training=False)
        return tape.gradient(outputs, zero, output_gradients=slopes)

    with use_forms(PLAIN):
        start = generator(z, noise=zero, training=False)
        residual = _flat([want - got for want, got in zip(images, start, strict=True)])
        probes = np.random.default_rng(0).choice([-1.0, 1.0], (PROBES, len(residual)))
        squares = np.mean([_flat(back(_shaped(probe, start))) ** 2 for probe in probes], axis=0)
        scales = 1 / np.sqrt(squares + 0.1 * np.mean(squares))
        operator = scipy.sparse.linalg.LinearOperator(
            (len(residual), len(scales)),
            matvec=lambda noise: _flat(ahead(_shaped(scales * noise, zero))),
            rmatvec=lambda slopes: scales * _flat(back(_shaped(slopes, start))),
        )
        return _shaped(scales * scipy.sparse.linalg.lsqr(operator, residual, iter_lim=ITERATIONS)[0], zero)


def _flat(tensors):
    """float64 vector of all entries of a list of tensors."""
    return np.concatenate([np.float64(tensor).ravel() for tensor in tensors])


def _shaped(vector, like):
    """The entries of a vector as float32 tensors of the shapes of `like`: the inverse of `_flat`."""
    parts = np.split(vector, np.cumsum([np.size(tensor) for tensor in like])[:-1])
    return [tf.constant(part.reshape(one.shape), tf.float32) for part, one in zip(parts, like, strict=True)]
