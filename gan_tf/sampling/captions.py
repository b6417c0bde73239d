"""Words in pictures."""

import functools

import numpy as np
from PIL import Image, ImageDraw, ImageFont

LEAST_HEIGHT = 14  # pixels of a line that can still be read
GREY = (70, 70, 70)
WHITE = (255, 255, 255)
FILLED = 0.72  # share of a line's height that letters take
INDENT = 0.25  # of a line's height
INK = (30, 30, 30)
LEAST_TEXT, MOST_TEXT = 11, 28  # pixels of the words above a picture


def line(text, width, height, colour=GREY):
    """A line of text, white on `colour`: uint8 [height, width, 3]; set smaller where it would be too long."""
    picture = Image.new("RGB", (width, height), colour)
    draw = ImageDraw.Draw(picture)
    size, indent = FILLED * height, INDENT * height
    length = draw.textlength(text, font=_font(size))
    if length > width - 2 * indent:
        size *= max(0.3, (width - 2 * indent) / length)
    draw.text((indent, height / 2), text, fill=WHITE, font=_font(size), anchor="lm")
    return np.asarray(picture)


def line_height(width):
    """Height of a line that suits a picture of so many pixels."""
    return max(LEAST_HEIGHT, width // 20)


def with_line(image, text, colour=GREY):
    """uint8 [H, W, 3] with a line of text below it: [H + h, W, 3]."""
    width = image.shape[1]
    return np.concatenate([image, line(text, width, line_height(width), colour)])


def labelled(picture, words):
    """A picture with a line of words above it, as large as fits: uint8 [H, W, 3] -> [H + h, W, 3].

    Words that fit in no size are broken into several lines.
    """
    width = picture.shape[1]
    size = next((size for size in range(MOST_TEXT, LEAST_TEXT, -1) if _width(words, size) <= 0.96 * width), LEAST_TEXT)
    lines = _lines(words, size, 0.96 * width)
    height = round(1.35 * size)
    band = Image.new("RGB", (width, height * len(lines) + size // 2), WHITE)
    draw = ImageDraw.Draw(band)
    for i, text in enumerate(lines):
        draw.text((0.02 * width, size // 4 + i * height), text, fill=INK, font=_font(size))
    return np.concatenate([np.asarray(band), picture])


@functools.cache
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
