"""From a face's landmarks to an upright square picture of it.

Geometry (`--align eyes`). Let E be the middle between the eyes, M the middle of the mouth's corners, and u the larger
of the eyes' distance and |EM|, so that a face turned aside is not cut narrower. The face measures 2.75 u, which is
what MTCNN's boxes measure from top to bottom in portraits; the margin adds its share of that on each of four sides:

    side = 2.75 u (1 + 2 margin),   centre = E + 0.2 (M - E),   turned so that the eyes are level.

With the margin 0.2 the eyes of a face seen from the front stand at about 45 % of the picture's height and a quarter of
its width apart, the mouth at 70 %: head and hair are in, as in the published sets of faces. `--align none` takes the
square around the box, the longer side being 1, with the same margin and without turning.
"""

import math
from typing import NamedTuple

import numpy as np
from PIL import Image

FACE_UNITS = 2.75  # u from the top of a face to its chin
CENTRE = 0.2  # where the crop's centre stands on the way from the eyes to the mouth
PROFILE = 0.25  # eyes nearer together than this, in |EM|, do not tell which way is up
FEATURES_UNITS, FEATURES_CENTRE = 1.5, 0.5  # the square that holds eyes, nose and mouth: side in u, and centre
GRID = 64  # points along a side of a crop, to measure what it shows twice
SUPPORT = 4  # pixels around a crop that bicubic interpolation may look at


class Square(NamedTuple):
    """Part of a photograph: centre (x, y) and side in its pixels, and how far it is turned clockwise, in radians."""

    x: float
    y: float
    side: float
    angle: float


def square_of(face, align, margin):
    """The Square to cut out for one FACE record; `align` is "eyes" or "none"."""
    if align == "none":
        x1, y1, x2, y2 = map(float, face["box"])
        return Square((x1 + x2) / 2, (y1 + y2) / 2, max(x2 - x1, y2 - y1) * (1 + 2 * margin), 0.0)
    return _square(face, CENTRE, FACE_UNITS * (1 + 2 * margin))


def shown_twice(face, square, width, height):
    """Share of a crop that shows eyes, nose or mouth a second time, mirrored at an edge of the photograph; 0 to 1.

    Args:
        face: FACE record.
        square: the crop.
        width, height: pixels of the photograph.
    """
    steps = ((np.arange(GRID) + 0.5) / GRID - 0.5) * square.side
    x, y = _turned(*np.meshgrid(steps, steps), square.angle)
    x, y = x + square.x, y + square.y
    is_outside = (x < 0) | (x > width) | (y < 0) | (y > height)
    features = _square(face, FEATURES_CENTRE, FEATURES_UNITS)
    x, y = width - abs(width - x % (2 * width)), height - abs(height - y % (2 * height))
    x, y = _turned(x - features.x, y - features.y, -features.angle)
    return float((is_outside & (abs(x) < features.side / 2) & (abs(y) < features.side / 2)).mean())


def to_photo(points, square, size):
    """Points [..., 2] in a crop of `size` pixels -> the same points in the photograph."""
    x, y = np.moveaxis((points - size / 2) * (square.side / size), -1, 0)
    x, y = _turned(x, y, square.angle)
    return np.stack([x + square.x, y + square.y], axis=-1)


def _square(face, centre, units):
    """A Square, level with the eyes, whose centre stands at E + centre (M - E) and whose side is `units` u."""
    left, right, _, mouth_left, mouth_right = face["landmarks"].astype(np.float64)
    eyes, mouth = (left + right) / 2, (mouth_left + mouth_right) / 2
    across, down = right - left, mouth - eyes
    width, height = math.hypot(*across), math.hypot(*down)
    if width < PROFILE * height:
        across = np.array([down[1], -down[0]])  # eyes and mouth one above the other instead
    x, y = eyes + centre * down
    return Square(float(x), float(y), units * max(width, height), math.atan2(across[1], across[0]))


def _turned(x, y, angle):
    """Points turned clockwise about (0, 0)."""
    return x * math.cos(angle) - y * math.sin(angle), x * math.sin(angle) + y * math.cos(angle)


def cut(photo, square, size):
    """Cuts a Square out of a photograph and scales it, antialiased; what lies outside of the photograph is mirrored.

    Large reductions average whole blocks first; then the square is turned by bicubic interpolation at no less than the
    density it has by then, and scaled down by a Lanczos filter. Turning and reducing at once would alias, since
    Pillow's transform looks at few pixels only.

    Args:
        photo: Pillow image, mode RGB.
        square: what to cut out.
        size: S, pixels.

    Returns:
        uint8 [S, S, 3].
    """
    step = square.side / size  # pixels of the photograph for one of the result
    block = max(1, round(step / 2))
    region, left, top = _region(photo, square, block)
    fine = max(size, math.ceil(square.side / block))
    pace = square.side / fine / block
    along, down = pace * math.cos(square.angle), pace * math.sin(square.angle)
    x, y = (square.x - left) / block, (square.y - top) / block
    corner = x - (along - down) * fine / 2, y - (down + along) * fine / 2
    matrix = (along, -down, corner[0], down, along, corner[1])
    turned = region.reduce(block).transform((fine, fine), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)
    return np.asarray(turned if fine == size else turned.resize((size, size), Image.Resampling.LANCZOS))


def _region(photo, square, block):
    """(upright part of the photograph that holds the square, its left, its top); sides are multiples of `block`."""
    reach = square.side / 2 * (abs(math.cos(square.angle)) + abs(math.sin(square.angle))) + SUPPORT * block
    left, top = math.floor(square.x - reach), math.floor(square.y - reach)
    count = math.ceil((2 * reach + 1) / block) * block
    columns, rows = _mirrored(left, count, photo.width), _mirrored(top, count, photo.height)
    inside = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    part = photo.crop(tuple(map(int, inside)))
    if part.size != (count, count):
        pixels = np.take(np.asarray(part), rows - inside[1], axis=0)
        part = Image.fromarray(np.take(pixels, columns - inside[0], axis=1))
    return part, left, top


def _mirrored(start, count, length):
    """Which of `length` pixels stand at `start` and the `count` - 1 places after it, beyond the ends mirrored."""
    places = np.arange(start, start + count) % (2 * length)
    return np.minimum(places, 2 * length - 1 - places)
