"""LPIPS diversity: the mean perceptual distance of random pairs of images. It falls when a generator collapses.

Images are paired in order, first with second, third with fourth, so that the pairs are independent. Compare the value
with that of the training images, `parts["reals"]`: a much lower one means repetition, a much higher one images that
are unlike the set.

Source: LPIPS of Zhang et al. 2018; as a measure of diversity between pairs: Zhu et al. 2017 (BicycleGAN), section 5.
"""

import numpy as np

from gan_tf.metrics.image_sets import CHUNK_IMAGES
from gan_tf.metrics.score import Measurement


def prepare(real_images, count, seed, lpips):
    """Measures up to `count` real images, uint8 [N, R, R, 3], in random order. Returns (mean LPIPS, lpips)."""
    order = np.random.default_rng(seed).permutation(len(real_images))[:count]
    chunks = (real_images[order[i : i + CHUNK_IMAGES]] for i in range(0, len(order), CHUNK_IMAGES))
    return lpips_diversity(chunks, lpips)[0], lpips


def measure(reals, chunks) -> Measurement:
    """Measures generated images: `reals` of `prepare`, and an iterable of uint8 [n, R, R, 3]."""
    real_mean, lpips = reals
    mean, error, pairs = lpips_diversity(chunks, lpips)
    return Measurement(mean, {"standard_error": error, "reals": real_mean}, {"pairs": pairs, **lpips.protocol})


def lpips_diversity(chunks, lpips, batch_size=8):
    """Returns the mean LPIPS over pairs, its standard error (0 for a single pair), and the number of pairs.

    Args:
        chunks: iterable of uint8 [n, R, R, 3] in random order; an odd last image is not used.
        lpips: lpips(a, b) of float32 [n, R, R, 3] in [-1, 1] -> [n].
        batch_size: pairs per call.

    Raises:
        ValueError: fewer than two images.
    """
    distances, rest = [], []
    for chunk in chunks:
        images = np.concatenate([*rest, chunk])
        even = len(images) // 2 * 2
        for first in range(0, even, 2 * batch_size):
            pairs = np.float32(images[first : min(even, first + 2 * batch_size)]) / 127.5 - 1
            distances.append(np.asarray(lpips(pairs[::2], pairs[1::2]), np.float64))
        rest = [images[even:]]
    if not distances:
        raise ValueError("diversity needs at least 2 images")
    values = np.concatenate(distances)
    error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0
    return float(values.mean()), float(error), len(values)
