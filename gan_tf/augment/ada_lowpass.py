"""Changes of resolution by two with an orthogonal wavelet's low-pass filter, as matrices of one axis.

Source: Karras et al. 2020 (Training Generative Adversarial Networks with Limited Data), appendix B.
"""

import functools

import numpy as np

# Low-pass filter of the wavelet "symlet 6" (Daubechies 1992, least asymmetric of length 12), to be scaled to sum 1.
SYMLET_6 = (
    0.015404109327027373,
    0.0034907120842174702,
    -0.11799011114819057,
    -0.048311742585633,
    0.4910559419267466,
    0.787641141030194,
    0.3379294217276218,
    -0.07263752278646252,
    -0.021060292512300564,
    0.04472490177066578,
    0.0017677118642428036,
    -0.007800708325034148,
)
CENTRE = 5  # tap that falls on the sample itself
BORDER = 6  # samples of double density that downsampling needs beyond the image, on each side


def lowpass():
    """The filter, float64 [12], of sum 1."""
    taps = np.array(SYMLET_6)
    return taps / taps.sum()


def reflected(places, side):
    """Which of `side` >= 2 pixels stands at `places` (integers) of a row that is continued by reflection."""
    places = np.mod(places, 2 * (side - 1))
    return np.minimum(places, 2 * (side - 1) - places)


@functools.cache
def upsampling(side):
    """Upsampling by two of a row that goes on for one reflection to each side, and is zero from there.

    Returns:
        (matrix float32 [T, side], texels int32 [6 side - 1]): row texels[n + 2 side - 1] of the matrix gives sample n
        of double density; n = 2i is pixel i. The first and the last two entries stand for all samples that are zero.
        Many rows serve two samples, since the reflected row has the period 2 (side - 1).
    """
    samples = np.arange(1 - 2 * side, 4 * side)
    exists = (samples >= 2 - 2 * side) & (samples < 4 * side - 2)
    taps = 2.0 * lowpass()
    matrix = np.zeros((len(samples), side))
    for pixel in range(1 - side, 2 * side - 1):
        tap = samples + CENTRE - 2 * pixel
        used = exists & (tap >= 0) & (tap < len(taps))
        matrix[used, reflected(pixel, side)] += taps[tap[used]]

    period = 4 * (side - 1)
    first = 1 - side  # the period that begins here lies farthest from the zeros
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
        matrix[pixel, first : first + len(SYMLET_6)] = lowpass()
    return matrix.astype(np.float32)
