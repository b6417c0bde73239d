"""Cartoon cats, with the scenes, eyes, mouths and accessories of the pandas in `demo.panda_art`."""

import numpy as np

from gan_tf_datasets.demo.panda_art import SEED, draw_animal, rgb
from gan_tf_datasets.demo.shapes import Frame, ellipse, paint, polygon, stroke

CATS = 1 << 20  # part of the seed, so that the random numbers of cats differ from those of pandas
# Colour of the fur, and the darker colour of stripes, body and whiskers.
FURS = (
    ((0xE8873A, 0x9C4A17), 0.4),  # ginger
    ((0x8C95A3, 0x4A5260), 0.3),  # grey
    ((0x8A5A3B, 0x4E2F1D), 0.3),  # brown
)


def draw_indexed(index, size, seed=SEED):
    """Draws cat `index` of a seed: uint8 [H, W, 3] of `size` (height, width), the same on every machine."""
    return draw_animal(np.random.Generator(np.random.PCG64([seed, CATS, index])), size, FURS, paint_cat)


def paint_cat(image, head, fur, dark, scarf, u):
    """Paints shoulders, scarf (its colour or None), pointed ears, face and whiskers, with stripes if u < 0.5."""
    body = Frame(head.x, head.y, head.scale)  # upright
    paint(image, body, ellipse(0.0, 1.55, 0.8, 0.85), 0.8 * fur)
    if scarf is not None:
        paint(image, body, ellipse(0.0, 0.85, 0.7, 0.3), scarf)
    for side in (-1, 1):
        ear = [(side * 0.95, -1.2), (side * 0.98, -0.3), (side * 0.25, -0.75)]
        inner = [(side * 0.86, -0.98), (side * 0.84, -0.5), (side * 0.45, -0.72)]
        paint(image, head, polygon(ear if side > 0 else ear[::-1], 0.05), fur * 0.86)
        paint(image, head, polygon(inner if side > 0 else inner[::-1], 0.02), rgb(0xFF9EAE))
    paint(image, head, ellipse(0.0, 0.02, 1.0, 0.86), fur * 0.86)
    paint(image, head, ellipse(0.0, -0.02, 0.94, 0.8), fur, softness=0.12)
    if u < 0.5:
        for x, length in ((-0.24, 0.22), (0.0, 0.3), (0.24, 0.22)):
            paint(image, head, stroke([(x, -0.72), (0.8 * x, -0.72 + length)], 0.1), dark)
    paint(image, head, ellipse(0.0, 0.42, 0.42, 0.32), 0.35 * fur + 0.65)
    paint(image, head, polygon([(-0.13, 0.17), (0.13, 0.17), (0.0, 0.31)], 0.02), rgb(0xE8697E))
    for side in (-1, 1):
        for y in (0.3, 0.48):
            paint(image, head, stroke([(side * 0.5, y), (side * 1.15, y + 0.6 * (y - 0.36))], 0.045), dark)
