"""Copy check: does the generator draw new images, or the training images over again?

For each generated image the nearest training image is looked up, and its distance is divided by how far that training
image is from its own nearest neighbour among the training images. New images of the same kind lie about as far from the
training images as those lie from each other: a ratio around 1. A copy has a ratio near 0. An image counts as a copy
below THRESHOLD.

The divisor of training image t is the distance from t to the nearest other training image, with three safeguards:

* images nearer to t than SAME times the spread (the median distance of two random training images) are the same picture
  twice, and are passed over: a copy of a picture that the set holds twice must not be compared with the tiny distance
  between the two. Where the NEIGHBOURS nearest are all that near, the divisor is that bound itself;
* it is at most the upper fence of its own distribution (third quartile + 1.5 interquartile ranges, Tukey 1977): beside
  a training image that is like no other, an ordinary new image would look like a copy of it;
* a mirrored training image is no neighbour of its own original.

`expected` is the share that the training images themselves would show: each is taken out, and judged by the others.
Where it is not about 0, the set holds near duplicates or is very uniform, and a share of that size accuses nobody.

Two spaces, one code path: Inception features, or `pixel_space` where those weights are not there.

Source: the ratio follows Meehan et al. 2020 (data-copying test) and Alaa et al. 2022 (authenticity), which compare the
same two distances; the threshold is our own, from the experiments below.
"""

import dataclasses
from typing import NamedTuple

import numpy as np

from gan_tf.errors import UsageError
from gan_tf.metrics.pixel_space import VECTOR, aligned_distance, mirrored_vectors, pixel_vectors

THRESHOLD = 0.45  # distance ratio below which an image counts as a copy
CLOSEST = 16  # pairs kept for the panel
SAME = 0.1  # training images nearer than this share of the spread are the same picture
NEIGHBOURS = 8  # nearest training images that are looked at
SAMPLE = 1000  # training images, chosen at random, from which spread, fence and `expected` are estimated
BLOCK = 4096  # gallery rows compared at a time
WAITING_BYTES = 2**26  # of generated images
QUERIES = 512  # rows compared with them at a time


class Pair(NamedTuple):
    """A generated image and the training image nearest to it.

    image: uint8 [R, R, 3]. index: number of the training image; `mirrored`: it is nearest when mirrored.
    distance: in units of the space. ratio: distance / divisor of the training image. lpips: None until `with_lpips`.
    """

    image: np.ndarray
    index: int
    mirrored: bool
    distance: float
    ratio: float
    lpips: float | None = None


@dataclasses.dataclass(frozen=True)
class Copies:
    """Outcome of a copy check.

    share: of generated images below the threshold, 0..1. expected: the same for the training images among themselves;
    None where there are fewer than three. median_ratio: about 1 where nothing is copied. count: generated images.
    pairs: tuple of the (at most 16) Pairs of lowest ratio, lowest first. protocol: what the figures depend on.
    """

    share: float
    expected: float | None
    threshold: float
    median_ratio: float
    count: int
    pairs: tuple
    protocol: dict


class Gallery:
    """Training images as vectors, with what is known of the distances among them; made once a run.

    Distances among the training images are worked out when they are first asked for, and kept: N images cost at most
    about N^2 * F multiplications over a run, and no more than generated images come near to.

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
        self.fence = np.inf
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

    def expected_share(self, threshold=THRESHOLD):
        """Share of training images that would count as copies of another; None for two images."""
        if self.count < 3:
            return None
        self._find_neighbours(self.sample)
        rows, distances = self._search(self._take(self.sample), self.candidates, self.sample)
        divisors = self.divisors(rows[:, 0], without=self.sample)
        return float(np.mean(ratios(distances[:, 0], divisors) < threshold))

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


class CopyCheck:
    """Judges generated images chunk by chunk; keeps a ratio for each image, and the closest pairs.

    Args:
        gallery: Gallery of the training images.
        threshold: ratio below which an image is a copy.
    """

    def __init__(self, gallery, threshold=THRESHOLD):
        self.gallery = gallery
        self.threshold = threshold
        self.ratios = []
        self.pairs = []
        self.waiting = []  # chunks not judged yet: a pass over a large gallery is worth some hundred images

    def add(self, images, vectors):
        """Takes uint8 images [n, R, R, 3] and their vectors [n, F] in the gallery's space.

        Raises:
            ValueError: the shapes do not fit, or a vector is not finite.
        """
        if len(images) != len(vectors) or vectors.shape[1:] != self.gallery.vectors.shape[1:]:
            wanted = [len(images), *self.gallery.vectors.shape[1:]]
            raise ValueError(f"{len(images)} images need vectors {wanted}, got {list(vectors.shape)}")
        if not np.isfinite(vectors).all():
            raise ValueError("vectors of generated images must be finite")
        self.waiting.append((np.array(images), np.array(vectors)))
        if sum(len(v) for _, v in self.waiting) >= QUERIES or sum(i.nbytes for i, _ in self.waiting) > WAITING_BYTES:
            self._judge()

    def _judge(self):
        if not self.waiting:
            return
        images, vectors = map(np.concatenate, zip(*self.waiting, strict=True))
        self.waiting = []
        rows, distances = self.gallery.nearest(vectors)
        found = ratios(distances, self.gallery.divisors(rows))
        self.ratios.append(found)
        for i in np.argsort(found, kind="stable")[:CLOSEST]:
            mirrored, index = divmod(int(rows[i]), self.gallery.count)
            pair = Pair(np.array(images[i]), index, bool(mirrored), float(distances[i]), float(found[i]))
            self.pairs.append(pair)
        self.pairs = sorted(self.pairs, key=lambda pair: pair.ratio)[:CLOSEST]

    def result(self):
        """Copies. Raises ValueError before the first image."""
        self._judge()
        if not self.ratios:
            raise ValueError("no image was judged")
        found = np.concatenate(self.ratios)
        return Copies(
            share=float(np.mean(found < self.threshold)),
            expected=self.gallery.expected_share(self.threshold),
            threshold=self.threshold,
            median_ratio=float(np.median(found)),
            count=len(found),
            pairs=tuple(self.pairs),
            protocol={**self.gallery.protocol, "fakes": len(found), "threshold": self.threshold},
        )


def straight_distance(a, b):
    """Euclidean distances of vectors [n, F] and [n, F]: float64 [n]."""
    return np.sqrt(np.sum(np.square(a - b), axis=1, dtype=np.float64))


def ratios(distances, divisors):
    """distances / divisors [n], 0 where the distance is 0 whatever the divisor."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(distances == 0, 0.0, distances / divisors)


def prepare(real_images, mirror=False, seed=0):
    """Gallery of training images in pixel space.

    Args:
        real_images: uint8 [N, R, R, 3], an array or a memory map.
        mirror: the set is trained with mirroring, so mirrored training images are training images too.
        seed: fixes the random sample.
    """
    count = len(real_images)
    vectors = np.empty((count * (1 + mirror), VECTOR), np.float32)
    pixel_vectors(real_images, out=vectors[:count])
    for first in range(count, len(vectors), BLOCK):
        part = vectors[first : first + BLOCK]
        part[:] = mirrored_vectors(vectors[first - count : first - count + len(part)])
    return Gallery(vectors, count, "pixels", seed, aligned_distance)


def measure(gallery, chunks):
    """Copies among generated images, in pixel space: chunks of uint8 [n, R, R, 3] -> Copies."""
    check = CopyCheck(gallery)
    for images in chunks:
        check.add(images, pixel_vectors(images))
    return check.result()


def with_lpips(pairs, training_images, lpips):
    """Adds to each pair how alike its two images look: a tuple of Pairs in the same order.

    Args:
        pairs: Pairs, as few as a result holds: this is a second opinion on the closest, no search.
        training_images: uint8 [N, R, R, 3].
        lpips: lpips(a, b) of float32 [n, R, R, 3] in [-1, 1] -> [n].
    """
    if not pairs:
        return ()
    fakes = np.stack([pair.image for pair in pairs])
    reals = np.stack([nearest_image(pair, training_images) for pair in pairs])
    seen = np.asarray(lpips(*(np.float32(images) / 127.5 - 1 for images in (fakes, reals))))
    return tuple(pair._replace(lpips=float(value)) for pair, value in zip(pairs, seen, strict=True))


def nearest_image(pair, training_images):
    """The training image of a pair as it is nearest, mirrored or not: uint8 [R, R, 3]."""
    image = np.asarray(training_images[pair.index])
    return image[:, ::-1] if pair.mirrored else image


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
