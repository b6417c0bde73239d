"""The transforms of ADA: affine maps of positions and colours, band filters, cutout.

Positions are in pixels from the image's centre, x to the right and y down. A geometric map takes the position of an
output pixel to the position in the input image that it is read from.

Source: Karras et al. 2020 (Training Generative Adversarial Networks with Limited Data), appendix B.
"""

import functools
import math

import numpy as np
import tensorflow as tf

from gan_tf.augment.ada_resample import along_both, reflected

EYE = np.eye(3, dtype=np.float32)
LUMA = np.full(3, 1 / math.sqrt(3), np.float32)  # unit vector in the direction of the greys
ONTO_LUMA = np.outer(LUMA, LUMA)  # projection of a colour on the greys
ACROSS_LUMA = EYE - ONTO_LUMA
# The cross product v -> LUMA x v as a matrix
AROUND_LUMA = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]], np.float32) / np.float32(math.sqrt(3))
BANDS = 4
# Share of the power of natural images, about 1/f^2, in each octave band; preserves the brightness of amplified images
EXPECTED_POWER = np.array([10.0, 1.0, 1.0, 1.0], np.float32) / 13.0


def geometric_map(parameters, sides):
    """Product of the geometric transforms among `parameters` {name: [N] or [N, 2]}, see `ada.parameters`.

    `sides` are (height, width) of the images in pixels.

    Returns:
        [N, 3, 3], for homogeneous positions (x, y, 1). Without rotations by arbitrary angles, either the diagonal or
        the rest of the 2x2 part is exactly zero.
    """
    count = next(iter(parameters.values())).shape[0]
    total = tf.eye(3, batch_shape=[count])
    for name, factor in GEOMETRIC.items():
        if name in parameters:
            first, second = factor(parameters[name], sides)
            entries = [tf.broadcast_to(entry, [count]) for entry in (*first, *second, 0.0, 0.0, 1.0)]
            total = product(total, tf.reshape(tf.stack(entries, axis=1), (-1, 3, 3)))
    return total


def product(one, other):
    """one [N, 3, 3] @ other [N, 3, K], without a matrix product, which accelerators may round to fewer digits."""
    return tf.reduce_sum(one[..., None] * other[:, None], axis=2)


def _rotation(cos, sin):
    return (cos, -sin, 0.0), (sin, cos, 0.0)


def _translation(shifts, sides, rounded=False):
    x, y = (-shifts[:, axis] * side for axis, side in enumerate((sides[1], sides[0])))
    if rounded:
        x, y = tf.round(x), tf.round(y)
    return (1.0, 0.0, x), (0.0, 1.0, y)


def _quarter_turns(turns, sides):
    turns = tf.cast(turns, tf.int32)  # from a table, since cos(pi / 2) is not exactly 0
    return _rotation(tf.gather([1.0, 0.0, -1.0, 0.0], turns), tf.gather([0.0, 1.0, 0.0, -1.0], turns))


def _rotate(angle, sides):
    return _rotation(tf.cos(angle), tf.sin(angle))


# {transform: (parameter, sides) -> first two rows of its matrix, entries [N] or numbers}. The map is their product
# in this order, from the left.
GEOMETRIC = {
    "xflip": lambda flips, sides: ((1.0 - 2.0 * flips, 0.0, 0.0), (0.0, 1.0, 0.0)),
    "rotate90": _quarter_turns,
    "xint": lambda shifts, sides: _translation(shifts, sides, rounded=True),
    "scale": lambda factor, sides: ((1.0 / factor, 0.0, 0.0), (0.0, 1.0 / factor, 0.0)),
    "rotate_pre": _rotate,
    "aniso": lambda factor, sides: ((1.0 / factor, 0.0, 0.0), (0.0, factor, 0.0)),
    "rotate_post": _rotate,
    "xfrac": _translation,
}


def color_map(parameters):
    """Combined map of the colour transforms among `parameters`, for colours in [-1, 1].

    parameters {name: [N]}, see `ada.parameters` -> (matrix [N, 3, 3], offset [N, 3]): the new colour is
    matrix @ colour + offset.
    """
    count = next(iter(parameters.values())).shape[0]
    matrix, offset = tf.eye(3, batch_shape=[count]), tf.zeros([count, 3])
    if "brightness" in parameters:
        offset += parameters["brightness"][:, None]
    for name, factor in COLOR.items():
        if name in parameters:
            by = factor(parameters[name][:, None, None])  # [N, 3, 3]
            matrix, offset = product(by, matrix), product(by, offset[..., None])[..., 0]
    return matrix, offset


def recolor(images, matrix, offset):
    """Applies an affine map to every pixel: images [N, H, W, C], matrix [N, 3, 3], offset [N, 3] -> [N, H, W, C].

    A grey value is mapped as the colour of three such values, to the mean of the result. The colours of RGBA are
    multiplied by alpha, and so is the offset.
    """
    if images.shape[3] == 1:
        factor = tf.reduce_sum(matrix, axis=(1, 2))[:, None, None, None] / 3.0
        return images * factor + tf.reduce_mean(offset, axis=1)[:, None, None, None]
    count, height, width, channels = images.shape
    pixels = tf.reshape(images, (count, height * width, channels))
    shift, change = offset[:, None], matrix - EYE
    if channels == 4:
        shift *= pixels[..., 3:]
        pixels = pixels[..., :3]
    # The change is added, so that the identity changes nothing, however an accelerator rounds products.
    change = tf.matmul(pixels, change, transpose_b=True) + shift
    if channels == 4:
        change = tf.pad(change, [[0, 0], [0, 0], [0, 1]])
    return images + tf.reshape(change, images.shape)


COLOR = {  # {transform: parameter [N, 1, 1] -> matrix}, in the order of application; hue by Rodrigues' formula
    "contrast": lambda factor: EYE * factor,
    "lumaflip": lambda flips: EYE - 2.0 * flips * ONTO_LUMA,
    "hue": lambda angle: ONTO_LUMA + ACROSS_LUMA * tf.cos(angle) + AROUND_LUMA * tf.sin(angle),
    "saturation": lambda factor: ONTO_LUMA + ACROSS_LUMA * factor,
}


def filter_bank():
    """Symmetric filters of four octave bands, from the lowest up: float64 [4, 43], whose sum is a unit impulse.

    The band below each octave is split in halves: the lower half by the autocorrelation of Daubechies' wavelet of four
    taps, the upper half by that of the mirror filter. Filters of lower octaves are dilated by 2 and 4.
    """
    root = math.sqrt(3)
    wavelet = np.array([1 - root, 3 - root, 3 + root, 1 + root]) / (4 * math.sqrt(2))
    mirror = wavelet * np.array([1, -1, 1, -1])
    low, high = (np.convolve(w, w[::-1]) / 2 for w in (wavelet, mirror))  # of gain 1; their sum is a unit impulse
    below = np.convolve(_dilated(low, 2), low)
    filters = [np.convolve(_dilated(half, 4), below) for half in (low, high)]
    filters += [np.convolve(_dilated(high, 2), low), high]
    return np.stack([np.pad(f, (len(filters[0]) - len(f)) // 2) for f in filters])


def band_gains(parameters):
    """Gain of each band: factors are multiplied in turn, each followed by a scaling that keeps the expected power.

    parameters: {"imgfilter_0" ... "imgfilter_3": [N]} -> [N, 4].
    """
    total = 1.0
    for band in range(BANDS):
        factor = parameters[f"imgfilter_{band}"][:, None]
        gains = tf.where(np.arange(BANDS) == band, factor, 1.0)  # [N, 4]
        total *= gains * tf.math.rsqrt(tf.reduce_sum(EXPECTED_POWER * gains**2, axis=1, keepdims=True))
    return total


def amplify_bands(images, gains):
    """Filters both axes of images [N, H, W, C], reflected at the border, with `gains` [N, 4] of the bands."""
    rows, columns = (tf.einsum("nb,bij->nij", gains, _band_matrices(side)) for side in images.shape[1:3])
    return tf.transpose(along_both(images, rows, columns), (0, 2, 1, 3))


def cut_out(images, centres):
    """Sets a box of half of both sides to zero. centres [N, 2]: x and y in units of the sides, possibly outside."""
    positions = [(np.arange(side, dtype=np.float32) + 0.5) / side for side in images.shape[1:3]]
    rows, columns = (tf.abs(x - centres[:, axis, None]) >= 1 / 4 for x, axis in zip(positions, (1, 0), strict=True))
    kept = rows[:, :, None] | columns[:, None, :]
    return images * tf.cast(kept, images.dtype)[..., None]


def _dilated(taps, factor):
    """Taps with factor - 1 zeros between them."""
    return np.kron(taps, np.eye(factor)[0])[: 1 - factor]


@functools.cache
def _band_matrices(side):
    """Matrices that filter one axis, one for each band: float32 [4, side, side]."""
    filters = filter_bank()
    reach = filters.shape[1] // 2
    matrices = np.zeros((BANDS, side, side))
    for tap in range(filters.shape[1]):
        shifted = np.eye(side)[reflected(np.arange(side) + tap - reach, side)]
        matrices += filters[:, tap, None, None] * shifted
    return matrices.astype(np.float32)
