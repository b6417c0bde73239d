"""Copy check: the share of generated images that repeat a training image, and a panel of the closest pairs.

The distance of a generated image to the nearest training image is divided by the divisor of that training image. New
images of the same kind have a ratio around 1, and copies a ratio near 0. An image below THRESHOLD counts as a copy.

The divisor of a training image is its distance to the nearest other training image, with three exceptions:

* images closer than DUPLICATE times the spread (the median distance of two random training images) are duplicates and
  are skipped; otherwise the divisor of a duplicated image would be tiny. If all NEIGHBOURS are duplicates, the divisor
  is that bound;
* it is at most the upper fence of the divisors (third quartile + 1.5 interquartile ranges, Tukey 1977); otherwise new
  images near an unusual training image would count as copies of it;
* a mirrored training image is not a neighbour of its original.

`share_among_reals` is the share among the training images, each compared with the others. If it is not about 0, the set
has near duplicates or is very uniform, and a similar share for generated images is not suspicious.

Images are compared as pixel vectors, and by Inception features if those are computed anyway. Features alone are not
enough, since they miss blurred and paler copies. docs/copy-check.md has the calibration of the threshold.

Source: the ratio follows Meehan et al. 2020 (data-copying test) and Alaa et al. 2022 (authenticity), which compare the
same two distances; the threshold is from our own experiments.
"""

from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from gan_tf.io.image_files import as_rgb, grid, on_checkerboard, resize, shrink
from gan_tf.metrics.neighbour_index import aligned_distance, pixel_index, pixel_vectors
from gan_tf.metrics.score import Measurement

COPY_CHECK = "memorisation"  # name of this metric
THRESHOLD = 0.45  # ratio below which an image counts as a copy
CLOSEST = 16  # number of pairs in the panel
PENDING_BYTES = 2**26  # of generated images that are compared together

COLUMNS = 8  # of the panel
MAX_SIDE = 256  # pixels of an image in the panel
MIN_CAPTION = 14  # pixels
COPY = (220, 40, 40)  # frame of a pair below the threshold
NEW = (70, 70, 70)


class Pair(NamedTuple):
    """A generated image and its nearest training image."""

    image: np.ndarray  # uint8 [H, W, C], the generated image
    index: int  # of the training image
    mirrored: bool  # the training image is mirrored
    distance: float  # in the units of the space: pixel vectors or Inception features
    ratio: float  # distance / divisor of the training image


class CopyCheck:
    """Accumulates a copy check over chunks of generated images.

    With indexes of several spaces, an image has the lowest of its ratios: a copy in one space is a copy.

    Args:
        indexes: one or more NeighbourIndex of the same training images; the first one is in pixel space.
        count: number of images to check; further images are ignored.

    Attributes:
        missing: number of images that are still needed.
        pairs: after `result`, the (at most 16) Pairs of lowest ratio, lowest first.
    """

    def __init__(self, indexes, count):
        self.indexes, self.missing, self.pairs = indexes, count, []
        self._ratios = []
        self._pending = []  # (images, vectors ...), since a search is faster for many images together

    def add(self, images, *features):
        """Adds uint8 images [n, H, W, C], with their features [n, F] for each further index."""
        # Copies, since the caller may reuse its arrays.
        images, *features = (np.array(part[: self.missing]) for part in (images, *features))
        if not len(images):
            return
        self.missing -= len(images)
        self._pending.append((images, pixel_vectors(images), *features))
        if sum(part[0].nbytes for part in self._pending) > PENDING_BYTES:
            self._compare()

    def result(self) -> Measurement:
        """Returns the share of copies among the images so far, in [0, 1].

        Parts: the median ratio, about 1 without copies, and, with three or more training images, `share_among_reals`.
        """
        self._compare()
        ratios, among_reals = np.concatenate(self._ratios), [index.sample_ratios for index in self.indexes]
        parts = {"median_ratio": float(np.median(ratios))}
        if among_reals[0] is not None:
            parts["share_among_reals"] = float(np.mean(np.min(among_reals, axis=0) < THRESHOLD))
        spaces = "+".join(index.protocol["space"] for index in self.indexes)
        protocol = {**self.indexes[0].protocol, "space": spaces, "fakes": len(ratios), "threshold": THRESHOLD}
        return Measurement(float(np.mean(ratios < THRESHOLD)), parts, protocol)

    def _compare(self):
        """Compares the pending images with the training images."""
        if not self._pending:
            return
        images, *vectors = map(np.concatenate, zip(*self._pending, strict=True))
        self._pending = []
        nearest = [index.nearest(part) for index, part in zip(self.indexes, vectors, strict=True)]
        ratios = np.stack([index.ratios(*pair) for index, pair in zip(self.indexes, nearest, strict=True)])
        space, lowest = ratios.argmin(axis=0), ratios.min(axis=0)
        self._ratios.append(lowest)
        for i in np.argsort(lowest, kind="stable")[:CLOSEST]:
            rows, distances = nearest[space[i]]
            mirrored, index = divmod(int(rows[i]), self.indexes[0].count)
            self.pairs.append(Pair(images[i].copy(), index, bool(mirrored), float(distances[i]), float(lowest[i])))
        self.pairs = sorted(self.pairs, key=lambda pair: pair.ratio)[:CLOSEST]


def ratios_to_nearest(real_images, mirror, query, images):
    """Compares `query` and a list of images, each uint8 [1, H, W, C], with the training image nearest to `query`.

    Returns:
        (index of the training image, list of ratios: of the query, then of each of the images).
    """
    index = pixel_index(real_images, mirror)
    rows, _ = index.nearest(pixel_vectors(query))
    training = index.vectors[rows]
    distances = [aligned_distance(pixel_vectors(image), training)[0] for image in (query, *images)]
    ratios = index.ratios(np.repeat(rows, len(distances)), np.array(distances))
    return int(rows[0]) % index.count, ratios.tolist()


def lpips_of_pairs(pairs, training_images, lpips):
    """Returns the LPIPS distance of the images of each pair, as a second opinion: [n]."""
    fakes = np.stack([pair.image for pair in pairs])
    reals = np.stack([training_image(training_images, pair.index, pair.mirrored) for pair in pairs])
    return np.asarray(lpips(*(np.float32(as_rgb(images)) / 127.5 - 1 for images in (fakes, reals))))


def training_image(training_images, index, mirrored):
    """Returns a training image, mirrored or not: uint8 [H, W, C]."""
    image = np.asarray(training_images[index])
    return image[:, ::-1] if mirrored else image


def draw_panel(pairs, training_images):
    """Draws pairs as uint8 [H, W, 3]: each generated image, its training image below it, and the ratio below both.

    Copies have a red frame, other pairs a grey one.
    """
    height, width = shrink(pairs[0].image, MAX_SIDE).shape[:2]
    frame, caption = max(1, width // 32), max(MIN_CAPTION, round(width / 8))
    font = ImageFont.load_default(0.8 * caption)
    cells = []
    for pair in pairs:
        real = training_image(training_images, pair.index, pair.mirrored)
        cell = np.empty((2 * height + 3 * frame + caption, width + 2 * frame, 3), np.uint8)
        cell[:] = COPY if pair.ratio < THRESHOLD else NEW
        generated, real = (on_checkerboard(resize(image, (width, height))) for image in (pair.image, real))
        cell[frame : frame + height, frame:-frame] = generated
        cell[2 * frame + height : 2 * (frame + height), frame:-frame] = real
        cell = Image.fromarray(cell)
        text = f"{min(pair.ratio, 99):.2f}"
        ImageDraw.Draw(cell).text((frame, 2 * height + 3 * frame), text, fill=(255, 255, 255), font=font)
        cells.append(np.asarray(cell))
    return grid(np.stack(cells), min(COLUMNS, len(cells)))
