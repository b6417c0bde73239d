"""Adaptive augmentation: colour transforms, as one affine map of RGB for each image.

Source: Karras et al. 2020 (Training Generative Adversarial Networks with Limited Data), appendix B.
"""

import math

import numpy as np
import tensorflow as tf

from gan_tf.augment.ada_geometry import product

LUMA = np.full(3, 1 / math.sqrt(3), np.float32)  # unit vector of greys
ONTO_LUMA = np.outer(LUMA, LUMA)  # what a colour has in common with its grey
ACROSS_LUMA = np.eye(3, dtype=np.float32) - ONTO_LUMA
# v -> LUMA x v, the cross product as a matrix.
AROUND_LUMA = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]], np.float32) / np.float32(math.sqrt(3))


def color_map(parameters):
    """The map of colours in [-1, 1] that the colour transforms among `parameters` make together.

    Args:
        parameters: {name: [N]}, of gan_tf.augment.ada_parameters; at least one of "brightness", "contrast", "lumaflip",
            "hue" (radians), "saturation".

    Returns:
        (matrix [N, 3, 3], offset [N, 3]): the new colour is matrix @ colour + offset.
    """
    count = next(iter(parameters.values())).shape[0]
    matrix, offset = tf.eye(3, batch_shape=[count]), tf.zeros([count, 3])
    if "brightness" in parameters:
        offset += parameters["brightness"][:, None]
    for name, factor in FACTORS.items():
        if name in parameters:
            by = factor(parameters[name][:, None, None])  # [N, 3, 3]
            matrix, offset = product(by, matrix), product(by, offset[..., None])[..., 0]
    return matrix, offset


def recolor(images, matrix, offset):
    """Applies an affine map to every pixel: images [N, H, W, 3], matrix [N, 3, 3], offset [N, 3] -> [N, H, W, 3]."""
    count, height, width, channels = images.shape
    pixels = tf.reshape(images, (count, height * width, channels))
    # As a change of the image: where there is none, it stays as it is, however an accelerator rounds products.
    change = tf.matmul(pixels, matrix - np.eye(3, dtype=np.float32), transpose_b=True) + offset[:, None]
    return images + tf.reshape(change, images.shape)


def _turned(angle):
    """Rotation about the axis of greys (Rodrigues' formula)."""
    return ONTO_LUMA + ACROSS_LUMA * tf.cos(angle) + AROUND_LUMA * tf.sin(angle)


FACTORS = {  # in the order of application; argument [N, 1, 1]
    "contrast": lambda factor: np.eye(3, dtype=np.float32) * factor,
    "lumaflip": lambda flips: np.eye(3, dtype=np.float32) - 2.0 * flips * ONTO_LUMA,
    "hue": _turned,
    "saturation": lambda factor: ONTO_LUMA + ACROSS_LUMA * factor,
}
