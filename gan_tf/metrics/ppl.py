"""Perceptual path length (PPL): the change of an image for a tiny step of its latents. Smooth generators score low.

A step of EPSILON is taken at a random point between two random latents, and the LPIPS distance of the two images is
divided by EPSILON^2, since LPIPS grows with the square of small changes. The mean leaves out the lowest and the highest
percent, so that a few jumps do not dominate it.

Everything is float32, as in the official code: rounding to uint8 or bfloat16 would hide a step of 1e-4. Paths in z
follow the sphere of normal latents, paths in w (the output of a mapping network) are straight.

Source: Karras et al. 2019 (StyleGAN), section 4.1 and equations 2 and 3; endpoint sampling "full".
"""

import numpy as np

EPSILON = 1e-4  # step, as a share of the path
TRIM = 1.0  # percent left out at each end
MAX_SIDE = 256  # pixels; larger images are averaged down


def perceptual_path_length(images_of, lpips, latent_size, steps, *, mapping=None, seed=0, batch_size=16, on_batch=None):
    """Measures a generator.

    Args:
        images_of: images_of(latents, seeds) -> float32 [n, R, R, 3] in [-1, 1]. latents is float32 [n, Z] or the output
            of `mapping`; seeds is int64 [n], equal for both ends of a step, and fixes noise and class.
        lpips: lpips(a, b) -> [n].
        latent_size: Z.
        steps: number of steps; 50,000 in the papers (`ppl50k`).
        mapping: mapping(z float32 [n, Z], seeds) -> w [n, ...], for the path length in w; None for z.
        seed: of latents, points and noise.
        batch_size: steps at a time; the score does not depend on it.
        on_batch: called with the number of steps done.

    Returns:
        (mean, standard error of the mean).

    Raises:
        ValueError: no step, or a distance that is not finite.
    """
    distances = []
    for first in range(0, steps, batch_size):
        count = min(batch_size, steps - first)
        seeds = np.arange(first, first + count, dtype=np.int64)
        start, end = _step_ends(latent_size, seed, seeds, mapping)
        a, b = (_averaged_down(images_of(latents, seeds)) for latents in (start, end))
        distances.append(np.asarray(lpips(a, b), np.float64) / EPSILON**2)
        if on_batch:
            on_batch(first + count)
    return trimmed_mean(np.concatenate(distances) if distances else np.empty(0))


def trimmed_mean(distances):
    """Returns the mean of distances [n] between the 1st and the 99th percentile, and its standard error."""
    if not len(distances) or not np.isfinite(distances).all():
        raise ValueError(f"path lengths must be finite and at least one, got {len(distances)}")
    low = np.percentile(distances, TRIM, method="lower")
    high = np.percentile(distances, 100 - TRIM, method="higher")
    kept = distances[(distances >= low) & (distances <= high)]
    return float(kept.mean()), float(kept.std() / np.sqrt(len(kept)))


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


def _step_ends(latent_size, seed, steps, mapping):
    """Returns the float32 latents at both ends of some steps [n]."""
    # A generator for each step, so that no step depends on the size of the batches.
    generators = [np.random.default_rng([seed, step]) for step in steps]
    latents = np.stack([random.standard_normal((2, latent_size)) for random in generators])
    t = np.array([random.random() for random in generators])
    a, b = latents[:, 0], latents[:, 1]
    interpolate = slerp
    if mapping is not None:
        a, b = (np.asarray(mapping(z.astype(np.float32), steps), np.float64) for z in (a, b))
        interpolate = lerp
    # In float64 until here: in float32, t + 1e-4 would be off by a thousandth of the step.
    return [interpolate(a, b, share).astype(np.float32) for share in (t, t + EPSILON)]


def _averaged_down(images):
    """Averages boxes of pixels of images larger than 256 pixels: float32 [n, R, R, 3] -> [n, r, r, 3]."""
    images = np.asarray(images, np.float32)
    count, height, width, channels = images.shape
    factor = height // MAX_SIDE
    if factor < 2:
        return images
    return images.reshape(count, height // factor, factor, width // factor, factor, channels).mean(axis=(2, 4))
