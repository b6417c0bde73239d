"""Curves of several runs beside each other, as one SVG picture.

    python benchmarks/compare.py --runs checkpoints/a checkpoints/b --names "with ADA" without --out compare.svg

A chart for each of --values: names of the training records (such as augment/sign: the mean sign of the logits of the
discriminator on reals), `score`, the metric that picks the best weights, or `copies`, the share of images that repeat a
training image. Training records are means since the record before, smoothed once more over --smooth of them.
"""

import dataclasses
import html
import sys

from frame import run

from gan_tf.errors import UsageError
from gan_tf.io.files import check_writable, user_path, write_atomically
from gan_tf.report.chart import COLOURS, HEIGHT, WIDTH, line_chart
from gan_tf.runs.folder import Run

PROGRAM = "benchmarks/compare.py"
TITLES = {"augment/sign": "mean sign of D's logits on reals", "augment/p": "probability of the augmentation"}
TITLES |= {"copies": "share of images that count as copies", "logits/real": "D's logits on reals"}
TITLES |= {"logits/fake": "D's logits on generated images"}
HEAD, COLUMNS = 26, 2  # units above each chart for its title, charts side by side
STYLE = """
text { fill: #5d6671; font: 11px system-ui, sans-serif; } .title { fill: #1b1f24; font-weight: 600; font-size: 13px; }
.grid { stroke: #e7eaee; fill: none; } .level { stroke: #5d6671; stroke-dasharray: 5 4; fill: none; }
.line { fill: none; stroke-width: 2; } .s0 { stroke: #2563c9; } .s1 { stroke: #b3541e; } .s2 { stroke: #2b8a57; }
.s3 { stroke: #a3308a; } .s4 { stroke: #7a6a00; } .dot { stroke-width: 0; }
circle.s0 { fill: #2563c9; } circle.s1 { fill: #b3541e; } circle.s2 { fill: #2b8a57; } circle.s3 { fill: #a3308a; }
circle.s4 { fill: #7a6a00; }
"""


@dataclasses.dataclass(frozen=True)
class CompareOptions:
    """Draws curves of several runs beside each other."""

    runs: tuple[str, ...]  # folders of runs, at most five
    names: tuple[str, ...] = ()  # what each is called in the picture; default its folder's name
    values: tuple[str, ...] = ("augment/sign", "augment/p", "score", "copies")  # a chart for each
    smooth: int = 1  # training records that a point is the mean of
    out: str = "compare.svg"  # SVG file to write
    json: bool = False  # print one JSON object


def compare(options):
    """Writes the picture. Returns what each run came to in the end, as a dict."""
    out, runs = user_path(options.out), [Run(user_path(folder)) for folder in options.runs]
    check_writable(out, "--out")
    names = options.names or [each.folder.name for each in runs]
    if len(names) != len(runs) or len(runs) > len(COLOURS):
        raise UsageError(f"--runs names {len(runs)} runs, --names {len(names)}; give as many, at most {len(COLOURS)}")
    if options.smooth < 1:
        raise UsageError(f"--smooth is {options.smooth}; give an integer of at least 1")
    records = [records_of(each) for each in runs]
    curves = {value: [curve(some, value, options.smooth) for some in records] for value in options.values}
    for value, lines in curves.items():
        if not any(lines):
            raise UsageError(f"--values {value}: no run has records of it; they have {', '.join(known(records))}")
    write_atomically(out, picture(curves, names, metric_of(records)).encode())
    ends = [{"run": name, **{v: c[i][-1][1] for v, c in curves.items() if c[i]}} for i, name in enumerate(names)]
    return {"picture": str(out), "ends": ends}


def records_of(run):
    """The records of a run.

    Raises:
        UsageError: there are none.
    """
    found = run.records()
    if not found:
        raise UsageError(f"--runs: {run.folder} has no records of a training")
    return found


def curve(records, value, smooth):
    """[(kimg, value)] of one quantity, by rising kimg."""
    found = [(r["images_seen"] / 1000, r[value]) for r in records if isinstance(r.get(value), int | float)]
    if value in ("score", "copies"):
        return found
    parts = [found[i : i + smooth] for i in range(0, len(found), smooth)]
    return [(part[-1][0], sum(y for _, y in part) / len(part)) for part in parts]


def known(records):
    """Names of the quantities that some run has records of."""
    return sorted({name for some in records for record in some for name in record if "/" in name} | {"copies", "score"})


def metric_of(records):
    """Name of the metric of the first score."""
    return next((r["metric"] for some in records for r in some if "metric" in r), "score")


def picture(curves, names, metric):
    """The charts, two to a row, with the names of the runs above: the text of an SVG file."""
    width = COLUMNS * WIDTH
    rows = -(-len(curves) // COLUMNS)
    height = HEAD + rows * (HEIGHT + HEAD)
    parts = [*legend(names)]
    for place, (value, lines) in enumerate(curves.items()):
        x, y = place % COLUMNS * WIDTH, HEAD + place // COLUMNS * (HEIGHT + HEAD)
        title = metric if value == "score" else TITLES.get(value, value)
        parts.append(f'<text class="title" x="{x + 14}" y="{y + 18}">{html.escape(title)}</text>')
        chart = line_chart(lines, title=title, text=lambda number: f"{number:.3g}")
        place_of = f'<svg x="{x}" y="{y + HEAD}" width="{WIDTH}" height="{HEIGHT}" '
        parts.append(chart.replace("<svg ", place_of, 1))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"><style>{STYLE}</style>'
        f'<rect width="{width}" height="{height}" fill="white"/>{"".join(parts)}</svg>\n'
    )


def legend(names):
    """Yields a line of each run's colour with its name."""
    for i, name in enumerate(names):
        x = 14 + i * COLUMNS * WIDTH / len(names)
        yield f'<path class="line {COLOURS[i]}" d="M{x:.0f} 14h24"/>'
        yield f'<text class="title" x="{x + 32:.0f}" y="18">{html.escape(name)}</text>'


if __name__ == "__main__":
    sys.exit(run(CompareOptions, compare, sys.argv[1:], prog=PROGRAM, start=lambda: None))
