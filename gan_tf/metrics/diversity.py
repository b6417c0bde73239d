"""Variety of generated images, measured on random pairs: MS-SSIM and LPIPS diversity.

If a generator collapses, the MS-SSIM of its pairs rises and their LPIPS distance falls. Neither measures quality.
Images 2i and 2i + 1 of a sequence are a pair, so the pairs are independent; an odd last image is not used.

MS-SSIM (multi-scale structural similarity) is measured as in Progressive GAN: five scales, each half the size of the
previous one (2x2 means); a Gaussian window of 11 pixels, deviation 1.5, without padding; similarities averaged over
pixels and channels, negative ones set to 0, multiplied over the scales with the published exponents. If a scale is
smaller than the window (a side below 176 pixels), the window shrinks to the scale, and its deviation in proportion;
values at different resolutions are therefore not comparable.

Source of MS-SSIM: Wang et al. 2003, equation 7; Odena et al. 2017 (AC-GAN), section 4.2; Karras et al. 2018, table 1.
Source of LPIPS diversity: Zhang et al. 2018 (LPIPS); between pairs: Zhu et al. 2017 (BicycleGAN), section 5.
"""

import numpy as np
from scipy.ndimage import correlate1d

from gan_tf.errors import UsageError
from gan_tf.metrics.image_sets import CHUNK_IMAGES, SEED, random_chunks
from gan_tf.metrics.score import Measurement

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # exponents of MS-SSIM, finest scale first
WINDOW = 11  # pixels
DEVIATION = 1.5  # pixels
LOWEST = 32  # pixels of the smallest image; the coarsest scale has 2
C1 = (0.01 * 255) ** 2  # stabilises luminance
C2 = (0.03 * 255) ** 2  # stabilises contrast
CHUNK_PIXELS = 2**16  # pixels of all pairs that are compared at a time; they fit into the processor's cache
LPIPS_PAIRS = 8  # per call of LPIPS


def prepare_ms_ssim(real_images, count):
    """Measures `count` real images, uint8 [N >= 2, H, W, 3], an array or a memory map.

    Returns:
        (mean similarity, protocol of the measurement).

    Raises:
        UsageError: H or W is not a multiple of 16 and >= 32.
    """
    protocol = {"reals": len(real_images), "fakes": count, "pairs": count // 2}
    protocol |= {"scales": len(WEIGHTS), "windows": window_sizes(real_images.shape[1:3]), "seed": SEED}
    return mean_similarity(random_chunks(real_images, count)), protocol


def measure_ms_ssim(reals, chunks) -> Measurement:
    """Compares generated images with the reals: the distance of the similarities, 0 for equal variety.

    `parts` has the similarities and their difference, which is positive if the fakes have less variety. Small losses of
    variety are not detected. `reals` is the output of `prepare_ms_ssim`, chunks an iterable of uint8 [n, H, W, 3].
    """
    real_mean, protocol = reals
    fake_mean = mean_similarity(chunks)
    parts = {"difference": fake_mean - real_mean, "fakes": fake_mean, "reals": real_mean}
    return Measurement(abs(parts["difference"]), parts, protocol)


def prepare_lpips(real_images, count, lpips):
    """Measures up to `count` real images, uint8 [N >= 2, H, W, 3], in random order. Returns (mean LPIPS, lpips)."""
    order = np.random.default_rng(SEED).permutation(len(real_images))[:count]
    chunks = (real_images[order[i : i + CHUNK_IMAGES]] for i in range(0, len(order), CHUNK_IMAGES))
    return float(lpips_distances(chunks, lpips).mean()), lpips


def measure_lpips(reals, chunks) -> Measurement:
    """Returns the mean LPIPS distance of generated pairs.

    Compare it with that of the training images, `parts["reals"]`: a much lower one means repetition, a much higher one
    images that are unlike the set. `reals` is the output of `prepare_lpips`, chunks an iterable of uint8 [n, H, W, 3].
    """
    real_mean, lpips = reals
    distances = lpips_distances(chunks, lpips)
    count = len(distances)
    error = distances.std(ddof=1) / np.sqrt(count) if count > 1 else 0.0
    parts = {"standard_error": float(error), "reals": real_mean}
    return Measurement(float(distances.mean()), parts, {"pairs": count, **lpips.protocol})


def lpips_distances(chunks, lpips):
    """Returns the LPIPS distances of the pairs of a sequence, uint8 [n, H, W, 3]: float64 [pairs]."""
    distances = []
    for pairs in _pairs(chunks):
        for first in range(0, len(pairs[0]), LPIPS_PAIRS):
            a, b = (np.float32(side[first : first + LPIPS_PAIRS]) / 127.5 - 1 for side in pairs)
            distances.append(np.asarray(lpips(a, b), np.float64))
    return np.concatenate(distances)


def mean_similarity(chunks):
    """Returns the mean MS-SSIM of the pairs of a sequence, uint8 [n, H, W, 3]."""
    return float(np.concatenate([ms_ssim(a, b) for a, b in _pairs(chunks)]).mean())


def _pairs(chunks):
    """Yields the first and the second images of the pairs of a sequence, two arrays uint8 [n, H, W, 3]."""
    rest = []
    for chunk in chunks:
        images = np.concatenate([*rest, chunk])
        even = len(images) // 2 * 2
        yield images[0:even:2], images[1:even:2]
        rest = [images[even:]]


def ms_ssim(a, b):
    """Returns the MS-SSIM of each pair: uint8 [N, H, W, 3] twice -> float64 [N] in [0, 1], 1 for equal images."""
    step = max(1, CHUNK_PIXELS // (a.shape[1] * a.shape[2]))
    pieces = [_ms_ssim(a[i : i + step], b[i : i + step]) for i in range(0, len(a), step)]
    return np.concatenate([np.empty(0), *pieces])


def window_sizes(sides):
    """Returns the pixels of the window on each scale, finest first. Raises UsageError for unsuitable image sizes."""
    height, width = sides
    if min(sides) < LOWEST or height % 16 or width % 16:
        fix = "give another metric, or images of such a size"
        raise UsageError(f"ms_ssim needs sides that are multiples of 16 and >= {LOWEST}, got {width}x{height}; {fix}")
    return [min(WINDOW, min(sides) >> scale) for scale in range(len(WEIGHTS))]


def _ms_ssim(a, b):
    """[n, H, W, C] uint8 twice -> [n]: the product over scales."""
    # float32 represents these exactly, since four halvings add 8 bits to 8.
    x, y = (np.ascontiguousarray(np.moveaxis(images, 3, 1), np.float32) for images in (a, b))  # [n, C, H, W]
    similarities = np.ones(len(x))
    for scale, weight in enumerate(WEIGHTS):
        if scale:
            x, y = mean_pool(x), mean_pool(y)
        p, q = x.astype(np.float64), y.astype(np.float64)
        mean_p, mean_q, product, squares = map(gaussian_means, (p, q, p * q, p * p + q * q))
        product_of_means, squares_of_means = mean_p * mean_q, mean_p * mean_p + mean_q * mean_q
        similarity = (2 * (product - product_of_means) + C2) / (squares - squares_of_means + C2)
        if scale == len(WEIGHTS) - 1:  # luminance counts on the coarsest scale only
            similarity *= (2 * product_of_means + C1) / (squares_of_means + C1)
        similarities *= similarity.mean(axis=(1, 2, 3)).clip(0) ** weight
    return similarities


def gaussian_means(x):
    """Gaussian means without padding: [..., H, W] -> [..., H - window + 1, W - window + 1]."""
    size = min(WINDOW, *x.shape[-2:])
    taps = np.exp(-0.5 * ((np.arange(size) - (size - 1) / 2) / (DEVIATION * size / WINDOW)) ** 2)
    taps /= taps.sum()
    rows, columns = (slice(size // 2, size // 2 + side - size + 1) for side in x.shape[-2:])  # that windows fit around
    x = correlate1d(x, taps, axis=-1)[..., columns]
    return correlate1d(x, taps, axis=-2)[..., rows, :]


def mean_pool(x):
    """2x2 means: [..., 2H, 2W] -> [..., H, W]."""
    return (x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]) * np.float32(0.25)
