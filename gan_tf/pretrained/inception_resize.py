"""How images come to the 299 pixels and the range that FID's Inception network wants, in the three ways in use.

    pytorch  bilinear between pixel centres, nothing done against aliasing; [-1, 1]. pytorch-fid and most papers since.
    clean    bicubic, each channel as float, smoothed when shrinking; clipped, not rounded; [-1, 1]. "clean" FID.
    tf1      bilinear between corners as in TensorFlow 1, so shifted by up to half a pixel; [-1, 127/128]. The original.

They move FID by whole points, so scores of two ways are never compared.

Source: Heusel et al. 2017 (the original); Parmar et al. 2022, "On Aliased Resizing and Surprising Subtleties in GAN
Evaluation" (clean), which also compares the others.
"""

import numpy as np
import tensorflow as tf
from PIL import Image

SIDE = 299  # pixels
RESIZES = ("pytorch", "clean", "tf1")


def network_input(images, resize, map_images=map):
    """What the network is given.

    Args:
        images: uint8 [N, H, W, 3].
        resize: one of RESIZES.
        map_images: as for `resized`.

    Returns:
        float32 [N, 299, 299, 3], within [-1, 1].
    """
    values = resized(images, resize, map_images)
    return (values - 128.0) / 128.0 if resize == "tf1" else values / 255.0 * 2.0 - 1.0


def resized(images, resize, map_images=map):
    """Images of 299 pixels a side.

    Args:
        images: uint8 [N, H, W, 3].
        resize: one of RESIZES.
        map_images: map(function, images) of "clean", which resizes one image at a time without holding Python's lock:
            a thread pool's `map` uses several cores.

    Returns:
        float32 tensor [N, 299, 299, 3] in [0, 255].

    Raises:
        ValueError: unknown `resize`.
    """
    if resize not in RESIZES:
        raise ValueError(f"resize must be one of {', '.join(RESIZES)}, got {resize!r}")
    if resize == "clean":
        return tf.constant(np.stack(list(map_images(clean_resized, images))))
    return tf.raw_ops.ResizeBilinear(
        images=tf.cast(images, tf.float32), size=(SIDE, SIDE), half_pixel_centers=resize == "pytorch"
    )


def clean_resized(image):
    """One image, uint8 [H, W, 3], by Pillow's bicubic filter (a = -0.5) -> float32 [299, 299, 3] in [0, 255]."""
    planes = [Image.fromarray(plane) for plane in np.moveaxis(image, 2, 0).astype(np.float32)]  # of mode "F"
    bands = [np.asarray(plane.resize((SIDE, SIDE), Image.Resampling.BICUBIC)) for plane in planes]
    return np.clip(np.stack(bands, axis=2), 0, 255)
