"""Sliced Wasserstein distance between small patches of two image sets, on each level of a Laplacian pyramid.

Needs no network, so it is the score that always works. Each set is described by random 7x7 patches of its pyramid
levels (R, R/2 ... 16 pixels); the distance of two levels is the mean, over random directions, of the one-dimensional
Wasserstein distance between the projected patches, times 1000. It sees texture and structure at each scale, but neither
colour casts nor contrast: each set is normalised by its own mean and deviation per channel.

Functions of arrays: images NCHW float32 inside this file, draws as arguments. `prepare` and `measure` at the end make
them a metric, which gives image i of both sides the same patch positions: a set that is measured against itself in the
same order is at distance 0. Levels and distances agree with the official code.

Memory: one level's projections (330 MB for 10,000 images). Patches of all levels are put aside as the images pass by;
what is large goes to temporary files (see spool.py).

Source: Karras et al. 2018 (Progressive GAN), section 5 and appendix; Burt and Adelson 1983 (Laplacian pyramid).
"""

import dataclasses

import numpy as np

from gan_tf.errors import UsageError
from gan_tf.metrics.choice import choice
from gan_tf.metrics.spool import Spool

LOWEST_LEVEL = 16  # pixels
PATCH = 7  # pixels
MARGIN = PATCH // 2  # patch centres stay this clear of the border
PATCHES_PER_IMAGE = 64
DIRECTIONS = 128
FEATURES = PATCH * PATCH * 3  # of a descriptor
BLOCK_ROWS = 2**14  # descriptors normalised and projected at a time
CHUNK_PIXELS = 2**18  # images are taken apart about this many pixels at a time, so that the work stays in the cache


@dataclasses.dataclass(frozen=True)
class RealSide:
    """What is known of the real images, computed once: sorted projections for each level, finest first.

    directions[level] is [147, D] float32, projections[level] a Spool of D rows of n float32, each sorted.
    """

    fakes: int
    seed: int
    resolution: int
    directions: tuple
    projections: tuple
    protocol: dict


def laplacian_pyramid(images):
    """[N, C, S, S] float32, S a power of two >= 16 -> list of [N, C, s, s] for s = S, S/2 ... 16.

    Each level is what the next coarser one, enlarged, does not show; the last is the low-pass image itself.
    """
    levels = []
    while images.shape[-1] > LOWEST_LEVEL:
        low = halve_columns(halve_rows(images))
        levels.append(images - double_columns(double_rows(low)))
        images = low
    return [*levels, images]


def halve_rows(x):
    """[..., 2K, W] -> [..., K, W]: the binomial filter (1 4 6 4 1) / 16 at even rows, borders mirrored."""
    even, odd = x[..., ::2, :], x[..., 1::2, :]
    out = 6 * even
    out += 4 * odd
    out[..., 1:, :] += 4 * odd[..., :-1, :]
    out[..., 0, :] += 4 * odd[..., 0, :]  # row -1 is row 1
    out[..., 1:, :] += even[..., :-1, :]
    out[..., 0, :] += even[..., 1, :]  # row -2 is row 2
    out[..., :-1, :] += even[..., 1:, :]
    out[..., -1, :] += even[..., -1, :]  # row 2K is row 2K - 2
    out *= 1 / 16
    return out


def double_rows(x):
    """[..., K, W] -> [..., 2K, W]: zeros put between rows, then twice the same filter with the same borders."""
    out = np.empty((*x.shape[:-2], 2 * x.shape[-2], x.shape[-1]), x.dtype)
    even, odd = out[..., ::2, :], out[..., 1::2, :]
    np.multiply(x, 6, out=even)
    even[..., 1:, :] += x[..., :-1, :]
    even[..., 0, :] += x[..., 1, :]
    even[..., :-1, :] += x[..., 1:, :]
    even[..., -1, :] += x[..., -1, :]
    even *= 1 / 8
    np.add(x[..., :-1, :], x[..., 1:, :], out=odd[..., :-1, :])
    np.add(x[..., -1, :], x[..., -1, :], out=odd[..., -1, :])
    odd *= 1 / 2
    return out


def halve_columns(x):
    """[..., H, 2K] -> [..., H, K], as `halve_rows`."""
    return halve_rows(x.swapaxes(-1, -2)).swapaxes(-1, -2)


def double_columns(x):
    """[..., H, K] -> [..., H, 2K], as `double_rows`."""
    return double_rows(x.swapaxes(-1, -2)).swapaxes(-1, -2)


def patches_at(images, rows, columns):
    """Cuts 7x7 patches: images [N, C, S, S], centres rows, columns [N, P] -> [N * P, C * 49].

    A descriptor runs over channels, then columns, then rows, as the official one does.
    """
    _, channels, height, width = images.shape
    reach = np.arange(-MARGIN, MARGIN + 1)
    offsets = (np.arange(channels)[:, None, None] * height + reach) * width + reach[:, None]  # [C, 7, 7]
    centres = (np.arange(len(images))[:, None] * channels * height + rows) * width + columns  # [N, P]
    return images.reshape(-1).take(centres.reshape(-1, 1) + offsets.reshape(-1))


def normalise(descriptors, channels):
    """Subtracts each channel's mean over all patches and divides by its deviation: [n, C * 49], in place.

    A channel that is the same everywhere becomes 0.
    """
    return rescale(descriptors, *channel_statistics([descriptors], channels))


def channel_statistics(blocks, channels):
    """Mean and deviation of each channel over all patches: iterable of [n, C * 49] -> ([C], [C]) float64."""
    count, total, squares = 0, np.zeros(channels), np.zeros(channels)
    for block in blocks:
        values = block.reshape(len(block), channels, -1).astype(np.float64)
        count += len(block) * values.shape[2]
        total += values.sum(axis=(0, 2))
        squares += np.square(values).sum(axis=(0, 2))
    mean = total / count
    # Pixels are below 256 in size, so float64 loses nothing that shows in the difference of the two.
    return mean, np.sqrt((squares / count - mean**2).clip(0))


def rescale(descriptors, mean, deviation):
    """(descriptors - mean) / deviation per channel, [n, C * 49] float32 in place; deviation 0 counts as 1."""
    values = descriptors.reshape(len(descriptors), len(mean), -1)
    values -= mean[:, None].astype(np.float32)
    values /= np.where(deviation > 0, deviation, 1)[:, None].astype(np.float32)
    return descriptors


def unit_directions(normal):
    """Scales standard normal draws [F, D] to directions of unit length."""
    return (normal / np.sqrt(np.sum(np.square(normal), axis=0, keepdims=True))).astype(np.float32)


def sorted_projections(descriptors, directions):
    """[n, F], [F, D] -> [D, n] float32, each direction's projections in rising order."""
    projections = directions.T @ descriptors.T
    projections.sort(axis=1)
    return projections


def distance(real, fake):
    """Mean absolute difference of sorted projections [D, n] and [D, n], x1000."""
    return float(np.mean(np.abs(real - fake), dtype=np.float64) * 1000)


def prepare(real_images, fakes, seed):
    """Projects as many real images as there will be fakes.

    Args:
        real_images: uint8 [N, R, R, 3], an array or a memory map.
        fakes: images a side. Of more reals a random choice is taken; fewer are gone through several times,
            each time with other patch positions.
        seed: fixes choice, patch positions and directions.

    Returns:
        RealSide.

    Raises:
        UsageError: images smaller than 16x16 or no power of two; no room for temporary files.
    """
    resolution = real_images.shape[1]
    sides = level_sides(resolution)
    chosen = choice(len(real_images), fakes, seed)
    step = _chunk_images(resolution)
    chunks = (real_images[chosen[i : i + step]] for i in range(0, fakes, step))
    random = np.random.default_rng([seed, 1])
    directions = tuple(unit_directions(random.standard_normal((FEATURES, DIRECTIONS))) for _ in sides)
    projections = []
    for descriptors, towards in zip(_describe(chunks, fakes, sides, seed), directions, strict=True):
        projections.append(Spool(fakes * PATCHES_PER_IMAGE, 1))
        projections[-1].append(_project(descriptors, towards))
    protocol = {
        "reals": len(real_images),
        "fakes": fakes,
        "levels": list(sides),
        "patches_per_image": PATCHES_PER_IMAGE,
        "directions": DIRECTIONS,
        "seed": seed,
    }
    return RealSide(fakes, seed, resolution, directions, tuple(projections), protocol)


def measure(real_side, chunks):
    """Distance of generated images from the real side, averaged over levels.

    Args:
        real_side: of `prepare`.
        chunks: iterable of uint8 [n, R, R, 3], `real_side.fakes` images in all.

    Returns:
        float >= 0. Even two samples of one distribution differ: compare scores at equal numbers of images only.
    """
    return scores(real_side, chunks)["mean"]


def scores(real_side, chunks):
    """Distances on each level and their mean: {"mean": float, "256": float, "128": float ...}, finest level first."""
    sides = level_sides(real_side.resolution)
    levels = {}
    for side, real, descriptors, directions in zip(
        sides,
        real_side.projections,
        _describe(chunks, real_side.fakes, sides, real_side.seed),
        real_side.directions,
        strict=True,
    ):
        fake = _project(descriptors, directions)
        pairs = zip(real, fake, strict=True)
        levels[str(side)] = float(np.mean([distance(real_row, fake_row[None]) for real_row, fake_row in pairs]))
    return {"mean": float(np.mean(list(levels.values()))), **levels}


def level_sides(resolution):
    """Pixels of each pyramid level, finest first. Raises UsageError for images that have no such levels."""
    if resolution < LOWEST_LEVEL or resolution & (resolution - 1):
        raise UsageError(f"swd needs a resolution that is a power of two >= {LOWEST_LEVEL}, got {resolution}")
    return [resolution >> i for i in range((resolution // LOWEST_LEVEL).bit_length())]


def _describe(chunks, count, sides, seed):
    """Descriptors of `count` images, not yet normalised: for each level a Spool of count * PATCHES_PER_IMAGE rows.

    Positions are drawn for the whole set before the first image, so they do not depend on the size of the chunks.
    """
    random = np.random.default_rng([seed, 2])
    centres = [random.integers(MARGIN, side - MARGIN, (2, count, PATCHES_PER_IMAGE)) for side in sides]
    descriptors = [Spool(FEATURES, BLOCK_ROWS) for _ in sides]
    done = 0
    for images in _pieces(chunks, _chunk_images(sides[0])):
        images = np.ascontiguousarray(np.moveaxis(images, 3, 1), np.float32)
        first, done = done, done + len(images)
        if done > count:
            break
        for level, (vertical, horizontal), out in zip(laplacian_pyramid(images), centres, descriptors, strict=True):
            out.append(patches_at(level, vertical[first:done], horizontal[first:done]))
    if done != count:
        raise ValueError(f"the score is defined for {count} images, got {'more' if done > count else done}")
    return descriptors


def _project(descriptors, directions):
    """Normalises a Spool of descriptors by the whole of it, and projects it: [D, n] float32, sorted along n."""
    mean, deviation = channel_statistics(descriptors, channels=3)
    projections = np.empty((directions.shape[1], descriptors.count), np.float32)
    first = 0
    for block in descriptors:
        np.matmul(directions.T, rescale(block, mean, deviation).T, out=projections[:, first : first + len(block)])
        first += len(block)
    projections.sort(axis=1)
    return projections


def _pieces(chunks, step):
    for chunk in chunks:
        for i in range(0, len(chunk), step):
            yield chunk[i : i + step]


def _chunk_images(resolution):
    return max(1, CHUNK_PIXELS // resolution**2)
