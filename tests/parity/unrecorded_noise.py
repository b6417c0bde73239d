"""Reconstructs the noise that a reference run drew and did not record.

The official generator draws noise in evaluation too. Its strengths are zero before the recorded step and one Adam step
long (the learning rate, either sign) after it, so the recorded evaluation images depend on noise that the file lacks,
by about 2e-3. The noise enters almost linearly: the maps that explain the images best are a least-squares problem with
far fewer unknowns than pixels. If the networks agree, the residual is rounding, and the noise has variance 1.
"""

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

    Conjugate gradients on the normal equations, preconditioned by an estimate of their diagonal, around zero noise.
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
        scales = _scales(back, [tuple(output.shape) for output in start])
        residual = [want - got for want, got in zip(images, start, strict=True)]
        return _scaled(scales, _conjugate_gradients(ahead, back, residual, scales))


def _scales(back, shapes):
    """Preconditioner: one over the length of each noise pixel's effect, estimated with random signs."""
    squares = None
    for probe in range(PROBES):
        signs = [
            tf.sign(tf.random.stateless_uniform(shape, (probe, i), -1.0, 1.0, alg="philox"))
            for i, shape in enumerate(shapes)
        ]
        found = [slope**2 / PROBES for slope in back(signs)]
        squares = found if squares is None else [a + b for a, b in zip(squares, found, strict=True)]
    return [tf.math.rsqrt(square + 0.1 * tf.reduce_mean(square)) for square in squares]


def _conjugate_gradients(ahead, back, residual, scales):
    descent = _scaled(scales, back(residual))
    direction, length = descent, _dot(descent, descent)
    solution = [tf.zeros_like(map_) for map_ in descent]
    for _ in range(ITERATIONS):
        effect = ahead(_scaled(scales, direction))
        step = length / _dot(effect, effect)
        solution = _plus(solution, step, direction)
        residual = _plus(residual, -step, effect)
        descent = _scaled(scales, back(residual))
        previous, length = length, _dot(descent, descent)
        direction = _plus(descent, length / previous, direction)
    return solution


def _scaled(scales, maps):
    return [scale * map_ for scale, map_ in zip(scales, maps, strict=True)]


def _plus(maps, factor, others):
    return [a + tf.cast(factor, tf.float32) * b for a, b in zip(maps, others, strict=True)]


def _dot(a, b):
    return sum(tf.reduce_sum(tf.cast(x * y, tf.float64)) for x, y in zip(a, b, strict=True))
