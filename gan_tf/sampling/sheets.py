"""Lays out images with text: captions, headings, and generated images with their nearest neighbours."""

import functools
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from gan_tf.io import image_files

GREY, WHITE, INK = (70, 70, 70), (255, 255, 255), (30, 30, 30)
COPY = (220, 40, 40)  # marks neighbours that count as copies, as in the copy check's panel
MIN_CAPTION_HEIGHT = 14  # pixels; smaller text cannot be read
TEXT_HEIGHT, TEXT_INDENT = 0.72, 0.25  # shares of a caption's height
MIN_HEADING, MAX_HEADING = 11, 28  # pixels of the text of a heading
MIN_SIDE, MAX_SIDE = 128, 256  # pixels of an image in a neighbour row
GAP = 1 / 16  # of an image's width, between a generated image and its neighbours

_font = functools.cache(ImageFont.load_default)


def caption_height(width):
    """Returns the height in pixels of a caption for an image of `width` pixels."""
    return max(MIN_CAPTION_HEIGHT, width // 20)


def text_line(text, width, height, colour=GREY):
    """Returns a line of white text on `colour`, uint8 [height, width, 3]. Longer text is smaller, down to 0.3 times."""
    image = Image.new("RGB", (width, height), colour)
    draw = ImageDraw.Draw(image)
    size, indent = TEXT_HEIGHT * height, TEXT_INDENT * height
    length = draw.textlength(text, font=_font(size))
    if length > width - 2 * indent:
        size *= max(0.3, (width - 2 * indent) / length)
    draw.text((indent, height / 2), text, fill=WHITE, font=_font(size), anchor="lm")
    return np.asarray(image)


def add_caption(image, text):
    """Appends a line of text below an image: uint8 [H, W, 3] -> [H + h, W, 3]."""
    width = image.shape[1]
    return np.concatenate([image, text_line(text, width, caption_height(width))])


def add_heading(image, text):
    """Adds dark text on white above an image, as large as fits: uint8 [H, W, 3] -> [H + h, W, 3].

    Text that does not fit at MIN_HEADING pixels is broken into several lines.
    """
    width = image.shape[1]
    sizes = range(MAX_HEADING, MIN_HEADING, -1)
    size = next((size for size in sizes if _font(size).getlength(text) <= 0.96 * width), MIN_HEADING)
    lines = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and _font(size).getlength(longer) <= 0.96 * width:
            lines[-1] = longer
        else:
            lines.append(word)
    height = round(1.35 * size)
    band = Image.new("RGB", (width, height * len(lines) + size // 2), WHITE)
    draw = ImageDraw.Draw(band)
    for i, line in enumerate(lines):
        draw.text((0.02 * width, size // 4 + i * height), line, fill=INK, font=_font(size))
    return np.concatenate([np.asarray(band), image])


class NeighbourRow(NamedTuple):
    """A generated image and its nearest training images in one feature space, nearest first."""

    image: np.ndarray  # uint8 [H, W, C]
    seed: int  # of the image
    space: str  # name of the feature space
    nearest: np.ndarray  # uint8 [K, H, W, C], mirrored where the mirrored image is nearer
    names: tuple  # of the training images
    distances: tuple  # in units of the space
    ratios: tuple  # distances divided by those of the training images to their own neighbours; small for copies


def neighbour_sheet(rows, threshold):
    """Lays out NeighbourRows, all of one size, below each other: uint8 [H, W, 3].

    Captions show distances and ratios; pairs with a ratio below the copy check's `threshold` have a red frame.
    """
    bands = []
    for row in rows:
        copied = [ratio < threshold for ratio in row.ratios]
        cells = [_framed(row.image, f"seed {row.seed}", copied[0])]
        height, width, _ = cells[0].shape
        cells.append(np.full((height, round(GAP * width), 3), 255, np.uint8))
        for image, distance, ratio, is_copy in zip(row.nearest, row.distances, row.ratios, copied, strict=True):
            cells.append(_framed(image, f"{distance:.3g}  ratio {min(ratio, 99):.2f}", is_copy))
        joined = np.concatenate(cells, axis=1)
        title_height = caption_height(_shown_size(row.image)[0])
        bands += [text_line(f"{row.space}: nearest training images", joined.shape[1], title_height), joined]
    return np.concatenate(bands)


def neighbour_sheet_size(rows, nearest, image_shape):
    """Returns (width, height) of the sheet of `rows` rows of `nearest` neighbours, for images of a shape (H, W, C)."""
    image = np.zeros(image_shape, np.uint8)
    height, width, _ = _framed(image, "", False).shape
    title = caption_height(_shown_size(image)[0])
    return (nearest + 1) * width + round(GAP * width), rows * (height + title)


def _framed(image, text, is_copy):
    """Returns an image with a frame and a caption."""
    width, height = _shown_size(image)
    frame, colour = max(1, width // 32), COPY if is_copy else GREY
    framed = np.empty((height + 2 * frame, width + 2 * frame, 3), np.uint8)
    framed[:] = colour
    framed[frame:-frame, frame:-frame] = image_files.on_checkerboard(image_files.resize(image, (width, height)))
    return np.concatenate([framed, text_line(text, width + 2 * frame, caption_height(width), colour)])


def _shown_size(image):
    """Returns (width, height) of an image in a sheet. Narrow ones are enlarged by whole factors, for the captions."""
    height, width = image.shape[:2]
    shown_width = min(MAX_SIDE, width * -(-MIN_SIDE // width))
    return shown_width, max(1, round(height * shown_width / width))
