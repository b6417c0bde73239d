"""Training images as vectors: which is nearest to a generated image, and how far it is from the others itself.

What the distances mean, and why the divisor is as it is, stands in `memorisation`. Everything is done block by block,
so that 70,000 images need little more memory than their vectors, which may lie on the disk.
"""

import functools

import numpy as np

from gan_tf.errors import UsageError

SAME = 0.1  # training images nearer than this share of the spread are the same picture
NEIGHBOURS = 8  # nearest training images that are looked at
SAMPLE = 1000  # training images, chosen at random, from which spread, fence and `sample_ratios` are estimated
BLOCK = 4096  # gallery rows compared at a time
QUERIES = 512  # rows compared with them at a time


class Gallery:
    """Training images as vectors, with what is known of the distances among them; made once a run.

    The neighbours of a training image are looked up when a generated image first comes near to it, and kept: 70,000
    training images cost seconds at the start, not the minutes of all pairs.

    Args:
        vectors: float32 [N, F], or [2 N, F] with the mirrored images' rows after the originals'. An array or a memory
            map; it is not copied.
        count: N.
        space: name of the space, for the protocol.
        seed: fixes the random sample.
        compare: compare(a, b) of float32 [n, F] and [n, F] -> distances [n]; it judges between the images that are
            nearest in a straight line. Default: that straight line.

    Raises:
        UsageError: fewer than two images.
        ValueError: rows that are not N or 2 N.
    """

    def __init__(self, vectors, count, space, seed=0, compare=None):
        if count < 2:
            raise UsageError(f"the copy check needs at least 2 training images, got {count}; leave it out")
        if vectors.ndim != 2 or len(vectors) not in (count, 2 * count):
            raise ValueError(f"need [{count}, F] or [{2 * count}, F] vectors, got {list(vectors.shape)}")
        self.vectors = vectors
        self.count = count
        self.compare = compare or straight_distance
        self.candidates = NEIGHBOURS if compare else 1
        self.near = np.full((len(vectors), NEIGHBOURS), np.nan)  # distances to the nearest of other images
        self.near_image = np.full((len(vectors), NEIGHBOURS), -1, np.int32)  # and which images those are
        random = np.random.default_rng(seed)
        self.sample = random.permutation(count)[:SAMPLE]
        self.centre = _rows(vectors, np.sort(self.sample)).mean(axis=0)
        self.squares = np.concatenate([_squares(block) for _, block in self._blocks()])
        self.spread = self._spread()
        self.fence = np.inf  # none, while its own distribution is looked at
        self.fence = self._fence()
        self.protocol = {
            "space": space,
            "reals": count,
            "mirrored": len(vectors) == 2 * count,
            "neighbours": NEIGHBOURS,
            "same": SAME,
            "sample": len(self.sample),
            "seed": seed,
        }

    def nearest(self, vectors):
        """Looks up the nearest training image: float32 [n, F] -> rows int [n], distances float64 [n]."""
        rows, distances = self._search(vectors, self.candidates)
        return rows[:, 0], distances[:, 0]

    def nearest_images(self, vectors, k):
        """Looks up the k nearest training images, each once, mirrored or not as it is nearer, nearest first.

        Args:
            vectors: float32 [n, F].
            k: at most `count`.

        Returns:
            (rows int [n, k], distances float64 [n, k]). Row r is image r % count, mirrored where r >= count.

        Raises:
            ValueError: more images than there are.
        """
        if not 1 <= k <= self.count:
            raise ValueError(f"{k} of {self.count} training images cannot be the nearest")
        # Those nearest in a straight line, of which `compare` then picks; an image may be among them twice.
        candidates = max(NEIGHBOURS, 2 * k) * (len(self.vectors) // self.count)
        rows, distances = self._search(vectors, candidates)
        found = []
        for row, distance in zip(rows, distances, strict=True):
            row, distance = row[row >= 0], distance[row >= 0]
            _, first = np.unique(row % self.count, return_index=True)
            first = np.sort(first)[:k]
            found.append((row[first], distance[first]))
        return tuple(map(np.stack, zip(*found, strict=True)))

    def divisors(self, rows, without=None):
        """How far the training images in `rows` [n] are from others, as the module says: float64 [n].

        `without` [n]: numbers of images to leave out, one for each row.
        """
        self._find_neighbours(rows)
        distances, images = self.near[rows], self.near_image[rows]
        known = images >= 0
        if without is not None:
            known &= images != without[:, None]
        apart = known & (distances >= SAME * self.spread)
        first = np.where(apart, distances, np.inf).min(axis=1)
        first = np.where(apart.any(axis=1), first, np.where(known.any(axis=1), SAME * self.spread, np.inf))
        return np.minimum(first, self.fence)

    @functools.cached_property
    def sample_ratios(self):
        """Ratios that the training images in `sample` show when each is judged by the others: [n]; None for two."""
        if self.count < 3:
            return None
        rows, distances = self._search(self._take(self.sample), self.candidates, self.sample)
        return ratios(distances[:, 0], self.divisors(rows[:, 0], without=self.sample))

    def _find_neighbours(self, rows):
        rows = np.unique(rows[np.isnan(self.near[rows, 0])])
        for first in range(0, len(rows), QUERIES):
            part = rows[first : first + QUERIES]
            found, distances = self._search(self._take(part), NEIGHBOURS, part % self.count)
            self.near[part], self.near_image[part] = distances, np.where(found < 0, -1, found % self.count)

    def _spread(self):
        """Median distance of two random images that are not identical; 0 where all are."""
        chosen = self._take(self.sample)
        distances = self.compare(chosen, np.roll(chosen, 1, axis=0))
        distances = distances[distances > 0]
        return float(np.median(distances)) if len(distances) else 0.0

    def _fence(self):
        low, high = np.quantile(self.divisors(self.sample), [0.25, 0.75])
        return float(high + 1.5 * (high - low))

    def _search(self, vectors, k, images=None):
        """The k nearest rows of each vector, nearest first: rows [n, k] (-1: there are no more), distances [n, k].

        images: [n] numbers of images whose rows are left out, one for each vector.
        """
        parts = []
        for first in range(0, len(vectors), QUERIES):
            part = slice(first, first + QUERIES)
            parts.append(self._search_part(vectors[part], k, None if images is None else images[part]))
        rows, distances = map(np.concatenate, zip(*parts, strict=True))
        return rows, distances

    def _search_part(self, vectors, k, images):
        queries = np.asarray(vectors, np.float32) - self.centre
        best = np.full((len(queries), k), np.inf, np.float32)
        rows = np.full((len(queries), k), -1)
        for first, block in self._blocks():
            squared = self.squares[first : first + len(block)] - 2 * (queries @ block.T)  # less |query|^2
            for copy in () if images is None else range(0, len(self.vectors), self.count):
                own = images + copy - first
                inside = np.flatnonzero((own >= 0) & (own < len(block)))
                squared[inside, own[inside]] = np.inf
            columns = _smallest(squared, k)
            all_rows = np.concatenate([rows, first + columns], axis=1)
            all_best = np.concatenate([best, np.take_along_axis(squared, columns, 1)], axis=1)
            order = _smallest(all_best, k)
            rows, best = np.take_along_axis(all_rows, order, 1), np.take_along_axis(all_best, order, 1)
        rows = np.where(np.isinf(best), -1, rows)
        return self._measured(vectors, rows)

    def _measured(self, vectors, rows):
        """Distances anew by `compare`: besides, the fast form above is off by rounding where they are small."""
        vectors = np.asarray(vectors, np.float32)
        distances = np.stack([self.compare(vectors, self._take(column)) for column in rows.T], axis=1)
        distances[rows < 0] = np.inf
        order = np.argsort(distances, axis=1, kind="stable")
        return np.take_along_axis(rows, order, 1), np.take_along_axis(distances, order, 1)

    def _take(self, rows):
        return _rows(self.vectors, rows)

    def _blocks(self):
        for first in range(0, len(self.vectors), BLOCK):
            yield first, np.asarray(self.vectors[first : first + BLOCK], np.float32) - self.centre


def straight_distance(a, b):
    """Euclidean distances of vectors [n, F] and [n, F]: float64 [n]."""
    return np.sqrt(np.sum(np.square(a - b), axis=1, dtype=np.float64))


def ratios(distances, divisors):
    """distances / divisors [n], 0 where the distance is 0 whatever the divisor."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(distances == 0, 0.0, distances / divisors)


def _squares(block):
    return np.einsum("nf,nf->n", block, block)


def _rows(vectors, rows):
    """float32 [n, F]; read in rising order, as a memory map likes it."""
    unique, back = np.unique(rows, return_inverse=True)
    return np.asarray(vectors[unique], np.float32)[back]


def _smallest(values, k):
    """Columns of the k smallest values of each row, in no order: [n, m] -> [n, min(k, m)]."""
    if k == 1:
        return values.argmin(axis=1)[:, None]
    if k >= values.shape[1]:
        return np.broadcast_to(np.arange(values.shape[1]), values.shape)
    return np.argpartition(values, k, axis=1)[:, :k]
