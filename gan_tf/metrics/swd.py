"""Sliced Wasserstein distance (SWD) between patches of two image sets, on each level of a Laplacian pyramid.

SWD needs no network, so it works without downloads. Random 7x7 patches describe each pyramid level of a set: the
images, half of their size, and so on down to a shorter side of 16 to 31 pixels. The distance of two levels is the mean,
over random directions, of the one-dimensional Wasserstein distance between the projected patches, times 1000. It
measures texture and structure at each scale, but neither colour casts nor contrast: each set is normalised by its mean
and deviation per channel.

Image i of both sets has the same patch positions, so that the distance of a set to itself is 0. Levels and distances
agree with the official code. Images are NCHW float32 inside this file.

Source: Karras et al. 2018 (Progressive GAN), section 5 and appendix; Burt and Adelson 1983 (Laplacian pyramid).
"""

import math

import numpy as np
from scipy.ndimage import correlate1d

from gan_tf.errors import UsageError
from gan_tf.io.arrays import scratch_array
from gan_tf.metrics.image_sets import SEED, random_chunks
from gan_tf.metrics.score import Measurement, size_entry

LOWEST_LEVEL = 16  # smallest shorter side of a level, in pixels
BINOMIAL = np.array([1, 4, 6, 4, 1], np.float32) / 16  # filter of the pyramid
PATCH = 7  # pixels
MARGIN = PATCH // 2  # distance of patch centres from the border
PATCHES_PER_IMAGE = 64
DIRECTIONS = 128
CHANNELS = 3
DESCRIPTOR = PATCH * PATCH * CHANNELS  # 147, the numbers of a patch
BLOCK_ROWS = 2**14  # descriptors that are normalised and projected at a time
CHUNK_PIXELS = 2**18  # pixels of all images that are decomposed at a time; they fit into the processor's cache


def prepare(real_images, count):
    """Projects `count` real images, uint8 [N, H, W, 3], an array or a memory map.

    From more reals a random subset is taken; fewer are repeated with other patch positions.

    Returns:
        (sorted projections [D, n] for each level, finest first, directions [147, D] for each level, `level_sizes`,
        protocol).

    Raises:
        UsageError: see `level_sizes`, or the disk is full.
    """
    levels = level_sizes(real_images.shape[1:3])
    random = np.random.default_rng([SEED, 1])
    directions = [unit_directions(random.standard_normal((DESCRIPTOR, DIRECTIONS))) for _ in levels]
    descriptions = _describe(random_chunks(real_images, count), count, levels)
    protocol = {"reals": len(real_images), "fakes": count, "levels": list(map(size_entry, levels))}
    protocol |= {"patches_per_image": PATCHES_PER_IMAGE, "directions": DIRECTIONS, "seed": SEED}
    return list(map(_project, descriptions, directions)), directions, levels, protocol


def measure(reals, chunks) -> Measurement:
    """Measures the distance of generated images: the mean over the levels, and each level in `parts`.

    The distance of two samples of one distribution is not 0: compare distances at equal numbers of images only. `reals`
    is the output of `prepare`, chunks an iterable of uint8 [n, H, W, 3], `count` images in all.
    """
    real_projections, directions, levels, protocol = reals
    descriptions = _describe(chunks, protocol["fakes"], levels)
    distances = []
    for real, fake in zip(real_projections, map(_project, descriptions, directions), strict=True):
        distances.append(float(np.mean([wasserstein(*rows) for rows in zip(real, fake, strict=True)])))
    parts = {f"level {name}": distance for name, distance in zip(protocol["levels"], distances, strict=True)}
    return Measurement(float(np.mean(distances)), parts, protocol)


def level_sizes(size):
    """Returns (height, width) of each pyramid level, finest first, of images of a size (height, width).

    Raises UsageError for images that are too small, or whose sides cannot be halved down to the coarsest level.
    """
    levels = [tuple(size)]
    if min(size) < LOWEST_LEVEL:
        raise UsageError(
            f"swd needs images of {LOWEST_LEVEL}x{LOWEST_LEVEL} pixels or more, got {size[1]}x{size[0]}; give a "
            "larger --resolution or --size, or another metric"
        )
    while min(levels[-1]) >= 2 * LOWEST_LEVEL and not (levels[-1][0] % 2 or levels[-1][1] % 2):
        levels.append((levels[-1][0] // 2, levels[-1][1] // 2))
    if min(levels[-1]) >= 2 * LOWEST_LEVEL:
        raise UsageError(
            f"swd halves images to fewer than {2 * LOWEST_LEVEL} pixels; {size[1]}x{size[0]} has too few factors of 2: "
            "give another --resolution or --size, or another metric"
        )
    return levels


def laplacian_pyramid(images):
    """Decomposes images: [N, C, H, W] float32 -> list of [N, C, h, w], of the `level_sizes`.

    Each level is the difference between an image and its enlarged low-pass image; the last is the low-pass image.
    """
    levels = []
    for _ in level_sizes(images.shape[2:])[1:]:
        low = halve(images)
        levels.append(images - double(low))
        images = low
    return [*levels, images]


def halve(x):
    """Low-pass filters and subsamples: [..., 2H, 2W] -> [..., H, W]. Borders are mirrored."""
    x = correlate1d(x, BINOMIAL, axis=-2, mode="mirror")[..., ::2, :]
    return correlate1d(x, BINOMIAL, axis=-1, mode="mirror")[..., ::2]


def double(x):
    """Enlarges with the same filter: [..., H, W] -> [..., 2H, 2W]."""
    spread = np.zeros((*x.shape[:-2], 2 * x.shape[-2], 2 * x.shape[-1]), x.dtype)
    spread[..., ::2, ::2] = x
    spread = correlate1d(spread, 2 * BINOMIAL, axis=-1, mode="mirror")
    return correlate1d(spread, 2 * BINOMIAL, axis=-2, mode="mirror")


def patches_at(images, rows, columns):
    """Cuts 7x7 patches: images [N, C, H, W], centres rows, columns [N, P] -> [N * P, C * 49].

    A descriptor is ordered by channels, then columns, then rows, as in the official code.
    """
    _, channels, height, width = images.shape
    reach = np.arange(-MARGIN, MARGIN + 1)
    offsets = (np.arange(channels)[:, None, None] * height + reach) * width + reach[:, None]  # [C, 7, 7]
    centres = (np.arange(len(images))[:, None] * channels * height + rows) * width + columns  # [N, P]
    return images.reshape(-1).take(centres.reshape(-1, 1) + offsets.reshape(-1))


def channel_statistics(descriptors):
    """Returns the mean and the deviation of each channel over all patches [n, 147]: float64 [3], [3]."""
    values = descriptors.reshape(len(descriptors), CHANNELS, -1)
    mean = values.mean(axis=(0, 2), dtype=np.float64)
    squares = np.einsum("ncp,ncp->c", values, values, dtype=np.float64) / (len(values) * values.shape[2])
    return mean, np.sqrt((squares - mean**2).clip(0))


def normalise(descriptors, mean, deviation):
    """Returns (descriptors - mean) / deviation per channel: float32 [n, 147]. A constant channel becomes 0."""
    values = descriptors.reshape(len(descriptors), CHANNELS, -1) - mean[:, None].astype(np.float32)
    values /= np.where(deviation > 0, deviation, 1)[:, None].astype(np.float32)
    return values.reshape(len(descriptors), -1)


def unit_directions(normal):
    """Scales standard normal draws [F, D] to directions of unit length."""
    return (normal / np.linalg.norm(normal, axis=0)).astype(np.float32)


def wasserstein(real, fake):
    """Returns the mean absolute difference of sorted projections [..., n] and [..., n], x1000."""
    return float(np.mean(np.abs(real - fake), dtype=np.float64) * 1000)


def _describe(chunks, count, levels):
    """Cuts random patches: for each level an array [count * PATCHES_PER_IMAGE, 147], not normalised.

    The positions are drawn for the whole set before the first image, so they do not depend on the size of the chunks.
    """
    random = np.random.default_rng([SEED, 2])
    # [2, count, PATCHES_PER_IMAGE]: rows and columns
    highs = [np.reshape(size, (2, 1, 1)) - MARGIN for size in levels]
    centres = [random.integers(MARGIN, high, (2, count, PATCHES_PER_IMAGE)) for high in highs]
    descriptors = [scratch_array((count * PATCHES_PER_IMAGE, DESCRIPTOR)) for _ in levels]
    step, done = max(1, CHUNK_PIXELS // math.prod(levels[0])), 0
    for images in (chunk[i : i + step] for chunk in chunks for i in range(0, len(chunk), step)):
        first, done = done, done + len(images)
        images = np.ascontiguousarray(np.moveaxis(images, 3, 1), np.float32)
        rows = slice(first * PATCHES_PER_IMAGE, done * PATCHES_PER_IMAGE)
        for level, (vertical, horizontal), out in zip(laplacian_pyramid(images), centres, descriptors, strict=True):
            out[rows] = patches_at(level, vertical[first:done], horizontal[first:done])
    return descriptors


def _project(descriptors, directions):
    """Normalises descriptors [n, 147] and projects them: sorted projections [D, n] float32."""
    mean, deviation = channel_statistics(descriptors)
    projections = scratch_array((directions.shape[1], len(descriptors)))
    for first in range(0, len(descriptors), BLOCK_ROWS):
        rows = slice(first, first + BLOCK_ROWS)
        np.matmul(directions.T, normalise(descriptors[rows], mean, deviation).T, out=projections[:, rows])
    projections.sort(axis=1)
    return projections
