"""Adaptive augmentation: image-space filtering, additive noise, cutout.

Source: Karras et al. 2020 (Training Generative Adversarial Networks with Limited Data), appendix B.
"""

import functools
import math

import numpy as np
import tensorflow as tf

from gan_tf.augment.ada_lowpass import reflected
from gan_tf.ops.banded import along_both

BANDS = 4
# Share of the power of natural images, about 1/f^2, in each octave band: what keeps amplified images as bright.
EXPECTED_POWER = np.array([10.0, 1.0, 1.0, 1.0], np.float32) / 13.0
CUTOUT_SIZE = 0.5  # side of the box, of the image's side


def filter_bank():
    """Symmetric filters of four octave bands, from the lowest up: float64 [4, 43], together the identity.

    Each octave splits what is below it in halves: the lower one with the autocorrelation of Daubechies' wavelet of
    four taps, the upper one with that of the mirror filter. The filters of lower octaves are spread by 2 and 4.
    """
    root = math.sqrt(3)
    wavelet = np.array([1 - root, 3 - root, 3 + root, 1 + root]) / (4 * math.sqrt(2))
    low = np.convolve(wavelet, wavelet[::-1]) / 2  # low-pass of gain 1
    mirror = wavelet * np.array([1, -1, 1, -1])
    high = np.convolve(mirror, mirror[::-1]) / 2  # low + high is a unit impulse
    finest = [high]
    middle = [np.convolve(_spread(high, 2), low)]
    below = np.convolve(_spread(low, 2), low)
    coarse = [np.convolve(_spread(half, 4), below) for half in (low, high)]
    filters = [*coarse, *middle, *finest]
    length = len(filters[0])
    return np.stack([np.pad(f, (length - len(f)) // 2) for f in filters])


def band_gains(parameters):
    """Gain of each band: the four factors are applied in turn, each followed by a return to the expected power.

    parameters: {"imgfilter_0" ... "imgfilter_3": [N]} -> [N, 4].
    """
    total = 1.0
    for band in range(BANDS):
        factor = parameters[f"imgfilter_{band}"][:, None]
        gains = tf.where(np.arange(BANDS) == band, factor, 1.0)  # [N, 4]
        total *= gains * tf.math.rsqrt(tf.reduce_sum(EXPECTED_POWER * gains**2, axis=1, keepdims=True))
    return total


def amplify_bands(images, gains):
    """Filters both axes with the bands weighted by `gains`, images continued by reflection.

    images [N, R, R, C], gains [N, 4] -> [N, R, R, C].
    """
    along_side = tf.einsum("nb,bij->nij", gains, _band_matrices(images.shape[1]))
    return tf.transpose(along_both(images, along_side, along_side), (0, 2, 1, 3))


def add_noise(images, deviations, normals):
    """Adds white noise. images and normals [N, H, W, C]; deviations [N] >= 0, in units of the images."""
    return images + normals * deviations[:, None, None, None]


def cut_out(images, centres):
    """Zeroes a box of half the side. centres [N, 2]: x and y, as parts of the side; far away, nothing is zeroed."""
    places = (np.arange(images.shape[1], dtype=np.float32) + 0.5) / images.shape[1]
    outside = tf.abs(places - centres[..., None]) >= CUTOUT_SIZE / 2  # [N, 2, R]
    kept = outside[:, 1, :, None] | outside[:, 0, None, :]
    return images * tf.cast(kept, images.dtype)[..., None]


def _spread(taps, factor):
    """Puts factor - 1 zeros between taps."""
    spread = np.zeros(factor * (len(taps) - 1) + 1)
    spread[::factor] = taps
    return spread


@functools.cache
def _band_matrices(side):
    """Filtering with each band along one axis, as matrices: float32 [4, side, side]."""
    filters = filter_bank()
    reach = filters.shape[1] // 2
    matrices = np.zeros((BANDS, side, side))
    for tap in range(filters.shape[1]):
        sources = reflected(np.arange(side) + tap - reach, side)
        for band in range(BANDS):
            np.add.at(matrices[band], (np.arange(side), sources), filters[band, tap])
    return matrices.astype(np.float32)
