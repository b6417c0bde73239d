"""Images as short vectors that can be compared without any network: small, smooth, without colour cast and contrast.

The plain difference of pixels calls a copy new as soon as it is a little brighter, paler, blurred or half a pixel off.
So each image is weighed down to 16x16 with Gaussian windows wide enough that a shift by a pixel of 64 changes little,
the mean of each channel is taken away, and what is left is scaled to unit deviation. Two such vectors are compared
after the best small move and zoom of one onto the other. Figures of what that buys stand in `memorisation`.

Source: the comparison is the tangent distance of Simard et al. 1993, with the mean of both images' tangents.
"""

import functools

import numpy as np

SIDE = 16  # samples a side
VECTOR = SIDE * SIDE * 3
REACH = 0.6  # deviation of the windows, in distances between samples: they overlap, so nothing falls between two
FAINT = 5.0  # grey levels; contrasts below this are not blown up
FARTHEST = 1.0  # samples by which a move, or a zoom at the border, may shift an image: a sixteenth of its side
CHUNK_PIXELS = 2**22  # images are taken this many pixels at a time


def pixel_vectors(images, out=None):
    """Describes images: uint8 [N, H, W, 3] -> float32 [N, 768], each 3 x 16 x 16 values in channels, rows, columns.

    Images may be a memory map; `out` is the array to fill.
    """
    _, height, width, channels = images.shape
    rows, columns = windows(height), windows(width)
    vectors = np.empty((len(images), VECTOR), np.float32) if out is None else out
    step = max(1, CHUNK_PIXELS // (height * width))
    for first in range(0, len(images), step):
        chunk = np.asarray(images[first : first + step], np.float32)
        small = np.matmul(rows, chunk.reshape(len(chunk), height, -1)).reshape(len(chunk), SIDE, width, channels)
        small = np.matmul(columns, small)  # [n, 16, 16, C]
        small -= small.mean(axis=(1, 2), keepdims=True)
        power = np.mean(np.square(small), axis=(1, 2, 3), keepdims=True)
        small /= np.sqrt(power + FAINT**2)
        vectors[first : first + len(chunk)] = np.moveaxis(small, 3, 1).reshape(len(chunk), -1)
    return vectors


def mirrored_vectors(vectors):
    """What `pixel_vectors` gives for the images mirrored left to right: [N, 768] -> [N, 768]."""
    return vectors.reshape(len(vectors), -1, SIDE)[:, :, ::-1].reshape(len(vectors), -1)


def aligned_distance(a, b):
    """Distances of vectors [n, 768] and [n, 768] after the best small move and zoom: float64 [n], the same both ways.

    The change of an image that is moved down or right, or zoomed, is taken as linear: its derivative times the extent.
    Products of matrices are rounded otherwise in another number of rows. So all is done in float64 and rounded to
    float32 at the end: a pair's distance does not depend on the pairs beside it.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    tangents = _tangents((a + b) / 2)  # [n, C, 3, 256]
    difference = (a - b).reshape(len(a), -1, SIDE * SIDE)  # [n, C, 256]
    gram = (tangents @ tangents.swapaxes(2, 3)).sum(axis=1)  # [n, 3, 3]
    along = (tangents @ difference[..., None]).sum(axis=1)  # [n, 3, 1]
    # A trace of the trace keeps the system solvable where an image is flat, or the same in one direction.
    ridge = 1e-4 * np.trace(gram, axis1=1, axis2=2) + 1e-9
    extent = np.linalg.solve(gram + ridge[:, None, None] * np.eye(gram.shape[1]), along)
    extent = extent.clip(-FARTHEST, FARTHEST)
    difference = difference - (extent.swapaxes(1, 2)[:, None] @ tangents)[:, :, 0]
    return np.sqrt(np.sum(np.square(difference), axis=(1, 2))).astype(np.float32).astype(np.float64)


def _tangents(vectors):
    """How vectors change by a move down, a move right and a zoom: [n, 768] -> [n, C, 3, 256]."""
    images = vectors.reshape(len(vectors), -1, SIDE * SIDE)
    # One product of two matrices: a stack of small ones takes ten times as long.
    changes = (images.reshape(-1, SIDE * SIDE) @ _derivatives()).reshape(*images.shape[:2], 3, -1)
    # What comes in at the border changes the contrast, which vectors do not show: that part is taken out again.
    power = np.maximum(np.sum(np.square(vectors), axis=1), 1e-6)
    share = (changes @ images[..., None]).sum(axis=1, keepdims=True) / power[:, None, None, None]  # [n, 1, 3, 1]
    return changes - share * images[:, :, None]


@functools.cache
def _derivatives():
    """The linear map from a channel to its change by a sample down, right, and at the border by zoom: [256, 3 * 256].

    Each change is without its mean, as vectors are without cast.
    """
    units = np.eye(SIDE * SIDE).reshape(-1, SIDE, SIDE)
    down, right = np.gradient(units, axis=(1, 2))
    from_centre = np.linspace(-1, 1, SIDE)
    zoom = down * from_centre[:, None] + right * from_centre
    changes = np.stack([down, right, zoom], axis=1)
    changes -= changes.mean(axis=(2, 3), keepdims=True)
    return changes.reshape(len(units), -1)


def windows(side):
    """Weights of `side` pixels in each of 16 evenly spaced samples: float32 [16, side], rows that add up to 1."""
    centres = (np.arange(SIDE) + 0.5) * side / SIDE
    distance = (np.arange(side) + 0.5 - centres[:, None]) * SIDE / side
    # In units of samples; a side below 16 pixels makes the windows as wide as its pixels.
    weights = np.exp(-0.5 * np.square(distance / (REACH * max(1, SIDE / side))))
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
