"""Squares of photographs around faces, aligned by the eyes, and their crops.

Geometry of `--align eyes`: let E be the middle between the eyes, M the middle of the mouth's corners, and u the larger
of the distance between the eyes and |EM|, so that the crop of a face seen from the side is not smaller. A face is
2.75 u high, as MTCNN's boxes in portraits; the margin adds its share of that on each of four sides:

    side = 2.75 u (1 + 2 margin),   centre = E + 0.2 (M - E),   rotated so that the eyes are level.

With a margin of 0.2 the eyes of a frontal face are at about 45 % of the height and a quarter of the width apart, the
mouth is at 70 %, and head and hair are inside, as in the published face datasets. `--align none` takes the square
around the box, with the longer side as its side, the same margin and no rotation.
"""

import math
from typing import NamedTuple

import numpy as np
from PIL import Image

FACE_UNITS = 2.75  # u from the top of a face to its chin
CENTRE = 0.2  # position of the crop's centre between eyes (0) and mouth (1)
PROFILE = 0.25  # eyes nearer to each other than this share of |EM| do not determine the angle
SUPPORT = 4  # pixels around a crop that bicubic interpolation may read
FEATURES_UNITS, FEATURES_CENTRE = 1.5, 0.5  # the square around eyes, nose and mouth: side in u, and centre
GRID = 64  # points along a side of a crop, for `shown_twice`


class Square(NamedTuple):
    """A square part of a photograph: centre (x, y) and side in pixels, and clockwise rotation in radians."""

    x: float
    y: float
    side: float
    angle: float


def crop_square(face, align, margin):
    """Returns the Square to cut out for a face (a record of results.FACE); `align` is "eyes" or "none"."""
    if align == "none":
        x1, y1, x2, y2 = map(float, face["box"])
        return Square((x1 + x2) / 2, (y1 + y2) / 2, max(x2 - x1, y2 - y1) * (1 + 2 * margin), 0.0)
    return _eye_square(face, CENTRE, FACE_UNITS * (1 + 2 * margin))


def shown_twice(face, square, width, height):
    """Returns the share of a crop that shows eyes, nose or mouth again, mirrored at an edge of the photograph.

    Args:
        face: record of results.FACE.
        square: Square of the crop.
        width, height: of the photograph, in pixels.
    """
    steps = ((np.arange(GRID) + 0.5) / GRID - 0.5) * square.side
    x, y = rotate(*np.meshgrid(steps, steps), square.angle)
    x, y = x + square.x, y + square.y
    is_outside = (x < 0) | (x > width) | (y < 0) | (y > height)
    features = _eye_square(face, FEATURES_CENTRE, FEATURES_UNITS)
    x, y = width - abs(width - x % (2 * width)), height - abs(height - y % (2 * height))
    x, y = rotate(x - features.x, y - features.y, -features.angle)
    return float((is_outside & (abs(x) < features.side / 2) & (abs(y) < features.side / 2)).mean())


def _eye_square(face, centre, units):
    """Returns a Square parallel to the eyes: centre E + `centre` (M - E), side `units` u (see the geometry above)."""
    left, right, _, mouth_left, mouth_right = face["landmarks"].astype(np.float64)
    eyes, mouth = (left + right) / 2, (mouth_left + mouth_right) / 2
    across, down = right - left, mouth - eyes
    width, height = math.hypot(*across), math.hypot(*down)
    if width < PROFILE * height:
        across = np.array([down[1], -down[0]])  # perpendicular to the line from the eyes to the mouth
    x, y = eyes + centre * down
    return Square(float(x), float(y), units * max(width, height), math.atan2(across[1], across[0]))


def rotate(x, y, angle):
    """Rotates points clockwise about (0, 0)."""
    return x * math.cos(angle) - y * math.sin(angle), x * math.sin(angle) + y * math.cos(angle)


def cut(photo, square, size):
    """Cuts a Square out of an RGB Pillow image and resizes it, antialiased; parts outside of the image are mirrored.

    Large reductions first average whole blocks; then the square is rotated by bicubic interpolation at the density of
    the blocks or higher, and reduced by a Lanczos filter. Rotating and reducing in one step would alias, since Pillow's
    transform reads only a few pixels.

    Returns:
        uint8 [size, size, 3].
    """
    step = square.side / size  # pixels of the photograph per pixel of the result
    block = max(1, round(step / 2))
    region, left, top = _region(photo, square, block)
    fine = max(size, math.ceil(square.side / block))
    pace = square.side / fine / block
    along, down = pace * math.cos(square.angle), pace * math.sin(square.angle)
    x, y = (square.x - left) / block, (square.y - top) / block
    corner = x - (along - down) * fine / 2, y - (down + along) * fine / 2
    matrix = (along, -down, corner[0], down, along, corner[1])
    rotated = region.reduce(block).transform((fine, fine), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)
    return np.asarray(rotated if fine == size else rotated.resize((size, size), Image.Resampling.LANCZOS))


def _region(photo, square, block):
    """Returns (upright part of the photograph around the square, x of its left edge, y of its upper edge).

    Its sides are multiples of `block`; outside of the photograph it is mirrored.
    """
    reach = square.side / 2 * (abs(math.cos(square.angle)) + abs(math.sin(square.angle))) + SUPPORT * block
    left, top = math.floor(square.x - reach), math.floor(square.y - reach)
    count = math.ceil((2 * reach + 1) / block) * block
    columns, rows = _mirror(left, count, photo.width), _mirror(top, count, photo.height)
    inside = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    part = photo.crop(tuple(map(int, inside)))
    if part.size != (count, count):
        part = Image.fromarray(np.asarray(part)[np.ix_(rows - inside[1], columns - inside[0])])
    return part, left, top


def _mirror(start, count, length):
    """Returns the pixel indices (of `length` pixels) at positions start .. start + count - 1, mirrored at both ends."""
    positions = np.arange(start, start + count) % (2 * length)
    return np.minimum(positions, 2 * length - 1 - positions)
