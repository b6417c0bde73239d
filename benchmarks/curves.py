"""Draws training curves of several runs as one SVG image.

    python benchmarks/curves.py --runs checkpoints/a checkpoints/b --names "with ADA" without --out curves.svg

There is a chart for each of --values: names of training statistics (such as augment/sign: the mean sign of the
discriminator's logits for real images), `score`, the metric that selects the best weights, or `copies`, the share of
images that are copies of training images. Training statistics are averaged over --smooth records.
"""

import dataclasses
import html
import sys

from frame import run

from gan_tf.errors import UsageError
from gan_tf.io.files import check_writable, user_path, write_atomically
from gan_tf.report.charts import COLOURS, HEIGHT, WIDTH, line_chart
from gan_tf.runs.folder import Run

PROGRAM = "benchmarks/curves.py"
TITLES = {
    "augment/sign": "mean sign of D's logits on real images",
    "augment/p": "probability of the augmentation",
    "copies": "share of images that count as copies",
    "logits/real": "D's logits on real images",
    "logits/fake": "D's logits on generated images",
}
TITLE_HEIGHT, COLUMNS = 26, 2  # units above each chart, charts in a row
STYLE = """
text { fill: #5d6671; font: 11px system-ui, sans-serif; } .title { fill: #1b1f24; font-weight: 600; font-size: 13px; }
.grid { stroke: #e7eaee; fill: none; } .level { stroke: #5d6671; stroke-dasharray: 5 4; fill: none; }
.line { fill: none; stroke-width: 2; } .s0 { stroke: #2563c9; } .s1 { stroke: #b3541e; } .s2 { stroke: #2b8a57; }
.s3 { stroke: #a3308a; } .s4 { stroke: #7a6a00; } .dot { stroke-width: 0; }
circle.s0 { fill: #2563c9; } circle.s1 { fill: #b3541e; } circle.s2 { fill: #2b8a57; } circle.s3 { fill: #a3308a; }
circle.s4 { fill: #7a6a00; }
"""


@dataclasses.dataclass(frozen=True)
class CurvesOptions:
    """Draws training curves of several runs as one SVG image."""

    runs: tuple[str, ...]  # folders of runs, at most five
    names: tuple[str, ...] = ()  # names in the legend; default: names of the folders
    values: tuple[str, ...] = ("augment/sign", "augment/p", "score", "copies")  # one chart for each
    smooth: int = 1  # training records that are averaged to one point
    out: str = "curves.svg"  # SVG file to write
    json: bool = False  # print one JSON object


def compare(options):
    """Writes the image. Returns {"image": path, "ends": [{"run": name, value name: last value}]}."""
    out, runs = user_path(options.out), [Run(user_path(folder)) for folder in options.runs]
    check_writable(out, "--out")
    names = options.names or [each.folder.name for each in runs]
    if len(names) != len(runs) or len(runs) > len(COLOURS):
        raise UsageError(f"--runs has {len(runs)} runs, --names {len(names)} names; give equal numbers, at most 5")
    if options.smooth < 1:
        raise UsageError(f"--smooth is {options.smooth}; give an integer of at least 1")
    records = [each.records() for each in runs]
    for each, of_run in zip(runs, records, strict=True):
        if not of_run:
            raise UsageError(f"--runs: {each.folder} has no training records")
    curves = {value: [curve(of_run, value, options.smooth) for of_run in records] for value in options.values}
    for value, lines in curves.items():
        if not any(lines):
            known = {name for of_run in records for record in of_run for name in record if "/" in name}
            known = ", ".join(sorted(known | {"copies", "score"}))
            raise UsageError(f"--values {value}: no run has records of it; choose from {known}")
    metric = next((record["metric"] for of_run in records for record in of_run if "metric" in record), "score")
    write_atomically(out, draw(curves, names, metric).encode())
    ends = [{"run": name, **{v: c[i][-1][1] for v, c in curves.items() if c[i]}} for i, name in enumerate(names)]
    return {"image": str(out), "ends": ends}


def curve(records, value, smooth):
    """Returns [(kimg, value), ...] of one statistic, by rising kimg. Averages groups of `smooth` training records."""
    points = [(r["images_seen"] / 1000, r[value]) for r in records if isinstance(r.get(value), int | float)]
    if value in ("score", "copies"):
        return points
    groups = [points[i : i + smooth] for i in range(0, len(points), smooth)]
    return [(group[-1][0], sum(y for _, y in group) / len(group)) for group in groups]


def draw(curves, names, metric):
    """Returns the SVG as text: a legend, and a chart for each of `curves` {value name: lines}, COLUMNS in a row."""
    width = COLUMNS * WIDTH
    height = TITLE_HEIGHT + -(-len(curves) // COLUMNS) * (HEIGHT + TITLE_HEIGHT)
    parts = []
    for i, name in enumerate(names):
        x = 14 + i * width / len(names)
        parts.append(f'<path class="line {COLOURS[i]}" d="M{x:.0f} 14h24"/>')
        parts.append(f'<text class="title" x="{x + 32:.0f}" y="18">{html.escape(name)}</text>')
    for i, (value, lines) in enumerate(curves.items()):
        x, y = i % COLUMNS * WIDTH, TITLE_HEIGHT + i // COLUMNS * (HEIGHT + TITLE_HEIGHT)
        title = metric if value == "score" else TITLES.get(value, value)
        parts.append(f'<text class="title" x="{x + 14}" y="{y + 18}">{html.escape(title)}</text>')
        chart = line_chart(lines, title=title, text=lambda number: f"{number:.3g}")
        position = f'<svg x="{x}" y="{y + TITLE_HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        parts.append(chart.replace("<svg ", position, 1))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"><style>{STYLE}</style>'
        f'<rect width="{width}" height="{height}" fill="white"/>{"".join(parts)}</svg>\n'
    )


if __name__ == "__main__":
    sys.exit(run(CurvesOptions, compare, sys.argv[1:], prog=PROGRAM, start=lambda: None))
