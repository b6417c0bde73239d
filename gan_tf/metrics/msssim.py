"""Multi-scale structural similarity (MS-SSIM) between random pairs of images: a measure of variety.

The more similar the images of a generator, the higher the MS-SSIM of its pairs. The metric is the distance between the
mean over pairs of fakes and the mean over pairs of reals. It does not measure quality, and it misses small losses of
variety.

As in Progressive GAN: five scales, each half the size of the previous one (2x2 means); a Gaussian window of 11 pixels,
deviation 1.5, without padding; similarities averaged over pixels and channels, negative ones set to 0, multiplied over
the scales with the published exponents. If a scale is smaller than the window (below 176 pixels), the window shrinks to
the scale, and its deviation in proportion; values at different resolutions are therefore not comparable.

Source: Wang et al. 2003 (MS-SSIM), equation 7; Odena et al. 2017 (AC-GAN), section 4.2; Karras et al. 2018, table 1.
"""

import numpy as np
from scipy.ndimage import correlate1d

from gan_tf.errors import UsageError
from gan_tf.metrics.image_sets import random_chunks
from gan_tf.metrics.score import Measurement

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # exponents, finest scale first
WINDOW = 11  # pixels
DEVIATION = 1.5  # pixels
LOWEST = 32  # pixels of the image: 2 on the coarsest scale
C1 = (0.01 * 255) ** 2  # stabilises luminance
C2 = (0.03 * 255) ** 2  # stabilises contrast
CHUNK_PIXELS = 2**16  # of pairs that are compared at a time, so that they stay in the processor's cache


def prepare(real_images, count, seed):
    """Measures pairs of real images.

    Args:
        real_images: uint8 [N, R, R, 3], N >= 2, an array or a memory map.
        count: images of either side; images 2i and 2i + 1 of a sequence are a pair.
        seed: of the sequence of the reals (`image_sets.random_order`).

    Returns:
        (mean similarity, protocol of the measurement).

    Raises:
        UsageError: fewer than two reals, or R is not a multiple of 16 and >= 32.
    """
    if len(real_images) < 2:
        raise UsageError(f"ms_ssim compares pairs of real images and needs at least 2, got {len(real_images)}")
    resolution = real_images.shape[1]
    protocol = {
        "reals": len(real_images),
        "fakes": count,
        "pairs": count // 2,
        "scales": len(WEIGHTS),
        "windows": window_sizes(resolution),
        "seed": seed,
    }
    return mean_similarity(random_chunks(real_images, count, seed)), protocol


def measure(reals, chunks) -> Measurement:
    """Compares generated images with the reals: the distance of the similarities, 0 for equal variety.

    `parts` has the similarities and their difference, which is positive if the fakes have less variety.

    Args:
        reals: of `prepare`.
        chunks: iterable of uint8 [n, R, R, 3], `count` images in all.
    """
    real_mean, protocol = reals
    fake_mean = mean_similarity(chunks)
    parts = {"difference": fake_mean - real_mean, "fakes": fake_mean, "reals": real_mean}
    return Measurement(abs(parts["difference"]), parts, protocol)


def mean_similarity(chunks):
    """Returns the mean MS-SSIM of the pairs of a sequence, uint8 [n, R, R, 3]; an odd last image is not used."""
    values, rest = [], []
    for chunk in chunks:
        images = np.concatenate([*rest, chunk])
        even = len(images) // 2 * 2
        values.append(ms_ssim(images[0:even:2], images[1:even:2]))
        rest = [images[even:]]
    return float(np.concatenate(values).mean())


def ms_ssim(a, b):
    """Returns the MS-SSIM of each pair: uint8 [N, R, R, 3] twice -> float64 [N] in [0, 1], 1 for equal images."""
    step = max(1, CHUNK_PIXELS // a.shape[1] ** 2)
    pieces = [_ms_ssim(a[i : i + step], b[i : i + step]) for i in range(0, len(a), step)]
    return np.concatenate([np.empty(0), *pieces])


def window_sizes(resolution):
    """Returns the pixels of the window on each scale, finest first. Raises UsageError for unsuitable resolutions."""
    if resolution < LOWEST or resolution % 16:
        raise UsageError(f"ms_ssim needs a resolution that is a multiple of 16 and >= {LOWEST}, got {resolution}")
    return [min(WINDOW, resolution >> scale) for scale in range(len(WEIGHTS))]


def _ms_ssim(a, b):
    """[n, R, R, C] uint8 twice -> [n]: the product over scales."""
    # float32 represents these exactly, since four halvings add 8 bits to 8.
    x, y = (np.ascontiguousarray(np.moveaxis(images, 3, 1), np.float32) for images in (a, b))  # [n, C, R, R]
    product = np.ones(len(x))
    for scale, weight in enumerate(WEIGHTS):
        if scale:
            x, y = halve(x), halve(y)
        structure, luminance = _compare(x, y)
        if scale == len(WEIGHTS) - 1:
            structure *= luminance  # luminance counts on the coarsest scale only
        product *= structure.mean(axis=(1, 2, 3)).clip(0) ** weight
    return product


def _compare(x, y):
    """Contrast-structure and luminance similarity around each pixel: [n, C, S, S] twice -> [n, C, s, s] twice."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    mean_x, mean_y, square_x, square_y, product = map(gaussian_means, (x, y, x * x, y * y, x * y))
    mean_xy = mean_x * mean_y
    mean_squares = mean_x * mean_x + mean_y * mean_y
    structure = (2 * (product - mean_xy) + C2) / (square_x + square_y - mean_squares + C2)
    return structure, (2 * mean_xy + C1) / (mean_squares + C1)


def gaussian_means(x):
    """Gaussian means without padding: [..., S, S] -> [..., S - window + 1, S - window + 1]."""
    side = x.shape[-1]
    size = min(WINDOW, side)
    taps = np.exp(-0.5 * ((np.arange(size) - (size - 1) / 2) / (DEVIATION * size / WINDOW)) ** 2)
    taps /= taps.sum()
    inside = slice(size // 2, size // 2 + side - size + 1)  # windows that do not cross the border
    x = correlate1d(x, taps, axis=-2)[..., inside, :]
    return correlate1d(x, taps, axis=-1)[..., inside]


def halve(x):
    """2x2 means: [..., 2K, 2K] -> [..., K, K]."""
    return (x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]) * np.float32(0.25)
