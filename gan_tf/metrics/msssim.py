"""Multi-scale structural similarity (MS-SSIM) between random pairs of one set: a measure of variety.

The more alike a generator's images are, the higher their similarity; a set with the variety of the reals has that of
the reals. So the metric is the mean over pairs of fakes minus the mean over as many pairs of reals. It says nothing
about quality, and small losses of variety escape it.

Measured as the authors of Progressive GAN did: five scales, each half the size of the one before (2x2 means); a
Gaussian window of 11 pixels, deviation 1.5, without padding; similarities averaged over pixels and channels of a pair,
negative ones counted as 0, multiplied over the scales with the published exponents; pairs averaged at the end. Where a
scale is smaller than the window, which happens below 176 pixels, the window shrinks to the scale, and its deviation in
proportion. The sizes of the windows stand in the protocol: numbers of two resolutions cannot be compared.

Source: Wang et al. 2003 (MS-SSIM), equation 7; Odena et al. 2017 (AC-GAN), section 4.2; Karras et al. 2018, table 1.
"""

import dataclasses

import numpy as np

from gan_tf.errors import UsageError
from gan_tf.metrics.choice import choice

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # exponents, finest scale first
WINDOW = 11  # pixels
DEVIATION = 1.5  # pixels
LOWEST = 32  # pixels a side: 2 on the coarsest scale
STABLE_LUMINANCE = (0.01 * 255) ** 2  # keeps quotients of flat regions finite
STABLE_CONTRAST = (0.03 * 255) ** 2
TILE = 32  # outputs of one matrix product; the products' cost grows with it, their number falls
CHUNK_PIXELS = 2**16  # pairs are compared about this many pixels at a time, so that the work stays in the cache


@dataclasses.dataclass(frozen=True)
class RealSide:
    """The reals' own similarity, and what the fakes' will be measured with."""

    fakes: int
    resolution: int
    similarity: float
    protocol: dict


def prepare(real_images, fakes, seed):
    """Measures pairs of reals, as many as there will be pairs of fakes.

    Args:
        real_images: uint8 [N, R, R, 3], N >= 2, an array or a memory map.
        fakes: images a side, at least 2; images 2i and 2i + 1 of a sequence are a pair, and an odd one out is not used.
        seed: fixes the reals' sequence (`choice.choice`): a random part of more reals; fewer take part several times,
            in other pairs.

    Raises:
        UsageError: fewer than two reals, or a resolution that cannot be halved four times to 2 pixels or more.
        ValueError: fewer than two fakes.
    """
    if fakes < 2:
        raise ValueError(f"ms_ssim compares pairs of images and needs at least 2, got {fakes}")
    if len(real_images) < 2:
        raise UsageError(f"ms_ssim compares pairs of real images and needs at least 2, got {len(real_images)}")
    resolution = real_images.shape[1]
    protocol = {
        "reals": len(real_images),
        "fakes": fakes,
        "pairs": fakes // 2,
        "scales": len(WEIGHTS),
        "windows": windows(resolution),
        "seed": seed,
    }
    order = choice(len(real_images), fakes, seed)
    chunks = (real_images[order[i : i + 64]] for i in range(0, fakes, 64))
    return RealSide(fakes, resolution, similarity_of(chunks, fakes, resolution), protocol)


def measure(real_side, chunks):
    """Similarity of the fakes' pairs minus that of the reals': 0 for equal variety, above it for less.

    Args:
        real_side: of `prepare`.
        chunks: iterable of uint8 [n, R, R, 3], `real_side.fakes` images in all, in any cuts.
    """
    return scores(real_side, chunks)["difference"]


def scores(real_side, chunks):
    """{"difference", "fakes", "reals"}: as `measure`, with the two similarities that it is the difference of."""
    fakes = similarity_of(chunks, real_side.fakes, real_side.resolution)
    return {"difference": fakes - real_side.similarity, "fakes": fakes, "reals": real_side.similarity}


def similarity_of(chunks, count, resolution):
    """Mean MS-SSIM of a sequence's pairs: `chunks` are uint8 [n, R, R, 3], `count` images in all.

    Raises:
        ValueError: another number of images, or images of another kind.
    """
    values, waiting, seen = [], np.empty((0, resolution, resolution, 3), np.uint8), 0
    for chunk in chunks:
        if chunk.dtype != np.uint8 or chunk.shape[1:] != waiting.shape[1:]:
            raise ValueError(
                f"images must be uint8 [n, {resolution}, {resolution}, 3], got {chunk.dtype} {chunk.shape}"
            )
        seen += len(chunk)
        if seen > count:
            break
        waiting = np.concatenate([waiting, chunk])
        even = len(waiting) // 2 * 2
        values.append(ms_ssim(waiting[0:even:2], waiting[1:even:2]))
        waiting = waiting[even:]
    if seen != count:
        raise ValueError(f"the score is defined for {count} images, got {'more' if seen > count else seen}")
    return float(np.concatenate(values).mean())


def ms_ssim(a, b):
    """MS-SSIM of each pair: uint8 [N, R, R, 3] twice -> [N] float64 in [0, 1], 1 for an image with itself.

    Raises:
        UsageError: R cannot be halved four times to 2 pixels or more.
        ValueError: shapes or types that do not belong together.
    """
    if a.dtype != np.uint8 or b.dtype != np.uint8 or a.shape != b.shape or a.ndim != 4 or a.shape[1] != a.shape[2]:
        raise ValueError(f"need uint8 [N, R, R, C] twice, got {a.dtype} {a.shape} and {b.dtype} {b.shape}")
    windows(a.shape[1])
    step = max(1, CHUNK_PIXELS // a.shape[1] ** 2)
    pieces = [_similarity(a[i : i + step], b[i : i + step]) for i in range(0, len(a), step)]
    return np.concatenate([np.empty(0), *pieces])


def windows(resolution):
    """Pixels of the window on each scale, finest first. Raises UsageError for images that have no five scales."""
    if resolution < LOWEST or resolution % 16:
        raise UsageError(f"ms_ssim needs a resolution that is a multiple of 16 and >= {LOWEST}, got {resolution}")
    return [min(WINDOW, resolution >> scale) for scale in range(len(WEIGHTS))]


def _similarity(a, b):
    """[n, R, R, C] uint8 twice -> [n]: the product over scales."""
    # float32 holds these exactly, since four halvings add 8 bits to 8.
    x, y = (np.ascontiguousarray(np.moveaxis(images, 3, 1), np.float32) for images in (a, b))  # [n, C, R, R]
    product = np.ones(len(x))
    for scale, weight in enumerate(WEIGHTS):
        if scale:
            x, y = halve(x), halve(y)
        structure, luminance = _compare(x, y)
        if scale == len(WEIGHTS) - 1:
            structure *= luminance  # brightness counts on the coarsest scale only
        product *= structure.mean(axis=(1, 2, 3)).clip(0) ** weight
    return product


def _compare(x, y):
    """Contrast-structure and luminance similarity around each pixel: [n, C, S, S] float32 twice -> two [n, C, s, s]."""
    n, channels, side, _ = x.shape
    fields = np.empty((5, n, channels, side, side))
    fields[:2] = x, y
    fields[2:] = [np.multiply(*pair, dtype=np.float64) for pair in ((x, x), (y, y), (x, y))]
    mean_x, mean_y, square_x, square_y, product = _smooth(fields.reshape(-1, side, side)).reshape(5, n, channels, -1, 1)
    mean_xy = mean_x * mean_y
    mean_squares = mean_x * mean_x + mean_y * mean_y
    structure = (2 * (product - mean_xy) + STABLE_CONTRAST) / (square_x + square_y - mean_squares + STABLE_CONTRAST)
    return structure, (2 * mean_xy + STABLE_LUMINANCE) / (mean_squares + STABLE_LUMINANCE)


def _smooth(x):
    """Gaussian means without padding: [P, S, S] float64 -> [P, S - window + 1, S - window + 1]."""
    side = x.shape[-1]
    size = min(WINDOW, side)
    taps = np.exp(-0.5 * ((np.arange(size) - (size - 1) / 2) / (DEVIATION * size / WINDOW)) ** 2)
    taps /= taps.sum()
    left = side - size + 1  # outputs a side
    tile = min(TILE, left)
    band = np.zeros((tile, tile + size - 1))  # a tile of outputs from the inputs that it needs
    for i in range(tile):
        band[i, i : i + size] = taps
    starts = [min(first, left - tile) for first in range(0, left, tile)]  # the last tile may overlap its neighbour
    rows = np.empty((len(x), left, side))
    for first in starts:
        np.matmul(band, x[:, first : first + band.shape[1]], out=rows[:, first : first + tile])
    out = np.empty((len(x), left, left))
    for first in starts:
        np.matmul(rows[:, :, first : first + band.shape[1]], band.T, out=out[:, :, first : first + tile])
    return out


def halve(x):
    """2x2 means: [..., 2K, 2K] -> [..., K, K]."""
    return (x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]) * np.float32(0.25)
