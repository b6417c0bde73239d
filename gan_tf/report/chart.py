"""A line chart as inline SVG, drawn so that its text can be read on a phone: no script, colours from the page."""

import html
import math
from typing import NamedTuple

WIDTH, HEIGHT = 420, 230  # units of the drawing, about pixels
LEFT, RIGHT, TOP, BOTTOM = 48, 14, 18, 34  # margins
MOST_DOTS = 60  # points that are drawn singly; of more, the line alone
COLOURS = ("s0", "s1", "s2", "s3", "s4")  # classes of the page's style
ROOM_FOR_LABEL = 60  # a label nearer than this to the right edge goes to the left of its point
LARGEST = 1e100  # differences of larger values would overflow


class Mark(NamedTuple):
    """A point that is pointed out, with its label above or below it."""

    x: float
    y: float
    label: str
    below: bool = False


class Frame(NamedTuple):
    """What is in view."""

    right: float
    low: float
    high: float

    def x(self, value) -> float:
        """Place of a value on the page, from the left."""
        return LEFT + (WIDTH - LEFT - RIGHT) * value / self.right

    def y(self, value) -> float:
        """Place of a value on the page, from the top."""
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - self.low) / (self.high - self.low)


def line_chart(lines, *, title, text, right=0.0, marks=(), level=None, least_high=None, colours=COLOURS) -> str:
    """Draws lines over kimg, each in the next colour.

    Args:
        lines: lists of (kimg, value), by rising kimg. A line breaks at NaN and infinities, which get a
            cross at the foot.
        title: what the chart shows, for those who cannot see it.
        text: text(value) writes a value, for axis and points.
        right: kimg that the axis goes to at least.
        marks: Marks.
        level: value of a dashed line across, or None.
        least_high: the axis goes up to this at least.
        colours: classes of the page's style.

    Returns:
        <svg>; words instead where no value is finite.
    """
    finite = [value for line in lines for _, value in line if drawable(value)]
    if not finite:
        return '<p class="none">No finite value yet.</p>'
    right = max(right, *(kimg for line in lines for kimg, _ in line)) or 1.0
    seen = finite + [value for value in (level, least_high) if value is not None and drawable(value)]
    steps = axis(min(seen), max(seen))
    frame = Frame(right, steps[0], steps[-1])
    parts = [*grid_lines(frame, steps, text)]
    if level is not None and drawable(level):
        parts.append(f'<path class="level" d="M{LEFT} {frame.y(level):.1f}H{WIDTH - RIGHT}"/>')
    for number, line in enumerate(lines):
        parts += drawn(frame, line, colours[number % len(colours)], text)
    parts += [marked(frame, mark) for mark in marks if drawable(mark.y)]
    head = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(title)}">'
    return head + "".join(parts) + "</svg>"


def drawable(value) -> bool:
    """False for NaN, infinities and what no axis can hold."""
    return abs(value) < LARGEST


def axis(low, high) -> list[float]:
    """Round values for an axis: 3 to 7 at even steps, with `low` and `high` between the first and the last.

    The axis begins at 0 where that costs less than half of it.
    """
    if 0 <= low <= high / 2:
        low = 0.0
    if high - low <= max(1e-9 * max(abs(high), abs(low)), 1 / LARGEST):  # one value, or rounding
        room = max(abs(high) / 10, 1 / LARGEST) if high else 1.0
        low, high = low - room, high + room
    step = round_step((high - low) / 4)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [number * step for number in range(first, last + 1)]


def round_step(step) -> float:
    """The smallest of 1, 2, 2.5, 5, 10 times a power of ten that is at least `step`."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= step * (1 - 1e-9))


def grid_lines(frame, steps, text):
    """Yields axes with their numbers."""
    for value in steps:
        y = frame.y(value)
        yield f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>'
        yield f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{html.escape(text(value + 0.0))}</text>'
    for value in axis(0.0, frame.right):
        if value <= frame.right * (1 + 1e-9):
            yield f'<text x="{frame.x(value):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{value:g}</text>'
    yield f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 4}" text-anchor="end">kimg</text>'


def drawn(frame, line, colour, text):
    """Yields one line: its unbroken pieces, its points where they are few, a cross for each value that is no number."""
    piece = []
    for kimg, value in [*line, (0.0, math.nan)]:
        if drawable(value):
            piece.append(f"{frame.x(kimg):.1f},{frame.y(value):.1f}")
            continue
        if len(piece) > 1:
            yield f'<polyline class="line {colour}" points="{" ".join(piece)}"/>'
        elif piece:  # alone: a line of no length would not be seen
            x, y = piece[0].split(",")
            yield f'<circle class="dot {colour}" cx="{x}" cy="{y}" r="3"/>'
        piece = []
    few = len(line) <= MOST_DOTS
    for kimg, value in line:
        if not drawable(value):
            x, y = frame.x(kimg), HEIGHT - BOTTOM - 6
            tip = f"<title>{kimg:g} kimg: {value}</title>"
            yield f'<path class="lost" d="M{x - 3:.1f} {y - 3}l6 6m0 -6l-6 6">{tip}</path>'
        elif few:
            tip = f"<title>{kimg:g} kimg: {html.escape(text(value))}</title>"
            x, y = frame.x(kimg), frame.y(value)
            yield f'<circle class="dot {colour}" cx="{x:.1f}" cy="{y:.1f}" r="2.5">{tip}</circle>'


def marked(frame, mark) -> str:
    """A ring around a point, with its label on the side where there is room."""
    x, y = frame.x(mark.x), frame.y(mark.y)
    side, shift = ("end", 4) if x > WIDTH - RIGHT - ROOM_FOR_LABEL else ("middle", 0)
    above, below = y - 10, y + 18
    fits = above > TOP - 4, below < HEIGHT - BOTTOM + 2
    at = below if fits[1] and (mark.below or not fits[0]) else above
    return (
        f'<circle class="mark" cx="{x:.1f}" cy="{y:.1f}" r="5"/>'
        f'<text class="label" x="{x + shift:.1f}" y="{at:.1f}" text-anchor="{side}">{html.escape(mark.label)}</text>'
    )
