"""Comparisons with arrays that the official implementations computed."""

import numpy as np
import tensorflow as tf


def channels_last(images):
    """An array [N, C, H, W] as a tensor [N, H, W, C]."""
    return tf.constant(np.moveaxis(images, 1, 3))


def channels_first(images):
    """A tensor [N, H, W, C] as an array [N, C, H, W]."""
    return np.moveaxis(np.asarray(images), 3, 1)
