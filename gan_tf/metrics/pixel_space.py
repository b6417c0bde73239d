"""Images as short vectors that can be compared without any network: small, smooth, without colour cast and contrast.

The plain difference of pixels calls a copy new as soon as it is a little brighter, paler, blurred or half a pixel off.
So each image is weighed down to 16x16 with Gaussian windows wide enough that a shift by a pixel of 64 changes little,
the mean of each channel is taken away, and what is left is scaled to unit deviation. Figures of what that buys stand in
`memorisation`.
"""

import numpy as np

SIDE = 16  # samples a side
REACH = 0.6  # deviation of the windows, in distances between samples: they overlap, so nothing falls between two
FAINT = 5.0  # grey levels; contrasts below this are not blown up
CHUNK_PIXELS = 2**22  # images are taken this many pixels at a time


def pixel_vectors(images):
    """Describes images: uint8 [N, H, W, 3] -> float32 [N, 768], each 16 x 16 x 3 values in rows, columns, channels."""
    _, height, width, channels = images.shape
    rows, columns = windows(height), windows(width)
    vectors = np.empty((len(images), SIDE * SIDE * channels), np.float32)
    step = max(1, CHUNK_PIXELS // (height * width))
    for first in range(0, len(images), step):
        chunk = np.asarray(images[first : first + step], np.float32)
        small = np.matmul(rows, chunk.reshape(len(chunk), height, -1)).reshape(len(chunk), SIDE, width, channels)
        small = np.matmul(columns, small)  # [n, 16, 16, C]
        small -= small.mean(axis=(1, 2), keepdims=True)
        power = np.mean(np.square(small), axis=(1, 2, 3), keepdims=True)
        small /= np.sqrt(power + FAINT**2)
        vectors[first : first + len(chunk)] = small.reshape(len(chunk), -1)
    return vectors


def mirrored_vectors(vectors):
    """What `pixel_vectors` gives for the images mirrored left to right: [N, 768] -> [N, 768]."""
    return vectors.reshape(len(vectors), SIDE, SIDE, -1)[:, :, ::-1].reshape(vectors.shape)


def windows(side):
    """Weights of `side` pixels in each of 16 evenly spaced samples: float32 [16, side], rows that add up to 1."""
    centres = (np.arange(SIDE) + 0.5) * side / SIDE
    distance = (np.arange(side) + 0.5 - centres[:, None]) * SIDE / side
    # In units of samples; a side below 16 pixels makes the windows as wide as its pixels.
    weights = np.exp(-0.5 * np.square(distance / (REACH * max(1, SIDE / side))))
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
