"""Perceptual path length: how much an image changes for a tiny step of the latents. Smooth generators score low.

A step of EPSILON is taken at a random place of the way between two random latents, and the LPIPS distance of the two
images is divided by EPSILON^2, since LPIPS grows with the square of small changes. The mean leaves out the lowest and
the highest hundredth, which a few jumps would rule otherwise.

Everything is float32, as the official code: rounding to uint8 or bfloat16 would drown a step of 1e-4. Paths in z run
along the sphere that normal latents lie on, paths in w (what a mapping network makes of z) straight.

Source: Karras et al. 2019 (StyleGAN), section 4.1 and equations 2 and 3; endpoint sampling "full".
"""

from typing import NamedTuple

import numpy as np

EPSILON = 1e-4  # step, as a share of the way
TRIM = 1.0  # percent left out at each end
LARGEST = 256  # pixels a side at which images are compared


class PathLength(NamedTuple):
    """mean: the score. standard_error: of that mean, over the steps kept. kept: number of steps kept."""

    mean: float
    standard_error: float
    kept: int


def perceptual_path_length(images_of, lpips, latent_size, steps, *, mapping=None, seed=0, batch_size=16, on_batch=None):
    """Measures a generator.

    Args:
        images_of: images_of(latents, seeds) -> float32 [n, R, R, 3] in [-1, 1]. latents is [n, Z] float32, or what
            `mapping` gives; seeds is int64 [n] and fixes the noise of each image. Called for both ends of a step with
            the same seeds, so that latents are all that differs.
        lpips: lpips(a, b) -> [n].
        latent_size: Z.
        steps: number of steps; the papers take 50,000 (`ppl50k`).
        mapping: mapping(z float32 [n, Z], seeds) -> w [n, ...]: the path length in w. None: in z. Conditional networks
            take the class from `seeds`, here as in `images_of`, so that both ends of a way are of one.
        seed: fixes latents, places and noise.
        batch_size: steps done at a time; the score does not depend on it.
        on_batch: called with the number of steps done so far.

    Returns:
        PathLength, mean > 0.

    Raises:
        ValueError: no step, or a distance that is not finite.
    """
    distances = []
    for first in range(0, steps, batch_size):
        count = min(batch_size, steps - first)
        seeds = np.arange(first, first + count, dtype=np.int64)
        here, there = _ends(latent_size, seed, seeds, mapping)
        a, b = (_comparable(images_of(latents, seeds)) for latents in (here, there))
        distances.append(np.asarray(lpips(a, b), np.float64) / EPSILON**2)
        if on_batch:
            on_batch(first + count)
    return trimmed(np.concatenate(distances) if distances else np.empty(0))


def trimmed(distances):
    """PathLength of single steps' lengths [n].

    The bounds are themselves among the distances: the nearest below the 1st and above the 99th percentile.
    """
    if not len(distances) or not np.isfinite(distances).all():
        raise ValueError(f"path lengths must be finite and at least one, got {len(distances)}")
    low = np.percentile(distances, TRIM, method="lower")
    high = np.percentile(distances, 100 - TRIM, method="higher")
    kept = distances[(distances >= low) & (distances <= high)]
    return PathLength(float(kept.mean()), float(kept.std() / np.sqrt(len(kept))), len(kept))


def slerp(a, b, t):
    """Goes the share t [n] of the way from a to b [n, Z] along the sphere: [n, Z].

    Directions turn evenly; the length goes from |a| to |b| in a straight line. (The official code leaves length 1,
    which makes no difference to networks that normalise their latents, as its own do.)
    """
    length_a, length_b = (np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    a, b, t = a / length_a, b / length_b, t[:, None]
    cosine = np.sum(a * b, axis=1, keepdims=True)
    angle = t * np.arccos(np.clip(cosine, -1, 1))
    across = b - cosine * a
    norm = np.linalg.norm(across, axis=1, keepdims=True)
    across = np.divide(across, norm, out=np.zeros_like(across), where=norm > 0)
    return (a * np.cos(angle) + across * np.sin(angle)) * (length_a + t * (length_b - length_a))


def lerp(a, b, t):
    """Goes the share t [n] of the straight way from a to b [n, ...]."""
    t = t.reshape(len(t), *[1] * (a.ndim - 1))
    return a + (b - a) * t


def _ends(latent_size, seed, steps, mapping):
    """Latents float32 at both ends of some steps [n]."""
    # A generator for each step, so that no step depends on the size of the batches.
    generators = [np.random.default_rng([seed, step]) for step in steps]
    latents = np.stack([random.standard_normal((2, latent_size)) for random in generators])
    t = np.array([random.random() for random in generators])
    a, b = latents[:, 0], latents[:, 1]
    way = slerp
    if mapping is not None:
        a, b = (np.asarray(mapping(z.astype(np.float32), steps), np.float64) for z in (a, b))
        way = lerp
    # In float64 until here: in float32, t + 1e-4 would be off by a thousandth of the step.
    return [way(a, b, place).astype(np.float32) for place in (t, t + EPSILON)]


def _comparable(images):
    """Averages boxes of pixels of images larger than 256: float32 [n, R, R, 3] -> [n, r, r, 3]."""
    images = np.asarray(images, np.float32)
    count, height, width, channels = images.shape
    factor = height // LARGEST
    if factor < 2:
        return images
    return images.reshape(count, height // factor, factor, width // factor, factor, channels).mean(axis=(2, 4))
