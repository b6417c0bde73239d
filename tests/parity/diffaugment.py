"""DiffAugment against official outputs: every transformation from the recorded draws, and its gradient.

The file holds no gradients, but every transformation f is affine in the images, so its gradient must satisfy
<gradient of <f(x), s>, x> = <f(x) - f(0), s> for any slopes s, with f(x) judged against the official output.
"""

import numpy as np
import tensorflow as tf

from gan_tf.augment import diffaugment
from tests.parity.report import channels_last, forward, gradient

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
    slopes = tf.roll(images, 5, axis=1)
    for name, transform in TRANSFORMATIONS.items():
        want = channels_last(arrays[f"{name}/out"])
        draws = [arrays[key] for key in (f"{name}/draw0", f"{name}/draw1") if key in arrays]
        if np.issubdtype(draws[0].dtype, np.floating):
            draws = [tf.constant(draw.reshape(-1, 1, 1, 1)) for draw in draws]
        else:  # rows and columns
            draws = [tf.constant(draw.reshape(-1), tf.int32) for draw in draws]
        with tf.GradientTape() as tape:
            tape.watch(images)
            outputs = transform(images, *draws)
        yield forward(f"{name}/out", outputs, want, FORWARD_BOUND)
        moved = (outputs - transform(tf.zeros_like(images), *draws)) * slopes
        back = tape.gradient(outputs, images, slopes) * images
        sides = (tf.reduce_sum(side, axis=[1, 2, 3]) for side in (back, moved))
        yield gradient(f"{name}/gradient", *sides, GRADIENT_BOUND)
