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

The spaces are `pixel_space`, which needs no weights, and Inception features beside it where they are computed anyway.

Calibration, in percent of images below 0.45 in pixel space. Copies of half of each set, changed as said (pixels are of
the set's own size); then the other half as new images; then 30 random splits into 100 against 100 (portraits 20 against
20), mean and worst:

    set                   same noise  JPEG moved moved paler tinted zoomed blurred mirrored | new: splits:
                               sd 20  q 50  1, 1  2, 2   0.7    8 %    5 % sd 1/32 (mirror) | half mean max
    819 drawings, 256 px   100   100   100   100   100   100    100    100     100      100 |  0.0 0.07   1
    the same, 64 px        100   100   100   100   100   100    100    100     100      100 |  0.0 0.07   1
    600 demo, 64 px        100   100   100    96    44   100     98     92      76      100 |  0.3 0.53   2
    40 portraits, 256 px   100   100   100   100   100   100    100    100     100      100 |  0.0 1.2    5

The new ones below 0.45 among portraits and drawings are three pairs, of one photo session and of one figure in two
colours. Demo images are drawn from few numbers, of which some agree by chance; two pixels are there what tells one
drawing from the next.

Inception features alone would let a copier go. With random weights, of 60 copies of drawings 100 % are found after
noise of sd 5, but none that is blurred or paler and 2 % after noise of sd 20; new images 0 %. So a check on features
should look at pixels too: `CopyCheck` takes both galleries.

Source: the ratio follows Meehan et al. 2020 (data-copying test) and Alaa et al. 2022 (authenticity), which compare the
same two distances; the threshold is our own, from the experiments above.
"""

import dataclasses
from typing import NamedTuple

import numpy as np

from gan_tf.metrics.gallery import BLOCK, QUERIES, Gallery, ratios
from gan_tf.metrics.pixel_space import VECTOR, aligned_distance, mirrored_vectors, pixel_vectors

THRESHOLD = 0.45  # distance ratio below which an image counts as a copy
CLOSEST = 16  # pairs kept for the panel
WAITING_BYTES = 2**26  # of generated images


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


class CopyCheck:
    """Judges generated images chunk by chunk; keeps a ratio for each image, and the closest pairs.

    With galleries of several spaces an image has the lowest of its ratios: a copy in one of them is a copy.

    Args:
        galleries: one or more Galleries of the same training images, made with the same seed.
        threshold: ratio below which an image is a copy.

    Raises:
        ValueError: galleries that do not belong together.
    """

    def __init__(self, *galleries, threshold=THRESHOLD):
        if len({(gallery.count, gallery.sample.tobytes()) for gallery in galleries}) != 1:
            raise ValueError("a copy check needs galleries of the same images and seed, at least one")
        self.galleries = galleries
        self.threshold = threshold
        self.seen = 0  # images taken
        self.ratios = []
        self.pairs = []
        self.waiting = []  # (images, vectors ...) not judged yet: a large gallery is worth some hundred at once

    def add(self, images, *vectors):
        """Takes uint8 images [n, R, R, 3] and, for each gallery, their vectors [n, F] in its space.

        Raises:
            ValueError: the shapes do not fit, or a vector is not finite.
        """
        for gallery, given in zip(self.galleries, vectors, strict=True):
            wanted = (len(images), *gallery.vectors.shape[1:])
            if given.shape != wanted:
                raise ValueError(f"{len(images)} images need vectors {list(wanted)}, got {list(given.shape)}")
            if not np.isfinite(given).all():
                raise ValueError("vectors of generated images must be finite")
        self.seen += len(images)
        self.waiting.append(tuple(np.array(part) for part in (images, *vectors)))
        if sum(len(part[0]) for part in self.waiting) >= QUERIES or self._waiting_bytes() > WAITING_BYTES:
            self._judge()

    def result(self):
        """Copies. Raises ValueError before the first image."""
        self._judge()
        if not self.ratios:
            raise ValueError("no image was judged")
        found = np.concatenate(self.ratios)
        spaces = "+".join(gallery.protocol["space"] for gallery in self.galleries)
        return Copies(
            share=float(np.mean(found < self.threshold)),
            expected=self._expected(),
            threshold=self.threshold,
            median_ratio=float(np.median(found)),
            count=len(found),
            pairs=tuple(self.pairs),
            protocol={
                **self.galleries[0].protocol,
                "space": spaces,
                "fakes": len(found),
                "threshold": self.threshold,
            },
        )

    def _judge(self):
        if not self.waiting:
            return
        images, *vectors = map(np.concatenate, zip(*self.waiting, strict=True))
        self.waiting = []
        rows, distances, found = zip(*map(_judged, self.galleries, vectors), strict=True)  # for each space
        best = np.argmin(found, axis=0)
        lowest = np.min(found, axis=0)
        self.ratios.append(lowest)
        for i in np.argsort(lowest, kind="stable")[:CLOSEST]:
            space = best[i]
            mirrored, index = divmod(int(rows[space][i]), self.galleries[space].count)
            distance = float(distances[space][i])
            self.pairs.append(Pair(np.array(images[i]), index, bool(mirrored), distance, float(lowest[i])))
        self.pairs = sorted(self.pairs, key=lambda pair: pair.ratio)[:CLOSEST]

    def _expected(self):
        among_reals = [gallery.sample_ratios for gallery in self.galleries]
        if among_reals[0] is None:
            return None
        return float(np.mean(np.min(among_reals, axis=0) < self.threshold))

    def _waiting_bytes(self):
        return sum(part[0].nbytes for part in self.waiting)


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


def ratios_to_nearest(real_images, mirror, query, images):
    """How near images come to the training image that is nearest to another one, in pixel space.

    Args:
        real_images, mirror: as for `prepare`.
        query: uint8 [1, R, R, 3], whose nearest training image is looked up.
        images: list of uint8 [1, R, R, 3] that are compared with that one.

    Returns:
        (number of the training image, list of ratios: of the query, then of each of the images).
    """
    gallery = prepare(real_images, mirror)
    rows, _ = gallery.nearest(pixel_vectors(query))
    training = gallery.vectors[rows]
    distances = [aligned_distance(pixel_vectors(image), training)[0] for image in (query, *images)]
    found = ratios(np.array(distances), np.repeat(gallery.divisors(rows), len(distances)))
    return int(rows[0]) % gallery.count, found.tolist()


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


def _judged(gallery, vectors):
    """(rows of the nearest training images, distances to them, ratios): each [n]."""
    rows, distances = gallery.nearest(vectors)
    return rows, distances, ratios(distances, gallery.divisors(rows))
