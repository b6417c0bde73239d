"""Line charts as inline SVG: scores, copies and losses over kimg. Readable on a phone, without scripts."""

import math
from html import escape
from typing import NamedTuple

from gan_tf.metrics.score import differences, number

WIDTH, HEIGHT = 420, 230  # units of the drawing, about pixels
LEFT, RIGHT, TOP, BOTTOM = 48, 14, 18, 34  # margins
MOST_DOTS = 60  # a line of more points has no dots
COLOURS = ("s0", "s1", "s2", "s3", "s4")  # CSS classes
LABEL_WIDTH = 60  # of the label of a mark: closer to the right edge, the label is to the left of the mark
LARGEST = 1e100  # larger values are not drawn: differences of them could overflow


class Mark(NamedTuple):
    """A highlighted point. Its label is above the point, or below it."""

    x: float
    y: float
    label: str
    below: bool = False


class Frame(NamedTuple):
    """The ranges of the axes: 0 to `right` in kimg, `low` to `high`."""

    right: float
    low: float
    high: float

    def x(self, value) -> float:
        """Horizontal position of a value in the drawing."""
        return LEFT + (WIDTH - LEFT - RIGHT) * value / self.right

    def y(self, value) -> float:
        """Vertical position of a value in the drawing."""
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - self.low) / (self.high - self.low)


def score_charts(summary) -> str:
    """Returns the section with a chart for each metric and one for the share of copies, as HTML."""
    if not summary.scores:
        return ""
    segments = []  # scores of a segment are comparable with each other
    for scored in summary.scores:
        if not segments or not scored.score.comparable_with(segments[-1][-1].score):
            segments.append([])
        segments[-1].append(scored)
    names = dict.fromkeys(segment[0].score.name for segment in segments)
    charts = [_score_chart(summary, [part for part in segments if part[0].score.name == name]) for name in names]
    charts.append(_copies_chart(summary, segments))
    return f'<section><h2>Over the run</h2><div class="charts">{"".join(charts)}</div></section>'


def _score_chart(summary, segments) -> str:
    """The chart of one metric, with a line for each segment and a mark at the best score."""
    lines = [[(scored.kimg, scored.score.value) for scored in segment] for segment in segments]
    name, best, marks = segments[0][0].score.name, summary.best, []
    if best and any(best.score.comparable_with(segment[0].score) for segment in segments):
        marks.append(Mark(best.kimg, best.score.value, f"best {number(best.score.value)}", best.score.lower_is_better))
    right = max(summary.images_seen, best.images_seen if best else 0) / 1000
    chart = line_chart(lines, title=f"{name} over kimg", text=number, right=right, marks=marks)
    notes = "".join(f'<p class="dim">{escape(text)}</p>' for text in _segment_notes(segments))
    return f'<div class="chart"><h3>{escape(name)}</h3>{chart}{notes}</div>'


def _segment_notes(segments) -> list[str]:
    """Returns the reasons why a metric has several lines; all changes of resolution are in one sentence."""
    notes, sizes = [], []
    for before, after in zip(segments, segments[1:], strict=False):
        old, new = (part.score.protocol.get("resolution") for part in (before[-1], after[0]))
        if old != new:
            sizes.append(f"at {new}x{new} from {after[0].kimg:g} kimg")
            continue
        reason = ", ".join(differences(before[-1].score, after[0].score)) or "another metric in between"
        notes.append(f"The protocol changed at {after[0].kimg:g} kimg ({reason}): not comparable with earlier scores.")
    if sizes:
        first = segments[0][0].score.protocol.get("resolution")
        notes.insert(0, f"Scored at {first}x{first}, then {', '.join(sizes)}: scores of two sizes are not comparable.")
    return notes


def _copies_chart(summary, segments) -> str:
    """The share of copies over kimg, with the same segments: another metric may compare images in another space."""
    lines = [[(scored.kimg, scored.copies) for scored in part if scored.copies is not None] for part in segments]
    checked = [scored for scored in summary.scores if scored.copies is not None]
    if not checked:
        return ""
    expected = checked[-1].share_among_reals
    chart = line_chart(
        [line for line in lines if line],
        title="share of copies over kimg",
        text=lambda value: f"{100 * value:.3g} %",
        level=expected,
        right=summary.images_seen / 1000,
        least_high=0.1,  # so that 0.1 % is drawn as small
        colours=("shares",),
    )
    note = "Dashed: the share among the training images themselves." if expected is not None else ""
    return f'<div class="chart"><h3>copies</h3>{chart}<p class="dim">{note}</p></div>'


def loss_charts(summary) -> str:
    """Returns the section with the losses, and with other training statistics collapsed, as HTML."""
    groups = {}
    for name, line in summary.losses.items():
        group, _, label = name.partition("/")
        groups.setdefault(group, []).append((label, line))
    charts = {}
    for name, lines in groups.items():
        lines = lines[: len(COLOURS)]
        right = summary.images_seen / 1000
        chart = line_chart([line for _, line in lines], title=f"{name} over kimg", text=number, right=right)
        labels = [label.replace("_", " ") for label, _ in lines]
        keys = [f'<span class="key {c}">{escape(label)}</span>' for label, c in zip(labels, COLOURS, strict=False)]
        charts[name] = f'<div class="chart"><h3>{escape(name)}</h3>{chart}<p class="dim">{"".join(keys)}</p></div>'
    if not charts:
        return ""
    losses = charts.pop("loss", "")
    others = f'<div class="charts">{"".join(charts.values())}</div>'
    details = f"<details><summary>Logits, gradients and other statistics</summary>{others}</details>" if charts else ""
    return f"<section><h2>Losses</h2>{losses}{details}</section>"


def line_chart(lines, *, title, text, right=0.0, marks=(), level=None, least_high=None, colours=COLOURS) -> str:
    """Draws lines over kimg.

    Args:
        lines: lists of (kimg, value), by rising kimg. A line is interrupted at NaN and infinities, which are drawn as
            crosses at the bottom.
        title: description for screen readers.
        text: function that formats a value.
        right: least end of the kimg axis.
        marks: Marks.
        level: value of a dashed horizontal line, or None.
        least_high: least end of the other axis, or None.
        colours: CSS classes of the lines.

    Returns:
        <svg>, or a sentence if no value is finite.
    """
    values = [value for line in lines for _, value in line if is_drawable(value)]
    if not values:
        return '<p class="none">No finite value yet.</p>'
    right = max(right, *(kimg for line in lines for kimg, _ in line)) or 1.0
    values += [value for value in (level, least_high) if value is not None and is_drawable(value)]
    ticks = axis_ticks(min(values), max(values))
    frame = Frame(right, ticks[0], ticks[-1])
    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">']
    for value in ticks:
        y = frame.y(value)
        parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{escape(text(value + 0.0))}</text>')
    for value in axis_ticks(0.0, right):
        if value <= right * (1 + 1e-9):
            x = frame.x(value)
            parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{value:g}</text>')
    parts.append(f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 4}" text-anchor="end">kimg</text>')
    if level is not None and is_drawable(level):
        parts.append(f'<path class="level" d="M{LEFT} {frame.y(level):.1f}H{WIDTH - RIGHT}"/>')
    for i, line in enumerate(lines):
        parts += _draw_line(frame, line, colours[i % len(colours)], text)
    parts += [_draw_mark(frame, mark) for mark in marks if is_drawable(mark.y)]
    return "".join(parts) + "</svg>"


def is_drawable(value) -> bool:
    """Returns False for NaN, infinities and values above LARGEST."""
    return abs(value) < LARGEST


def axis_ticks(low, high) -> list[float]:
    """Returns 3 to 7 round values in even steps, the first at most `low` and the last at least `high`.

    The axis starts at 0 if that takes less than half of it.
    """
    if 0 <= low <= high / 2:
        low = 0.0
    if high - low <= max(1e-9 * max(abs(high), abs(low)), 1 / LARGEST):  # one value, or rounding errors
        room = max(abs(high) / 10, 1 / LARGEST) if high else 1.0
        low, high = low - room, high + room
    step = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(step))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= step * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [i * step for i in range(first, last + 1)]


def _draw_line(frame, line, colour, text):
    """Yields the pieces of a line between values that are not finite, its dots if they are few, and its crosses."""
    piece = []
    for kimg, value in [*line, (0.0, math.nan)]:
        if is_drawable(value):
            piece.append(f"{frame.x(kimg):.1f},{frame.y(value):.1f}")
            continue
        if len(piece) > 1:
            yield f'<polyline class="line {colour}" points="{" ".join(piece)}"/>'
        elif piece:  # a line of one point would be invisible
            x, y = piece[0].split(",")
            yield f'<circle class="dot {colour}" cx="{x}" cy="{y}" r="3"/>'
        piece = []
    for kimg, value in line:
        x = frame.x(kimg)
        if not is_drawable(value):
            tip, y = f"<title>{kimg:g} kimg: {value}</title>", HEIGHT - BOTTOM - 6
            yield f'<path class="lost" d="M{x - 3:.1f} {y - 3}l6 6m0 -6l-6 6">{tip}</path>'
        elif len(line) <= MOST_DOTS:
            tip = f"<title>{kimg:g} kimg: {escape(text(value))}</title>"
            yield f'<circle class="dot {colour}" cx="{x:.1f}" cy="{frame.y(value):.1f}" r="2.5">{tip}</circle>'


def _draw_mark(frame, mark) -> str:
    """A ring around a point, with its label where there is room."""
    x, y = frame.x(mark.x), frame.y(mark.y)
    anchor, shift = ("end", 4) if x > WIDTH - RIGHT - LABEL_WIDTH else ("middle", 0)
    above, below = y - 10, y + 18
    below_fits = below < HEIGHT - BOTTOM + 2
    label_y = below if below_fits and (mark.below or above <= TOP - 4) else above
    return (
        f'<circle class="mark" cx="{x:.1f}" cy="{y:.1f}" r="5"/>'
        f'<text class="label" x="{x + shift:.1f}" y="{label_y:.1f}" text-anchor="{anchor}">{escape(mark.label)}</text>'
    )
