"""Resampling of images under affine maps without aliasing, linear in the images, differentiable to every order.

An image is continued by reflection. It is upsampled by two (the result is a texture, its pixels are texels), read by
bilinear interpolation at the positions that the map gives for an output grid of double density, and downsampled by two.
Gradients are explicit: the transposed map, with the same texels.

Changes of resolution and maps that keep axes parallel are matrices that act on one axis. Textures and grids are
[N, X, Y, C], x before y. Positions are in pixels from the image's centre. `sides` are (height, width).

Source: Karras et al. 2020 (Training Generative Adversarial Networks with Limited Data), appendix B.
"""

import functools
import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from gan_tf.ops.forms import compiles_chains, has_gpu

# Low-pass filter of the wavelet "symlet 6" (Daubechies 1992, least asymmetric of length 12)
SYMLET_6 = np.ravel(
    [
        [0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633],
        [0.4910559419267466, 0.787641141030194, 0.3379294217276218, -0.07263752278646252],
        [-0.021060292512300564, 0.04472490177066578, 0.0017677118642428036, -0.007800708325034148],
    ]
)
LOWPASS = SYMLET_6 / np.sum(SYMLET_6)
CENTRE = 5  # index of the tap at the sample itself
BORDER = 6  # samples of double density beyond each side of the image that downsampling needs
# Texels per part of the batch. On a CPU one image at a time is fastest: its texture stays in the cache, and each image
# uses the cheapest suitable method. A GPU needs large parts.
CPU_TEXELS, GPU_TEXELS = 2**16, 2**23
BLOCK = 32  # matrix rows per block; 8 to 64 are equally fast, and up to six times faster than the whole matrix


def resample(images, maps):
    """Resamples each image under its map.

    Flips and half turns shift by 0.1 pixel, as in the official program: the filter is not quite symmetric. Identity
    maps change no bit. Maps without rotations by arbitrary angles act on each axis separately and take a fraction of
    the time.

    images [N, H, W, C] float32, H, W >= 2; maps [N, 3, 3], from output positions to input positions, see
    `ada_maps.geometric_map` -> [N, H, W, C]. Beyond one reflection, H - 1 or W - 1 pixels from the border, an image is
    zero.
    """

    # Linear in the images: the gradient is the transposed map, and the gradient of that is the map again.
    @tf.custom_gradient
    def forward(x):
        return _in_parts((by_axis, general), x, maps), transposed

    @tf.custom_gradient
    def transposed(slopes):
        return _in_parts((by_axis_transposed, general_transposed), slopes, maps), forward

    return forward(images)


def _in_parts(methods, images, maps):
    """Processes the images in equal parts, each by the cheapest method that suits all its images."""
    count, sides = images.shape[0], images.shape[1:3]
    texels = math.prod(len(upsampling(side)[0]) for side in sides)
    part = math.gcd(count, max(1, (GPU_TEXELS if has_gpu() else CPU_TEXELS) // texels))

    def one_part(inputs):
        x, m = inputs
        branches = [lambda: x, *(functools.partial(method, x, m) for method in methods)]
        return tf.switch_case(tf.reduce_max(_method(m, sides)), branches)

    if part == count:
        return one_part((images, maps))
    parts = tuple(tf.reshape(t, (count // part, part, *t.shape[1:])) for t in (images, maps))
    output = tf.TensorSpec((part, *images.shape[1:]), images.dtype)
    return tf.reshape(tf.map_fn(one_part, parts, fn_output_signature=output), images.shape)


def _method(maps, sides):
    """Index of the cheapest suitable method for each map, int32 [N]: 0 unchanged, 1 by axis, 2 general."""
    by_axis = (maps[:, 0, 1] == 0) & (maps[:, 1, 0] == 0)
    if sides[0] == sides[1]:
        by_axis |= _is_swapped(maps)
    is_identity = tf.reduce_all(maps == np.eye(3, dtype=np.float32), axis=(1, 2))
    return tf.where(is_identity, 0, tf.where(by_axis, 1, 2))


def _is_swapped(maps):
    """True for maps that exchange the axes: bool [N]."""
    return (maps[:, 0, 0] == 0) & (maps[:, 1, 1] == 0)


def by_axis(images, maps):
    """Maps that keep the axes, or exchange those of squares, by a matrix per axis: images [N, H, W, C] -> like it."""
    rows, columns, swapped = _axis_matrices(maps, images.shape[1:3])
    if swapped is not None:
        images = tf.where(swapped, tf.transpose(images, (0, 2, 1, 3)), images)
    return tf.transpose(along_both(images, rows, columns), (0, 2, 1, 3))


def by_axis_transposed(slopes, maps):
    """The transpose of `by_axis`."""
    rows, columns, swapped = _axis_matrices(maps, slopes.shape[1:3])
    transposed = along_both(slopes, tf.linalg.matrix_transpose(rows), tf.linalg.matrix_transpose(columns))
    result = tf.transpose(transposed, (0, 2, 1, 3))
    return result if swapped is None else tf.where(swapped, transposed, result)


def _axis_matrices(maps, sides):
    """Matrices of rows [N, H, H] and of columns [N, W, W], and which images are transposed first: [N, 1, 1, 1].

    The last is None for images that are not square, and therefore not transposed.
    """
    if sides[0] != sides[1]:
        return _axis_matrix(maps[:, 1, 1:], sides[0]), _axis_matrix(maps[:, 0, ::2], sides[1]), None
    swapped = _is_swapped(maps)[:, None]
    rows = _axis_matrix(tf.where(swapped, maps[:, 0, 1:], maps[:, 1, 1:]), sides[0])
    columns = _axis_matrix(tf.where(swapped, maps[:, 1, ::2], maps[:, 0, ::2]), sides[0])
    return rows, columns, swapped[:, :, None, None]


def _axis_matrix(line, side):
    """Resamples one axis at factor * position + shift: `line` [N, 2] is (factor, shift) -> matrices [N, side, side]."""
    positions = line[:, :1] * _grid(side) + line[:, 1:]
    dense = 0.0
    for texel, weight in _two_neighbours(positions, side):
        dense += tf.gather(upsampling(side)[0], texel) * weight[..., None]  # [N, 2R + 12, R]
    return tf.matmul(downsampling(side), dense)


def general(images, maps):
    """Any maps, by interpolation in the texture: images [N, H, W, C], maps [N, 3, 3] -> [N, H, W, C]."""
    sides = tuple(images.shape[1:3])
    (up_rows, down_rows), (up_columns, down_columns) = (_banded_matrices(side, transposed=False) for side in sides)
    texture = along_both(images, up_rows, up_columns)
    return along_both(_for_sides(_read, sides, compiles_chains())(texture, maps), down_columns, down_rows)


def general_transposed(slopes, maps):
    """The transpose of `general`."""
    sides = tuple(slopes.shape[1:3])
    (up_rows, down_rows), (up_columns, down_columns) = (_banded_matrices(side, transposed=True) for side in sides)
    grid = along_both(slopes, down_rows, down_columns)
    return along_both(_for_sides(_write, sides, compiles_chains())(grid, maps), up_columns, up_rows)


def _read(sides, texture, maps):
    """Bilinear interpolation: texture [N, X, Y, C] -> grid [N, 2W + 12, 2H + 12, C]."""
    flat = tf.reshape(texture, (-1, texture.shape[3]))
    grid = 0.0
    for texel, weight in _four_neighbours(maps, sides):
        grid += tf.gather(flat, texel) * weight[..., None]
    return grid


def _write(sides, grid, maps):
    """The transpose of `_read`: grid [N, 2W + 12, 2H + 12, C] -> texture [N, X, Y, C]."""
    count, channels = grid.shape[0], grid.shape[3]
    height, width = (len(upsampling(side)[0]) for side in sides)
    texture = 0.0
    for texel, weight in _four_neighbours(maps, sides):
        values = tf.reshape(grid * weight[..., None], (-1, channels))
        texture += tf.math.unsorted_segment_sum(values, tf.reshape(texel, [-1]), count * width * height)
    return tf.reshape(texture, (count, width, height, channels))


def _four_neighbours(maps, sides):
    """The texels around each grid position: four pairs of index into the flat texture and weight, [N, X, Y]."""
    rows, columns = map(_grid, sides)
    x, y = (  # [N, X, Y]
        m[:, 0, None, None] * columns[:, None] + m[:, 1, None, None] * rows + m[:, 2, None, None]
        for m in (maps[:, 0], maps[:, 1])
    )
    height, width = (len(upsampling(side)[0]) for side in sides)
    first = tf.range(maps.shape[0])[:, None, None] * width  # of each image
    for x_texel, x_weight in _two_neighbours(x, sides[1]):
        for y_texel, y_weight in _two_neighbours(y, sides[0]):
            yield (first + x_texel) * height + y_texel, x_weight * y_weight


def _two_neighbours(positions, side):
    """Positions along one axis -> two pairs of neighbouring texel and weight."""
    texels = upsampling(side)[1]
    sample = 2.0 * positions + (side - 1) + (2 * side - 1)  # index into the list of texels
    sample = tf.clip_by_value(sample, 0.0, len(texels) - 2.0)  # both neighbours are zero at the ends
    below = tf.floor(sample)
    fraction = sample - below
    below = tf.cast(below, tf.int32)
    return (tf.gather(texels, below), 1.0 - fraction), (tf.gather(texels, below + 1), fraction)


def _grid(side):
    """Positions of the output grid along one axis: float32 [2R + 12]."""
    return ((np.arange(2 * (side + BORDER)) - BORDER) / 2 - (side - 1) / 2).astype(np.float32)


@functools.cache
def _for_sides(function, sides, compiled):
    """`function` for images of these sides; compiled to one loop by XLA it is three times as fast on a CPU."""
    function = functools.partial(function, sides)
    return tf.function(function, jit_compile=True, autograph=False) if compiled else function


def reflected(positions, side):
    """Index of the pixel at integer `positions` of a row of `side` >= 2 pixels that continues by reflection."""
    positions = np.mod(positions, 2 * (side - 1))
    return np.minimum(positions, 2 * (side - 1) - positions)


@functools.cache
def upsampling(side):
    """Upsampling by two of a row that is continued by one reflection on each side and is zero beyond.

    Returns:
        (matrix float32 [T, side], texels int32 [6 side - 1]): row texels[n + 2 side - 1] of the matrix gives sample n
        of double density; n = 2i is pixel i. The first and the last two entries are for all samples that are zero. Many
        rows are used by two samples, since the reflected row has the period 2 (side - 1).
    """
    samples = np.arange(1 - 2 * side, 4 * side)
    exists = (samples >= 2 - 2 * side) & (samples < 4 * side - 2)
    taps = 2.0 * LOWPASS
    matrix = np.zeros((len(samples), side))
    for pixel in range(1 - side, 2 * side - 1):
        tap = samples + CENTRE - 2 * pixel
        used = exists & (tap >= 0) & (tap < len(taps))
        matrix[used, reflected(pixel, side)] += taps[tap[used]]

    period = 4 * (side - 1)
    first = 1 - side  # start of the period that is farthest from the zeros
    texels = np.mod(samples - first, period)
    of_period = matrix[first - samples[0] :][:period]
    differs = (matrix != of_period[texels]).any(axis=1)  # near the zeros, on both sides
    texels[differs] = period + np.arange(differs.sum())
    return np.concatenate([of_period, matrix[differs]]).astype(np.float32), texels.astype(np.int32)


@functools.cache
def downsampling(side):
    """Downsampling by two of a row with BORDER more samples on each side: float32 [side, 2 side + 12]."""
    matrix = np.zeros((side, 2 * (side + BORDER)))
    for pixel in range(side):
        first = 2 * pixel + BORDER - CENTRE
        matrix[pixel, first : first + len(LOWPASS)] = LOWPASS
    return matrix.astype(np.float32)


@functools.cache
def _banded_matrices(side, transposed):
    """Upsampling and downsampling, or their transposes."""
    up, down = upsampling(side)[0], downsampling(side)
    return (banded(up.T), banded(down.T)) if transposed else (banded(up), banded(down))


class Banded(NamedTuple):
    """A matrix [J, I] in B blocks of rows, without the columns that are zero in a block."""

    sources: np.ndarray  # int32 [B, K], the columns that a block uses, padded with column 0
    weights: np.ndarray  # float32 [B, rows, K], the matrix there, zero where padded
    rows: int  # J


def banded(matrix, block=BLOCK):
    """Returns an array [J, I] as Banded, in blocks of `block` rows."""
    rows, columns = matrix.shape
    count = -(-rows // block)
    padded = np.zeros((count * block, columns), np.float32)
    padded[:rows] = matrix
    blocks = padded.reshape(count, block, columns)
    used = [np.flatnonzero((part != 0).any(axis=0)) for part in blocks]
    sources = np.zeros((count, max(1, *(len(columns) for columns in used))), np.int32)
    weights = np.zeros((count, block, sources.shape[1]), np.float32)
    for i, columns in enumerate(used):
        sources[i, : len(columns)] = columns
        weights[i, :, : len(columns)] = blocks[i][:, columns]
    return Banded(sources, weights, rows)


def along_rows(x, matrix):
    """Multiplies axis 1 of x [N, I, W, C] by a Banded, or a tensor [J, I] or [N, J, I] -> [N, J, W, C]."""
    count, rows, width, channels = x.shape
    x = tf.reshape(x, (count, rows, width * channels))
    if isinstance(matrix, Banded):
        x = tf.matmul(matrix.weights, tf.gather(x, matrix.sources, axis=1))  # [N, B, rows, W * C]
        x = tf.reshape(x, (count, -1, width * channels))[:, : matrix.rows]
    else:
        x = tf.matmul(matrix, x)
    return tf.reshape(x, (count, x.shape[1], width, channels))


def along_both(x, rows, columns):
    """Multiplies both axes by a matrix and swaps them, which is twice as fast as restoring their order.

    x [N, I, K, C], rows [J, I], columns [L, K] -> [N, L, J, C], the transpose of rows x columns^T.
    """
    return along_rows(tf.transpose(along_rows(x, rows), (0, 2, 1, 3)), columns)
