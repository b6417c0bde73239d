"""Images as short vectors that can be compared without any network: small, smooth, without colour cast and contrast.

The plain difference of pixels calls a copy new as soon as it is a little brighter, paler, blurred or half a pixel off.
So each image is weighed down to 16x16 with Gaussian windows wide enough that a shift by a pixel of 64 changes little,
the mean of each channel is taken away, and what is left is scaled to unit deviation. Two such vectors are compared
after the best small move and zoom of one onto the other. Figures of what that buys stand in `memorisation`.

Source: the comparison is the tangent distance of Simard et al. 1993, with the mean of both images' tangents.
"""

import numpy as np

SIDE = 16  # samples a side
VECTOR = SIDE * SIDE * 3
REACH = 0.6  # deviation of the windows, in distances between samples: they overlap, so nothing falls between two
FAINT = 5.0  # grey levels; contrasts below this are not blown up
FARTHEST = 1.0  # samples by which a move, or a zoom at the border, may shift an image: a sixteenth of its side
CHUNK_PIXELS = 2**22  # images are taken this many pixels at a time


def pixel_vectors(images, out=None):
    """Describes images: uint8 [N, H, W, 3] -> float32 [N, 768], each 16 x 16 x 3 values in rows, columns, channels.

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
        vectors[first : first + len(chunk)] = small.reshape(len(chunk), -1)
    return vectors


def mirrored_vectors(vectors):
    """What `pixel_vectors` gives for the images mirrored left to right: [N, 768] -> [N, 768]."""
    return vectors.reshape(len(vectors), SIDE, SIDE, -1)[:, :, ::-1].reshape(len(vectors), -1)


def aligned_distance(a, b):
    """Distances of vectors [n, 768] and [n, 768] after the best small move and zoom: float64 [n], the same both ways.

    The change of an image that is moved down or right, or zoomed, is taken as linear: its derivative times the extent.
    """
    tangents = (_tangents(a) + _tangents(b)) / 2  # [n, 3, 768]
    difference = a - b
    gram = (tangents @ tangents.transpose(0, 2, 1)).astype(np.float64)
    along = (tangents @ difference[:, :, None]).astype(np.float64)
    # A trace of the trace keeps the system solvable where an image is flat, or the same in one direction.
    ridge = 1e-4 * np.trace(gram, axis1=1, axis2=2) + 1e-9
    extent = np.linalg.solve(gram + ridge[:, None, None] * np.eye(gram.shape[1]), along)[..., 0]
    extent = extent.clip(-FARTHEST, FARTHEST).astype(np.float32)
    difference = difference - np.einsum("nt,ntf->nf", extent, tangents)
    return np.sqrt(np.sum(np.square(difference), axis=1, dtype=np.float64))


def _tangents(vectors):
    """Derivatives by moves down and right, in samples, and by zoom, in samples at the border: [n, 3, 768]."""
    images = vectors.reshape(len(vectors), SIDE, SIDE, -1)
    down, right = np.gradient(images, axis=(1, 2))
    from_centre = np.linspace(-1, 1, SIDE, dtype=vectors.dtype)
    zoom = down * from_centre[:, None, None] + right * from_centre[:, None]
    changes = np.stack([down, right, zoom], axis=1)
    # What comes in at the border changes cast and contrast, which vectors do not show: that part is taken out again.
    changes -= changes.mean(axis=(2, 3), keepdims=True)
    changes = changes.reshape(len(vectors), 3, -1)
    power = np.maximum(np.sum(np.square(vectors), axis=1), 1e-6)
    share = (changes @ vectors[:, :, None])[:, :, 0] / power[:, None]
    return changes - share[:, :, None] * vectors[:, None]


def windows(side):
    """Weights of `side` pixels in each of 16 evenly spaced samples: float32 [16, side], rows that add up to 1."""
    centres = (np.arange(SIDE) + 0.5) * side / SIDE
    distance = (np.arange(side) + 0.5 - centres[:, None]) * SIDE / side
    # In units of samples; a side below 16 pixels makes the windows as wide as its pixels.
    weights = np.exp(-0.5 * np.square(distance / (REACH * max(1, SIDE / side))))
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
