"""Nearest-neighbour index of training images, and the pixel vectors that compare images without a network.

The plain difference of pixels is large for a copy that is a little brighter, paler, blurred or shifted by half a pixel.
So an image becomes a pixel vector: it is averaged down to 16x16 with Gaussian windows, so wide that a shift by one
pixel at 64x64 changes little; the mean of each channel is subtracted, and the rest is scaled to unit deviation. Two
vectors are compared after the best small shift and zoom of one onto the other.

Source: the comparison is the tangent distance of Simard et al. 1993, with the mean of the tangents of both images.
"""

import functools

import numpy as np

from gan_tf.errors import UsageError
from gan_tf.io.image_files import as_rgb
from gan_tf.metrics.image_sets import SEED

DUPLICATE = 0.1  # training images closer than this share of the spread are the same image
NEIGHBOURS = 8  # nearest training images that are compared
SAMPLE = 1000  # random training images, for the spread, the fence and `sample_ratios`
BLOCK_ROWS = 4096  # index rows converted to float32 at a time
BLOCK_VALUES = 2**25  # distances computed at a time, 128 MB

SIDE = 16  # samples of a pixel vector in each direction
WINDOW_DEVIATION = 0.6  # in distances between samples: the windows overlap
FAINT = 5.0  # grey levels; contrast far below this is not amplified to unit deviation
MAX_SHIFT = 1.0  # samples that a shift, or a zoom at the border, may move: a sixteenth of the image
CHUNK_PIXELS = 2**22  # pixels of all images that are averaged down at a time


class NeighbourIndex:
    """Vectors of training images, with the distances among them.

    memorisation.py defines the divisors; each is computed when it is first needed, and kept.

    Args:
        vectors: float32 [N, F], or [2 N, F] with the mirrored images after the others; an array or a memory map.
        count: N.
        space: name of the space for the protocol.
        compare: compare(a, b) of float32 [n, F] and [n, F] -> distances [n], for the NEIGHBOURS that are nearest by
            Euclidean distance, the default.

    Raises:
        UsageError: fewer than two images.
    """

    def __init__(self, vectors, count, space, compare=None):
        if count < 2:
            raise UsageError(f"the copy check needs at least 2 training images, got {count}; leave it out")
        self.vectors, self.count = vectors, count
        self.compare = compare or euclidean_distance
        self.candidates = NEIGHBOURS if compare else 1
        self.sample = np.random.default_rng(SEED).permutation(count)[:SAMPLE]
        self.centre = self._rows(np.sort(self.sample)).mean(axis=0)
        self.squares = np.concatenate([np.einsum("nf,nf->n", block, block) for _, block in self._blocks()])
        sample = self._rows(self.sample)
        distances = self.compare(sample, np.roll(sample, 1, axis=0))
        # Median distance of two random images that are not identical; 0 if all are.
        self.spread = float(np.median(distances[distances > 0])) if distances.any() else 0.0
        self.fence, self._divisors = np.inf, np.full(len(vectors), np.nan)
        low, high = np.quantile(self._compute_divisors(self.sample), [0.25, 0.75])
        self.fence = float(high + 1.5 * (high - low))
        self.protocol = {"space": space, "reals": count, "mirrored": len(vectors) == 2 * count}
        self.protocol |= {"neighbours": NEIGHBOURS, "same": DUPLICATE, "sample": len(self.sample), "seed": SEED}

    def nearest(self, vectors):
        """Finds the nearest training image of each vector: float32 [n, F] -> rows int [n], distances float64 [n]."""
        rows, distances = self._search(vectors, self.candidates)
        return rows[:, 0], distances[:, 0]

    def nearest_images(self, vectors, k):
        """Finds the k <= `count` nearest training images, each once, as itself or mirrored, nearest first.

        Returns:
            (rows int [n, k], distances float64 [n, k]). Row r is image r % count, mirrored if r >= count.
        """
        # The nearest by Euclidean distance, from which `compare` selects; an image may be among them twice.
        candidates = max(NEIGHBOURS, 2 * k) * (len(self.vectors) // self.count)
        all_rows, all_distances = self._search(vectors, candidates)
        nearest = []
        for rows, distances in zip(all_rows, all_distances, strict=True):
            _, first = np.unique(rows % self.count, return_index=True)
            first = np.sort(first)[:k]
            nearest.append((rows[first], distances[first]))
        return tuple(map(np.stack, zip(*nearest, strict=True)))

    def ratios(self, rows, distances):
        """Returns distances to training images `rows` [n] over their divisors, 0 for a distance of 0: float64 [n]."""
        missing = np.unique(rows[np.isnan(self._divisors[rows])])
        self._divisors[missing] = self._compute_divisors(missing)
        return _ratios(distances, self._divisors[rows])

    @functools.cached_property
    def sample_ratios(self):
        """Ratios of the training images in `sample`, each compared with the others: [n]; None for two images."""
        if self.count < 3:
            return None
        rows, distances = self._search(self._rows(self.sample), self.candidates, exclude=self.sample)
        return _ratios(distances[:, 0], self._compute_divisors(rows[:, 0], without=self.sample))

    def _compute_divisors(self, rows, without=None):
        """Returns the divisors of training images `rows` [n]. `without` [n]: images to ignore, one for each row."""
        if not len(rows):
            return np.empty(0)
        neighbours, distances = self._search(self._rows(rows), NEIGHBOURS, exclude=rows % self.count)
        valid = np.isfinite(distances)
        if without is not None:
            valid &= neighbours % self.count != without[:, None]
        distinct = valid & (distances >= DUPLICATE * self.spread)
        nearest = np.where(distinct, distances, np.inf).min(axis=1)
        all_duplicates = valid.any(axis=1) & ~distinct.any(axis=1)
        return np.minimum(np.where(all_duplicates, DUPLICATE * self.spread, nearest), self.fence)

    def _search(self, vectors, k, exclude=None):
        """Finds the k nearest rows of each vector, nearest first: rows [n, k], distances [n, k] (inf: no more rows).

        exclude: int [n], for each vector the image whose rows are left out.
        """
        step, k = max(1, min(1024, BLOCK_VALUES // len(self.vectors))), min(k, len(self.vectors))
        parts = []
        for start in range(0, len(vectors), step):
            queries = np.asarray(vectors[start : start + step], np.float32)
            squared = np.empty((len(queries), len(self.vectors)), np.float32)  # less |query|^2
            for first, block in self._blocks():
                columns = slice(first, first + len(block))
                squared[:, columns] = self.squares[columns] - 2 * ((queries - self.centre) @ block.T)
            if exclude is not None:
                for copy in range(0, len(self.vectors), self.count):
                    squared[np.arange(len(queries)), exclude[start : start + step] + copy] = np.inf
            rows = np.sort(np.argpartition(squared, k - 1, axis=1)[:, :k], axis=1)
            # Measured again: the product above is inaccurate for small distances.
            distances = np.stack([self.compare(queries, self._rows(column)) for column in rows.T], axis=1)
            distances[np.isinf(np.take_along_axis(squared, rows, axis=1))] = np.inf
            order = np.argsort(distances, axis=1, kind="stable")
            parts.append([np.take_along_axis(array, order, axis=1) for array in (rows, distances)])
        return tuple(map(np.concatenate, zip(*parts, strict=True)))

    def _rows(self, rows):
        """Reads rows in ascending order, which is faster on a memory map: float32 [n, F]."""
        unique, back = np.unique(rows, return_inverse=True)
        return np.asarray(self.vectors[unique], np.float32)[back]

    def _blocks(self):
        for first in range(0, len(self.vectors), BLOCK_ROWS):
            yield first, np.asarray(self.vectors[first : first + BLOCK_ROWS], np.float32) - self.centre


def pixel_index(images, mirror=False):
    """Returns the NeighbourIndex of training images, uint8 [N, H, W, C], in pixel space. See `training_vectors`."""
    return NeighbourIndex(training_vectors(images, mirror), len(images), "pixels", aligned_distance)


def training_vectors(images, mirror):
    """Returns the pixel vectors of training images, followed by those of the mirrored images if `mirror`."""
    vectors = pixel_vectors(images)
    if not mirror:
        return vectors
    mirrored = vectors.reshape(len(vectors), -1, SIDE)[:, :, ::-1]
    return np.concatenate([vectors, mirrored.reshape(vectors.shape)])


def pixel_vectors(images):
    """Returns pixel vectors: uint8 [N, H, W, C] -> float32 [N, 256 C], ordered by channels, rows, columns.

    Colours of RGBA images are those on mid-grey, since the colours of transparent pixels are arbitrary.
    """
    _, height, width, channels = images.shape
    rows, columns = window_weights(height), window_weights(width)
    vectors = np.empty((len(images), SIDE * SIDE * channels), np.float32)
    step = max(1, CHUNK_PIXELS // (height * width))
    for first in range(0, len(images), step):
        chunk = np.asarray(images[first : first + step])
        if channels == 4:
            chunk = np.concatenate([as_rgb(chunk), chunk[..., 3:]], axis=3)
        chunk = chunk.astype(np.float32)
        small = np.matmul(rows, chunk.reshape(len(chunk), height, -1)).reshape(len(chunk), SIDE, width, channels)
        small = np.matmul(columns, small)  # [n, 16, 16, C]
        small -= small.mean(axis=(1, 2), keepdims=True)
        power = np.mean(np.square(small), axis=(1, 2, 3), keepdims=True)
        small /= np.sqrt(power + FAINT**2)
        vectors[first : first + len(chunk)] = np.moveaxis(small, 3, 1).reshape(len(chunk), -1)
    return vectors


def euclidean_distance(a, b):
    """Euclidean distances of vectors [n, F] and [n, F]: float64 [n]."""
    return np.sqrt(np.sum(np.square(a - b), axis=1, dtype=np.float64))


def aligned_distance(a, b):
    """Distances of pixel vectors [n, F] and [n, F] after the best small shift and zoom: float64 [n], symmetric.

    The change by a shift down, a shift right or a zoom is approximated by its derivative times the extent. Matrix
    products round differently for another number of rows, so all is computed in float64 and rounded to float32 at the
    end: the distance of a pair does not depend on the other pairs.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    tangents = _tangents((a + b) / 2)  # [n, C, 3, 256]
    difference = (a - b).reshape(len(a), -1, SIDE * SIDE)  # [n, C, 256]
    gram = (tangents @ tangents.swapaxes(2, 3)).sum(axis=1)  # [n, 3, 3]
    along = (tangents @ difference[..., None]).sum(axis=1)  # [n, 3, 1]
    # A small ridge keeps the system solvable for images that are constant, also in one direction.
    ridge = 1e-4 * np.trace(gram, axis1=1, axis2=2) + 1e-9
    extent = np.linalg.solve(gram + ridge[:, None, None] * np.eye(gram.shape[1]), along)
    extent = extent.clip(-MAX_SHIFT, MAX_SHIFT)
    difference = difference - (extent.swapaxes(1, 2)[:, None] @ tangents)[:, :, 0]
    return np.sqrt(np.sum(np.square(difference), axis=(1, 2))).astype(np.float32).astype(np.float64)


def window_weights(side):
    """Weights of `side` pixels in each of 16 evenly spaced samples: float32 [16, side], rows that add up to 1."""
    centres = (np.arange(SIDE) + 0.5) * side / SIDE
    distance = (np.arange(side) + 0.5 - centres[:, None]) * SIDE / side
    # In units of samples; below 16 pixels the windows are as wide as a pixel.
    weights = np.exp(-0.5 * np.square(distance / (WINDOW_DEVIATION * max(1, SIDE / side))))
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def _tangents(vectors):
    """Derivatives of pixel vectors by a shift down, a shift right and a zoom: [n, F] -> [n, C, 3, 256]."""
    images = vectors.reshape(len(vectors), -1, SIDE * SIDE)
    # One product of two matrices: a stack of small products takes ten times as long.
    changes = (images.reshape(-1, SIDE * SIDE) @ _derivatives()).reshape(*images.shape[:2], 3, -1)
    # New pixels at the border change the contrast, which vectors do not have: subtract that part.
    power = np.maximum(np.sum(np.square(vectors), axis=1), 1e-6)
    share = (changes @ images[..., None]).sum(axis=1, keepdims=True) / power[:, None, None, None]  # [n, 1, 3, 1]
    return changes - share * images[:, :, None]


@functools.cache
def _derivatives():
    """Linear map from a channel to its change by a sample down, right, and by a zoom at the border: [256, 3 * 256].

    The mean of each change is 0, like that of vectors.
    """
    units = np.eye(SIDE * SIDE).reshape(-1, SIDE, SIDE)
    down, right = np.gradient(units, axis=(1, 2))
    from_centre = np.linspace(-1, 1, SIDE)
    zoom = down * from_centre[:, None] + right * from_centre
    changes = np.stack([down, right, zoom], axis=1)
    changes -= changes.mean(axis=(2, 3), keepdims=True)
    return changes.reshape(len(units), -1)


def _ratios(distances, divisors):
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(distances == 0, 0.0, distances / divisors)
