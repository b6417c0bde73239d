"""DiffAugment against official outputs: every transformation from the recorded draws, and its gradient.

The file holds no gradients, but every transformation f is affine in the images, so its gradient must satisfy
<gradient of <f(x), s>, x> = <f(x) - f(0), s> for any slopes s, with f(x) judged against the official output.
"""

import numpy as np
import tensorflow as tf

from gan_tf.augment import diffaugment
from tests.parity import channels_last
from tests.parity.report import forward, gradient

TRANSFORMATIONS = {
    "brightness": diffaugment.brightness,
    "saturation": diffaugment.saturation,
    "contrast": diffaugment.contrast,
    "translation": diffaugment.translate,
    "cutout": diffaugment.cutout,
}
FORWARD_BOUND = 1e-4
GRADIENT_BOUND = 1e-3


def quantities(arrays):
    """Yields a Quantity for the output of each transformation and one for its gradient.

    arrays: those of a diffaugment reference file (NCHW): x, <name>/draw0, <name>/draw1, <name>/out.
    """
    images = channels_last(arrays["x"])
    for name, transform in TRANSFORMATIONS.items():
        want = channels_last(arrays[f"{name}/out"])
        draws = _draws(arrays, name, len(images))
        yield forward(f"{name}/out", transform(images, *draws), want, FORWARD_BOUND)
        yield gradient(f"{name}/gradient", *_both_sides_of_adjoint(transform, images, draws), GRADIENT_BOUND)


def _both_sides_of_adjoint(transform, images, draws):
    """For an affine f and any slopes s: <gradient of <f, s>, x> per image, and <f(x) - f(0), s>."""
    slopes = tf.roll(images, 5, axis=1)
    with tf.GradientTape() as tape:
        tape.watch(images)
        outputs = transform(images, *draws)
    got = tf.reduce_sum(tape.gradient(outputs, images, slopes) * images, axis=[1, 2, 3])
    want = tf.reduce_sum((outputs - transform(tf.zeros_like(images), *draws)) * slopes, axis=[1, 2, 3])
    return got, want


def _draws(arrays, name, count):
    """The recorded draws of one transformation: uniform [N, 1, 1, 1], or rows and columns int32 [N]."""
    draws = [arrays[key] for key in (f"{name}/draw0", f"{name}/draw1") if key in arrays]
    if np.issubdtype(draws[0].dtype, np.floating):
        return [tf.constant(draw.reshape(count, 1, 1, 1)) for draw in draws]
    return [tf.constant(draw.reshape(count), tf.int32) for draw in draws]
