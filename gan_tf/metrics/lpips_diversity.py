"""Diversity: the mean LPIPS distance of random pairs of generated images. It falls when a generator collapses.

Images are paired in order, first with second, third with fourth, so that no image counts twice and the standard error
is that of independent draws. Compare it with the same measure of the training images (`shuffled`): a generator far
below repeats itself, one far above draws things that are not in the set.

Source: LPIPS of Zhang et al. 2018; as a measure of diversity between pairs: Zhu et al. 2017 (BicycleGAN), section 5.
"""

from typing import NamedTuple

import numpy as np

CHUNK_IMAGES = 64


class Diversity(NamedTuple):
    """mean: LPIPS over pairs. standard_error: of that mean; 0 for a single pair. pairs: number of pairs."""

    mean: float
    standard_error: float
    pairs: int


def lpips_diversity(chunks, lpips, batch_size=8):
    """Measures a stream of images.

    Args:
        chunks: iterable of uint8 [n, R, R, 3], any n, in random order; a last image without partner is left out.
        lpips: lpips(a, b) of float32 [n, R, R, 3] in [-1, 1] -> [n].
        batch_size: pairs given to it at a time.

    Returns:
        Diversity.

    Raises:
        ValueError: fewer than two images.
    """
    distances = []
    for images in _batches(chunks, 2 * batch_size):
        first, second = (np.float32(images[i : len(images) // 2 * 2 : 2]) / 127.5 - 1 for i in (0, 1))
        if len(first):
            distances.append(np.asarray(lpips(first, second), np.float64))
    if not distances:
        raise ValueError("diversity needs at least 2 images")
    found = np.concatenate(distances)
    error = found.std(ddof=1) / np.sqrt(len(found)) if len(found) > 1 else 0.0
    return Diversity(float(found.mean()), float(error), len(found))


def shuffled(images, count, seed):
    """Yields up to `count` images in a random order, in chunks: the order of a data set is seldom random.

    images: uint8 [N, R, R, 3], an array or a memory map; an image is given once at most.
    """
    order = np.random.default_rng(seed).permutation(len(images))[:count]
    for first in range(0, len(order), CHUNK_IMAGES):
        yield images[order[first : first + CHUNK_IMAGES]]


def _batches(chunks, size):
    """Cuts and joins chunks to batches of `size` images; the last is what is left."""
    kept = None
    for chunk in chunks:
        kept = chunk if kept is None or not len(kept) else np.concatenate([kept, chunk])
        for first in range(0, len(kept) - size + 1, size):
            yield kept[first : first + size]
        kept = kept[len(kept) // size * size :]
    if kept is not None and len(kept):
        yield kept
