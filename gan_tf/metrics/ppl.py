"""Perceptual path length (PPL): the change of an image for a tiny step of its latents. Smooth generators score low.

A step of EPSILON is taken at a random point of the path between two random latents. The LPIPS distance of the images
is divided by EPSILON^2, since LPIPS grows with the square of small changes. The mean leaves out the lowest and the
highest percent, so that a few jumps do not dominate it.

Everything is float32, as in the official code: rounding to uint8 or bfloat16 would hide a step of 1e-4. Paths in z
follow the sphere of normal latents, paths in w (the output of a mapping network) are straight.

Source: Karras et al. 2019 (StyleGAN), section 4.1 and equations 2 and 3; endpoint sampling "full".
"""

import numpy as np

from gan_tf.metrics.image_sets import SEED

EPSILON = 1e-4  # step, as a share of the path
TRIM = 1.0  # percent left out at each end
MAX_SIDE = 256  # pixels; larger images are averaged down
BATCH_SIZE = 16  # steps at a time


def perceptual_path_length(sampler, lpips, steps, on_batch):
    """Measures the perceptual path length of a generator.

    Args:
        sampler: has the attributes `latent_size`, Z; `images_of_latents`, a function (latents, seeds) -> float32 [n, H,
            W, C] in [-1, 1]; and `mapping`, None or a function (z float32 [n, Z], seeds) -> w [n, ...] that gives the
            latents. seeds is int64 [n], equal for both ends of a step, and fixes noise and class.
        lpips: lpips(a, b) -> [n].
        steps: number of steps; 50,000 in the papers (`ppl50k`).
        on_batch: called with the number of steps done after each batch.

    Returns:
        (mean, standard error of the mean).

    Raises:
        ValueError: a distance that is not finite.
    """
    distances = []
    for first in range(0, steps, BATCH_SIZE):
        seeds = np.arange(first, min(first + BATCH_SIZE, steps), dtype=np.int64)
        ends = _step_ends(sampler.latent_size, seeds, sampler.mapping)
        a, b = (_averaged_down(sampler.images_of_latents(latents, seeds)) for latents in ends)
        distances.append(np.asarray(lpips(a, b), np.float64) / EPSILON**2)
        on_batch(first + len(seeds))
    return trimmed_mean(np.concatenate(distances))


def trimmed_mean(distances):
    """Returns the mean of distances [n] between the 1st and the 99th percentile, and its standard error."""
    if not np.isfinite(distances).all():
        raise ValueError("path lengths must be finite, got NaN or infinity")
    low = np.percentile(distances, TRIM, method="lower")
    high = np.percentile(distances, 100 - TRIM, method="higher")
    kept = distances[(distances >= low) & (distances <= high)]
    return float(kept.mean()), float(kept.std() / np.sqrt(len(kept)))


def _step_ends(latent_size, seeds, mapping):
    """Returns the float32 latents at both ends of the steps with these seeds: two arrays [n, ...]."""
    # A generator for each step, so that no step depends on the size of the batches.
    generators = [np.random.default_rng([SEED, step]) for step in seeds]
    a, b = np.stack([random.standard_normal((2, latent_size)) for random in generators], axis=1)
    t = np.array([random.random() for random in generators])
    interpolate = slerp
    if mapping is not None:
        a, b = (np.asarray(mapping(z.astype(np.float32), seeds), np.float64) for z in (a, b))
        interpolate = lerp
    # In float64 until here: in float32, t + 1e-4 would be off by a thousandth of the step.
    return [interpolate(a, b, share).astype(np.float32) for share in (t, t + EPSILON)]


def slerp(a, b, t):
    """Spherical interpolation: the share t [n] of the path from a to b [n, Z].

    The angle is proportional to t, and the length goes from |a| to |b| linearly. (The official code normalises it to 1,
    which is equivalent for networks that normalise their latents, as its networks do.)
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
    """Linear interpolation: the share t [n] of the path from a to b [n, ...]."""
    t = t.reshape(len(t), *[1] * (a.ndim - 1))
    return a + (b - a) * t


def _averaged_down(images):
    """Averages boxes of pixels of images larger than 256 pixels: float32 [n, H, W, C] -> [n, h, w, C]."""
    images = np.asarray(images, np.float32)
    count, height, width, channels = images.shape
    factor = min(height, width) // MAX_SIDE
    if factor < 2:
        return images
    images = images[:, : height // factor * factor, : width // factor * factor]
    return images.reshape(count, height // factor, factor, width // factor, factor, channels).mean(axis=(2, 4))
