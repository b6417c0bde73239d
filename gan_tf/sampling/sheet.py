"""Words and borders in pictures that hold several images."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

PAPER = (255, 255, 255)
INK = (30, 30, 30)
LEAST_TEXT = 11  # pixels
MOST_TEXT = 28


def labelled(picture, words):
    """A picture with a line of words above it, as large as fits: uint8 [H, W, 3] -> [H + h, W, 3].

    Words that fit in no size are broken into several lines.
    """
    width = picture.shape[1]
    size = next((size for size in range(MOST_TEXT, LEAST_TEXT, -1) if _width(words, size) <= 0.96 * width), LEAST_TEXT)
    lines = _lines(words, size, 0.96 * width)
    height = round(1.35 * size)
    band = Image.new("RGB", (width, height * len(lines) + size // 2), PAPER)
    draw = ImageDraw.Draw(band)
    for i, line in enumerate(lines):
        draw.text((0.02 * width, size // 4 + i * height), line, fill=INK, font=_font(size))
    return np.concatenate([np.asarray(band), picture])


def table(header, side, cells, gap):
    """Images in rows and columns, with a header row, a header column and a gap between these and the cells.

    Args:
        header: uint8 [C, H, W, 3], above the columns.
        side: uint8 [R, H, W, 3], left of the rows.
        cells: uint8 [R, C, H, W, 3].
        gap: pixels.

    Returns:
        uint8 [(R + 1) * H + gap, (C + 1) * W + gap, 3], the corner and the gap white.
    """
    rows, columns, height, width, _ = cells.shape
    picture = np.full(((rows + 1) * height + gap, (columns + 1) * width + gap, 3), 255, np.uint8)
    picture[:height, width + gap :] = np.concatenate(list(header), axis=1)
    picture[height + gap :, :width] = np.concatenate(list(side), axis=0)
    body = cells.swapaxes(1, 2).reshape(rows * height, columns * width, 3)
    picture[height + gap :, width + gap :] = body
    return picture


def _font(size):
    return ImageFont.load_default(size)


def _width(words, size):
    return _font(size).getlength(words)


def _lines(words, size, width):
    """Breaks words into lines of at most `width` pixels; a word that is longer has a line of its own."""
    lines = []
    for word in words.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and _width(longer, size) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
