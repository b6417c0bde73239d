"""The picture of generated images with the training images nearest to them."""

from typing import NamedTuple

import numpy as np

from gan_tf.io import image_files
from gan_tf.sampling.captions import GREY, line, line_height

COPY = (220, 40, 40)  # frame and words of a pair that counts as a copy, as in the copy check's panel
LEAST, LARGEST = 128, 256  # pixels a side at which an image is shown
GAP = 1 / 16  # of an image's side, between a generated image and its neighbours


class Neighbours(NamedTuple):
    """The nearest training images of one generated image in one space.

    image: uint8 [R, R, 3]. seed: what made it. space: name of the space. nearest: uint8 [K, R, R, 3], each mirrored
    where that is nearer. names: of the training images. distances: in units of the space. ratios: distances over those
    of the training images to their own neighbours; below the copy check's threshold an image is a copy.
    """

    image: np.ndarray
    seed: int
    space: str
    nearest: np.ndarray
    names: tuple
    distances: tuple
    ratios: tuple


def picture(rows, threshold):
    """Lays rows out below each other: the generated image, then its nearest training images, nearest first.

    Below each image of the training set stand its distance and its ratio; ratios below the threshold are framed in red.

    Args:
        rows: Neighbours, at least one, of the same sizes.
        threshold: ratio below which an image is a copy.

    Returns:
        uint8 [H, W, 3].
    """
    return np.concatenate([_row(row, threshold) for row in rows])


def _row(row, threshold):
    copied = [ratio < threshold for ratio in row.ratios]
    cells = [_cell(row.image, f"seed {row.seed}", copied[0])]
    side = cells[0].shape[0]
    cells.append(np.full((side, round(GAP * cells[0].shape[1]), 3), 255, np.uint8))
    for image, distance, ratio, is_copy in zip(row.nearest, row.distances, row.ratios, copied, strict=True):
        cells.append(_cell(image, f"{distance:.3g}  ratio {min(ratio, 99):.2f}", is_copy))
    joined = np.concatenate(cells, axis=1)
    head = line(f"{row.space}: nearest training images", joined.shape[1], line_height(shown_side(len(row.image))), GREY)
    return np.concatenate([head, joined])


def _cell(image, words, is_copy):
    """An image in a frame, with words below it."""
    side = shown_side(len(image))
    small = image_files.resize(image, (side, side))
    frame, colour = max(1, side // 32), COPY if is_copy else GREY
    framed = np.empty((side + 2 * frame, side + 2 * frame, 3), np.uint8)
    framed[:] = colour
    framed[frame:-frame, frame:-frame] = small
    return np.concatenate([framed, line(words, side + 2 * frame, line_height(side), colour)])


def size_of(rows, nearest, resolution):
    """(width, height) of `picture` for so many rows with so many neighbours each, of images of so many pixels."""
    cell = _cell(np.zeros((resolution, resolution, 3), np.uint8), "", False)
    height, width, _ = cell.shape
    head = line_height(shown_side(resolution))
    return (nearest + 1) * width + round(GAP * width), rows * (height + head)


def shown_side(side):
    """Pixels a side at which an image is shown: small ones with each pixel repeated, so that the words have room."""
    return min(LARGEST, side * -(-LEAST // side))
