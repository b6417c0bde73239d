"""Anti-aliased flat shapes in NumPy, by signed distances.

A shape has a signed distance (negative inside) in the units of its frame. Arrays are computed by +, -, *, / and square
roots only, which every machine rounds in the same way, and without fonts or drawing libraries.

Source of the distance approximations: Quilez, "2D distance functions" (ellipse by value over gradient, capsule).
"""

import dataclasses
import math
from collections.abc import Callable

import numpy as np


@dataclasses.dataclass(frozen=True)
class Shape:
    """A shape: signed distance `distance(x, y)` of float64 arrays, and bounding box (left, top, right, bottom)."""

    distance: Callable
    box: tuple


@dataclasses.dataclass(frozen=True)
class Frame:
    """Position, scale and tilt of a coordinate system in `square_of` the image, whose sides are 1; y points down."""

    x: float = 0.0
    y: float = 0.0
    scale: float = 1.0
    tilt: float = 0.0  # radians, clockwise


def ellipse(x, y, rx, ry, angle=0.0):
    """Ellipse of half-axes rx, ry around (x, y), rotated clockwise by `angle` radians."""
    cos, sin, reach = math.cos(angle), math.sin(angle), max(rx, ry)

    def distance(px, py):
        dx, dy = px - x, py - y
        a, b = (dx * cos + dy * sin) / rx, (dy * cos - dx * sin) / ry
        value = np.sqrt(a * a + b * b)
        slope = np.sqrt((a / rx) ** 2 + (b / ry) ** 2)
        return value * (value - 1.0) / np.maximum(slope, 1e-9)

    return Shape(distance, (x - reach, y - reach, x + reach, y + reach))


def stroke(points, width):
    """Line of `width` with round ends through `points`, a list of (x, y)."""

    def distance(px, py):
        nearest = np.inf
        for (ax, ay), (bx, by) in zip(points, points[1:], strict=False):
            ux, uy = bx - ax, by - ay
            along = np.clip(((px - ax) * ux + (py - ay) * uy) / (ux * ux + uy * uy), 0.0, 1.0)
            dx, dy = px - ax - along * ux, py - ay - along * uy
            nearest = np.minimum(nearest, dx * dx + dy * dy)
        return np.sqrt(nearest) - width / 2

    xs, ys = zip(*points, strict=True)
    half = width / 2
    return Shape(distance, (min(xs) - half, min(ys) - half, max(xs) + half, max(ys) + half))


def arc(x, y, rx, ry, start, stop, width, pieces=10):
    """Stroke along an ellipse around (x, y), from angle `start` to `stop` (radians, clockwise from the right)."""
    angles = [start + (stop - start) * i / pieces for i in range(pieces + 1)]
    return stroke([(x + rx * math.cos(a), y + ry * math.sin(a)) for a in angles], width)


def polygon(points, rounding=0.0):
    """Convex polygon; `points` [(x, y)] run clockwise on the screen; `rounding` grows it with round corners."""

    def distance(px, py):
        worst = -np.inf
        for (ax, ay), (bx, by) in zip(points, points[1:] + points[:1], strict=True):
            ux, uy = bx - ax, by - ay
            worst = np.maximum(worst, ((px - ax) * uy - (py - ay) * ux) / math.hypot(ux, uy))
        return worst - rounding

    xs, ys = zip(*points, strict=True)
    return Shape(distance, (min(xs) - rounding, min(ys) - rounding, max(xs) + rounding, max(ys) + rounding))


def both(a, b):
    """Intersection of two shapes."""
    return Shape(lambda x, y: np.maximum(a.distance(x, y), b.distance(x, y)), a.box)


def without(a, b):
    """Part of `a` outside of `b`."""
    return Shape(lambda x, y: np.maximum(a.distance(x, y), -b.distance(x, y)), a.box)


def square_of(image):
    """Returns (left, top, side) of the square of frames: in the middle of a wide image, at the bottom of a tall one."""
    height, width = image.shape[:2]
    side = min(height, width)
    return (width - side) // 2, height - side, side


def paint(image, frame, shape, colour, softness=0.0):
    """Paints `shape`, in the coordinates of `frame`, over `image` in place.

    Args:
        image: [H, W, 3] float64 in [0, 1], or [H, W, 4] with premultiplied alpha.
        colour: 3 floats in [0, 1].
        softness: width of the edge in the frame's units; the edge is one pixel wide at least.
    """
    left, top, side = square_of(image)
    rows, columns = _window(frame, shape.box, image, softness)
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return
    dx = (np.arange(columns.start, columns.stop)[None, :] - left + 0.5) / side - frame.x
    dy = (np.arange(rows.start, rows.stop)[:, None] - top + 0.5) / side - frame.y
    cos, sin = math.cos(frame.tilt) / frame.scale, math.sin(frame.tilt) / frame.scale
    distance = shape.distance(dx * cos + dy * sin, dy * cos - dx * sin)
    edge = max(1.0 / (side * frame.scale), softness)
    cover = np.clip(0.5 - distance / edge, 0.0, 1.0)[..., None]
    patch = image[rows, columns]
    patch += (np.append(colour, 1.0)[: image.shape[2]] - patch) * cover


def _window(frame, box, image, softness):
    """Returns slices (rows, columns) of the pixels that a box of the frame can cover."""
    left, top, right, bottom = box
    first_column, first_row, side = square_of(image)
    cos, sin = math.cos(frame.tilt) * frame.scale, math.sin(frame.tilt) * frame.scale
    corners = [(x, y) for x in (left, right) for y in (top, bottom)]
    slices = []
    for values, origin, length in (
        ([frame.y + x * sin + y * cos for x, y in corners], first_row, image.shape[0]),
        ([frame.x + x * cos - y * sin for x, y in corners], first_column, image.shape[1]),
    ):
        margin = 2 + softness * frame.scale * side
        first = origin + math.floor(min(values) * side - margin)
        last = origin + math.ceil(max(values) * side + margin)
        slices.append(slice(max(first, 0), min(last, length)))
    return slices
