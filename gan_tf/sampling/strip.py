"""Ways through the latents as a picture: a row for each pair of seeds, from one to the other in even steps."""

import numpy as np
import tensorflow as tf

from gan_tf import pictures, rng
from gan_tf.sampling.captions import line, line_height

PAIRS = ((0, 1), (2, 3), (4, 5), (6, 7))
COLUMNS = 8
PARALLEL = 1e-4  # radians; between latents nearer than this the way is a straight line


def strip(g, pairs=PAIRS, columns=COLUMNS):
    """Makes the picture.

    Args:
        g: folded generator.
        pairs: (seed, seed) for each row. The noise of a row is that of its first seed.
        columns: images in a row, both ends included, at least 2.

    Returns:
        uint8 [H, W, 3], with the seeds of each row above it.
    """
    rows = []
    for first, last in pairs:
        ends = rng.latents_of_seeds([first, last], g.latent_size).numpy()
        latents = slerp(*ends, np.linspace(0, 1, columns))
        noise = [tf.repeat(maps, columns, axis=0) for maps in rng.noise_of_seeds([first], g.noise_shapes)]
        images = pictures.to_uint8(g(tf.constant(latents), noise=noise, training=False))
        joined = pictures.grid(images, columns)
        rows += [line(f"seed {first} to {last}", joined.shape[1], line_height(images.shape[1] * 4)), joined]
    return np.concatenate(rows)


def slerp(a, b, shares):
    """Latents [Z] and [Z] and what lies between them on an arc: float32 [n, Z], `shares` [n] of the way from a to b.

    A mean of two random latents would be shorter than any random latent; on the arc the length changes evenly.
    """
    shares = np.asarray(shares, np.float64)[:, None]
    lengths = np.linalg.norm(a), np.linalg.norm(b)
    angle = np.arccos(np.clip(np.dot(a / lengths[0], b / lengths[1]), -1, 1))
    if angle < PARALLEL:
        return ((1 - shares) * a + shares * b).astype(np.float32)
    way = (np.sin((1 - shares) * angle) * a / lengths[0] + np.sin(shares * angle) * b / lengths[1]) / np.sin(angle)
    return (((1 - shares) * lengths[0] + shares * lengths[1]) * way).astype(np.float32)
