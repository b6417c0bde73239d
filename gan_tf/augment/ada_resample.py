"""Resampling of images under affine maps without aliasing, linear in the images, differentiable to every order.

An image continues by reflection. It is upsampled by two (the outcome is called texture), read by bilinear interpolation
at the places that the map gives to an output grid of double density, and downsampled by two. Gradients are given by
hand: the transposed map, which visits the same texels.

Inside, textures and grids have x before y: [N, X, Y, C].

Source: Karras et al. 2020 (Training Generative Adversarial Networks with Limited Data), appendix B.
"""

import functools
import math

import numpy as np
import tensorflow as tf

from gan_tf.augment.ada_lowpass import BORDER, downsampling, upsampling
from gan_tf.ops.banded import along_both, banded
from gan_tf.ops.forms import forms

# Texels held at a time. On a CPU one image at a time is fastest: its texture stays in the cache, and each image takes
# the cheapest way that serves it. A GPU wants many at once.
CPU_TEXELS, GPU_TEXELS = 2**16, 2**23


def resample(images, maps):
    """Shows each image under its map.

    Flips and half turns come with a shift by 0.1 pixel, as in the official program: the filter is not quite symmetric.
    Images whose maps are all the identity stay as they are, to the bit. Maps without rotations by arbitrary angles act
    on each axis alone, and take a fraction of the time.

    Args:
        images: [N, R, R, C] float32, R >= 2.
        maps: [N, 3, 3], from places of the output to places of the input, as gan_tf.augment.ada_geometry makes them.

    Returns:
        [N, R, R, C]. Beyond one reflection, R - 1 pixels from the border, an image is zero.
    """
    if images.shape[1] != images.shape[2]:
        raise ValueError(f"images must be square, got {images.shape}")

    # Linear in the images: the gradient is the transposed map, and the gradient of that is the map again.
    @tf.custom_gradient
    def shown(x):
        return _in_parts(WAYS, x, maps), shown_transposed

    @tf.custom_gradient
    def shown_transposed(slopes):
        return _in_parts(TRANSPOSED_WAYS, slopes, maps), shown

    return shown(images)


def _in_parts(ways, images, maps):
    """Works through the images in equal parts, each in the first of `ways` that serves all its images."""
    count, side = images.shape[:2]
    texels = GPU_TEXELS if _has_gpu() else CPU_TEXELS
    part = math.gcd(count, max(1, texels // len(upsampling(side)[0]) ** 2))

    def one_part(given):
        x, m = given
        return tf.switch_case(tf.reduce_max(_way(m)), [lambda way=way: way(x, m) for way in ways])

    if part == count:
        return one_part((images, maps))
    parts = tuple(tf.reshape(t, (count // part, part, *t.shape[1:])) for t in (images, maps))
    outcome = tf.TensorSpec((part, *images.shape[1:]), images.dtype)
    return tf.reshape(tf.map_fn(one_part, parts, fn_output_signature=outcome), images.shape)


def _way(maps):
    """Index in WAYS for each map, int32 [N]."""
    is_straight = (maps[:, 0, 1] == 0) & (maps[:, 1, 0] == 0)
    is_swapped = (maps[:, 0, 0] == 0) & (maps[:, 1, 1] == 0)
    is_identity = tf.reduce_all(maps == np.eye(3, dtype=np.float32), axis=(1, 2))
    return tf.where(is_identity, 0, tf.where(is_straight | is_swapped, 1, 2))


# One: nothing to do.


def unchanged(images, maps):
    """For maps that are the identity."""
    return images


# Two: the map takes each axis to one axis. All that happens along an axis is one matrix for each image.


def by_axis(images, maps):
    """For maps with a zero diagonal or zeros beside it: images [N, R, R, C], maps [N, 3, 3] -> [N, R, R, C]."""
    rows, columns, swapped = _axis_matrices(maps, images.shape[1])
    turned = tf.transpose(images, (0, 2, 1, 3))
    return _both(tf.where(swapped, turned, images), rows, columns)


def by_axis_transposed(slopes, maps):
    """The transpose of `by_axis`."""
    rows, columns, swapped = _axis_matrices(maps, slopes.shape[1])
    images = _both(slopes, tf.linalg.matrix_transpose(rows), tf.linalg.matrix_transpose(columns))
    return tf.where(swapped, tf.transpose(images, (0, 2, 1, 3)), images)


def _both(x, rows, columns):
    return tf.transpose(along_both(x, rows, columns), (0, 2, 1, 3))


def _axis_matrices(maps, side):
    """Matrices of rows and of columns [N, R, R], and whether the image is transposed first [N, 1, 1, 1]."""
    swapped = (maps[:, 0, 0] == 0) & (maps[:, 1, 1] == 0)
    y_of_rows, x_of_columns = (_axis_matrix(maps[:, i, i], maps[:, i, 2], side) for i in (1, 0))
    x_of_rows, y_of_columns = (_axis_matrix(maps[:, i, 1 - i], maps[:, i, 2], side) for i in (0, 1))
    choose = swapped[:, None, None]
    return (
        tf.where(choose, x_of_rows, y_of_rows),
        tf.where(choose, y_of_columns, x_of_columns),
        choose[..., None],
    )


def _axis_matrix(factor, shift, side):
    """Reads one axis at factor * place + shift: [N], [N] -> [N, R, R]."""
    at = factor[:, None] * _places(side) + shift[:, None]
    dense = 0.0
    for texel, weight in _two_neighbours(at, side):
        dense += tf.gather(upsampling(side)[0], texel) * weight[..., None]  # [N, 2R + 12, R]
    return tf.matmul(downsampling(side), dense)


# Three: any map.


def anywhere(images, maps):
    """For any maps: images [N, R, R, C], maps [N, 3, 3] -> [N, R, R, C]."""
    side = images.shape[1]
    up, _, down, _ = _banded(side)
    texture = along_both(images, up, up)
    return along_both(_compiled(_read, side)(texture, maps), down, down)


def anywhere_transposed(slopes, maps):
    """The transpose of `anywhere`."""
    side = slopes.shape[1]
    _, up_transposed, _, down_transposed = _banded(side)
    grid = along_both(slopes, down_transposed, down_transposed)
    return along_both(_compiled(_write, side)(grid, maps), up_transposed, up_transposed)


def _read(side, texture, maps):
    """Bilinear interpolation. texture [N, T, T, C] -> grid [N, 2R + 12, 2R + 12, C]."""
    flat = tf.reshape(texture, (-1, texture.shape[3]))
    grid = 0.0
    for texel, weight in _four_neighbours(maps, side):
        grid += tf.gather(flat, texel) * weight[..., None]
    return grid


def _write(side, grid, maps):
    """The transpose of `_read`. grid [N, 2R + 12, 2R + 12, C] -> texture [N, T, T, C]."""
    count, channels = grid.shape[0], grid.shape[3]
    size = len(upsampling(side)[0])
    texture = 0.0
    for texel, weight in _four_neighbours(maps, side):
        parts = tf.reshape(grid * weight[..., None], (-1, channels))
        texture += tf.math.unsorted_segment_sum(parts, tf.reshape(texel, [-1]), count * size**2)
    return tf.reshape(texture, (count, size, size, channels))


def _four_neighbours(maps, side):
    """The texels around each place of the grid: four pairs of index into the flat texture and weight, [N, X, Y]."""
    places = _places(side)
    x, y = (  # [N, X, Y]
        m[:, 0, None, None] * places[:, None] + m[:, 1, None, None] * places + m[:, 2, None, None]
        for m in (maps[:, 0], maps[:, 1])
    )
    size = len(upsampling(side)[0])
    first = tf.range(maps.shape[0])[:, None, None] * size  # of each image
    for x_texel, x_weight in _two_neighbours(x, side):
        for y_texel, y_weight in _two_neighbours(y, side):
            yield (first + x_texel) * size + y_texel, x_weight * y_weight


# What the last two share.


def _places(side):
    """Places of the grid along one axis, in pixels from the centre: float32 [2R + 12]."""
    return ((np.arange(2 * (side + BORDER)) - BORDER) / 2 - (side - 1) / 2).astype(np.float32)


def _two_neighbours(at, side):
    """Places along one axis, in pixels from the centre -> two pairs of the texel beside it and its weight."""
    texels = upsampling(side)[1]
    sample = 2.0 * at + (side - 1) + (2 * side - 1)  # its place in the list of texels
    sample = tf.clip_by_value(sample, 0.0, len(texels) - 2.0)  # to where both neighbours are zero
    below = tf.floor(sample)
    part = sample - below
    below = tf.cast(below, tf.int32)
    return (tf.gather(texels, below), 1.0 - part), (tf.gather(texels, below + 1), part)


@functools.cache
def _banded(side):
    """Upsampling, its transpose, downsampling, its transpose."""
    up, down = upsampling(side)[0], downsampling(side)
    return banded(up), banded(up.T), banded(down), banded(down.T)


def _compiled(function, side):
    """The function for images of `side` pixels, joined into one loop by XLA on a CPU: three times as fast there."""
    if forms().compiled_resampling and not _has_gpu():
        return _by_xla(function, side)
    return functools.partial(function, side)


@functools.cache
def _by_xla(function, side):
    return tf.function(functools.partial(function, side), jit_compile=True, autograph=False)


@functools.cache
def _has_gpu():
    return bool(tf.config.list_logical_devices("GPU"))


WAYS = (unchanged, by_axis, anywhere)
TRANSPOSED_WAYS = (unchanged, by_axis_transposed, anywhere_transposed)
