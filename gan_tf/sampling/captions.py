"""Words in pictures."""

import functools

import numpy as np
from PIL import Image, ImageDraw, ImageFont

LEAST_HEIGHT = 14  # pixels of a line that can still be read
GREY = (70, 70, 70)
WHITE = (255, 255, 255)
FILLED = 0.72  # share of a line's height that letters take
INDENT = 0.25  # of a line's height


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


@functools.cache
def _font(size):
    return ImageFont.load_default(size)
