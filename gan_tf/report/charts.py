"""Line charts as inline SVG: scores, copies and losses over kimg. Readable on a phone, without scripts."""

import itertools
import math
from html import escape

from gan_tf.metrics.score import differences, image_size_of, number

WIDTH, HEIGHT = 420, 230  # units of the drawing, about pixels
LEFT, RIGHT, TOP, BOTTOM = 48, 14, 18, 34  # margins
MOST_DOTS = 60  # a line of more points has no dots
COLOURS = ("s0", "s1", "s2", "s3", "s4")  # CSS classes
LABEL_WIDTH = 60  # of the label of a mark: closer to the right edge, the label is to the left of the mark
LARGEST = 1e100  # larger values are not drawn: differences of them could overflow


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
    name, best, mark = segments[0][0].score.name, summary.best, None
    if best and any(best.score.comparable_with(segment[0].score) for segment in segments):
        mark = best.kimg, best.score.value, f"best {number(best.score.value)}", best.score.lower_is_better
    right = max(summary.images_seen, best.images_seen if best else 0) / 1000
    notes, sizes = [], []  # reasons for several lines; all changes of resolution are in one sentence
    for before, after in itertools.pairwise(segments):
        old, new = (image_size_of(part.score.protocol) for part in (before[-1], after[0]))
        if old != new:
            sizes.append(f"at {new} from {after[0].kimg:g} kimg")
            continue
        reason = ", ".join(differences(before[-1].score, after[0].score)) or "another metric in between"
        notes.append(f"The protocol changed at {after[0].kimg:g} kimg ({reason}): not comparable with earlier scores.")
    if sizes:
        first = image_size_of(segments[0][0].score.protocol)
        notes.insert(0, f"Scored at {first}, then {', '.join(sizes)}: scores of two sizes are not comparable.")
    return _chart(name, lines, "".join(f'<p class="dim">{escape(text)}</p>' for text in notes), right, mark=mark)


def _copies_chart(summary, segments) -> str:
    """The share of copies over kimg, with the same segments: another metric may compare images in another space."""
    checked = [[scored for scored in part if scored.copies is not None] for part in segments]
    checked = [part for part in checked if part]
    if not checked:
        return ""
    expected = checked[-1][-1].share_among_reals
    note = "Dashed: the share among the training images themselves." if expected is not None else ""
    return _chart(
        "copies",
        [[(scored.kimg, scored.copies) for scored in part] for part in checked],
        f'<p class="dim">{note}</p>',
        summary.images_seen / 1000,
        title="share of copies over kimg",
        text=lambda value: f"{100 * value:.3g} %",
        level=expected,
        least_high=0.1,  # so that 0.1 % is drawn as small
        colours=("shares",),
    )


def loss_charts(summary) -> str:
    """Returns the section with the losses, and with other training statistics collapsed, as HTML."""
    groups = {}
    for name, line in summary.losses.items():
        group, _, label = name.partition("/")
        groups.setdefault(group, {})[label.replace("_", " ")] = line
    charts = {}
    for name, lines in groups.items():
        keys = [f'<span class="key {c}">{escape(label)}</span>' for label, c in zip(lines, COLOURS, strict=False)]
        note = f'<p class="dim">{"".join(keys)}</p>'
        charts[name] = _chart(name, list(lines.values())[: len(COLOURS)], note, summary.images_seen / 1000)
    if not charts:
        return ""
    losses = charts.pop("loss", "")
    others = f'<div class="charts">{"".join(charts.values())}</div>'
    details = f"<details><summary>Logits, gradients and other statistics</summary>{others}</details>" if charts else ""
    return f"<section><h2>Losses</h2>{losses}{details}</section>"


def _chart(name, lines, note, right, *, title=None, text=number, **options) -> str:
    """A chart with its name above and an HTML note below."""
    chart = line_chart(lines, title=title or f"{name} over kimg", text=text, right=right, **options)
    return f'<div class="chart"><h3>{escape(name)}</h3>{chart}{note}</div>'


def line_chart(lines, *, title, text, right=0.0, mark=None, level=None, least_high=None, colours=COLOURS) -> str:
    """Draws lines over kimg.

    Args:
        lines: lists of (kimg, value), by rising kimg. A line is interrupted at NaN and infinities, which are drawn as
            crosses at the bottom.
        title: description for screen readers.
        text: function that formats a value.
        right: the kimg axis ends at this value or later.
        mark: (kimg, value, label, True if the label is below the point) of a highlighted point, or None.
        level: value of a dashed horizontal line, or None.
        least_high: the value axis ends at this value or later; None: at the largest value.
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
    low, high = ticks[0], ticks[-1]

    def position(kimg, value):
        x = LEFT + (WIDTH - LEFT - RIGHT) * kimg / right
        return x, HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - low) / (high - low)

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">']
    for value in ticks:
        _, y = position(0, value)
        parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{escape(text(value + 0.0))}</text>')
    for value in axis_ticks(0.0, right):
        if value <= right * (1 + 1e-9):
            x, _ = position(value, low)
            parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{value:g}</text>')
    parts.append(f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 4}" text-anchor="end">kimg</text>')
    if level is not None and is_drawable(level):
        parts.append(f'<path class="level" d="M{LEFT} {position(0, level)[1]:.1f}H{WIDTH - RIGHT}"/>')
    for line, colour in zip(lines, itertools.cycle(colours), strict=False):
        parts += _draw_line(line, colour, text, position)
    if mark and is_drawable(mark[1]):
        parts.append(_draw_mark(*mark, position))
    return "".join(parts) + "</svg>"


def is_drawable(value) -> bool:
    """Returns False for NaN, infinities, and values of at least LARGEST."""
    return abs(value) < LARGEST


def axis_ticks(low, high) -> list[float]:
    """Returns 3 to 7 round values in even steps, the first at most `low` and the last at least `high`.

    The axis starts at 0 if `low` is positive and at most half of `high`.
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


def _draw_line(line, colour, text, position):
    """Yields the pieces of a line between values that are not finite, its dots if they are few, and its crosses.

    `position`: (kimg, value) -> (x, y) in the drawing.
    """
    for drawable, piece in itertools.groupby(line, lambda point: is_drawable(point[1])):
        positions = [position(*point) for point in piece]
        if drawable and len(positions) > 1:
            yield f'<polyline class="line {colour}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in positions)}"/>'
        elif drawable:  # a line of one point would be invisible
            yield f'<circle class="dot {colour}" cx="{positions[0][0]:.1f}" cy="{positions[0][1]:.1f}" r="3"/>'
    for kimg, value in line:
        x, y = position(kimg, value)
        if not is_drawable(value):
            tip, y = f"<title>{kimg:g} kimg: {value}</title>", HEIGHT - BOTTOM - 6
            yield f'<path class="lost" d="M{x - 3:.1f} {y - 3}l6 6m0 -6l-6 6">{tip}</path>'
        elif len(line) <= MOST_DOTS:
            tip = f"<title>{kimg:g} kimg: {escape(text(value))}</title>"
            yield f'<circle class="dot {colour}" cx="{x:.1f}" cy="{y:.1f}" r="2.5">{tip}</circle>'


def _draw_mark(kimg, value, label, label_below, position) -> str:
    """A ring around a point, with its label where there is room."""
    x, y = position(kimg, value)
    anchor, shift = ("end", 4) if x > WIDTH - RIGHT - LABEL_WIDTH else ("middle", 0)
    above, below = y - 10, y + 18
    label_y = below if below < HEIGHT - BOTTOM + 2 and (label_below or above <= TOP - 4) else above
    return (
        f'<circle class="mark" cx="{x:.1f}" cy="{y:.1f}" r="5"/>'
        f'<text class="label" x="{x + shift:.1f}" y="{label_y:.1f}" text-anchor="{anchor}">{escape(label)}</text>'
    )
