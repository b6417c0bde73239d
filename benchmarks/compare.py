"""Compares two results of `make bench`, of two machines or versions, as ratios.

    python benchmarks/compare.py before.json after.json

Prints a Markdown table of all figures that both files have. A ratio above 1 means that the second file's figure is
better: more images per second, fewer seconds, less memory. On a machine with other work, the shares of the peak are
more reliable than the seconds.
"""

import dataclasses
import sys
from typing import Annotated

import tyro
from frame import run

from gan_tf.errors import UsageError
from gan_tf.io.files import user_path
from gan_tf.io.json_text import json_object

PEAK, MEMORY = "fraction_of_peak", "peak_memory_gb"
FIGURES = {  # name: (format, whether higher is better); the order is that of tables
    "seconds_per_step": ("{:.3g} s per step", False),
    "images_per_second": ("{:.3g} images/s", True),
    "folded_images_per_second": ("{:.3g} images/s", True),
    "decode": ("decodes {:,.0f} images/s", True),
    "resident": ("in memory {:,.0f} images/s", True),
    "mapped": ("from the disk {:,.0f} images/s", True),
    "seconds_to_first_step": ("{:.1f} s to the first step", False),
    "help_cpu_seconds": ("{:.2f} CPU seconds for --help", False),
    PEAK: ("{:.0%} of the peak", True),
    MEMORY: ("{:.2f} GB", False),
    "gflops": ("{:,.0f} GFLOP/s", True),
}


@dataclasses.dataclass(frozen=True)
class CompareOptions:
    """Compares two results of `make bench`."""

    first: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="A.json")]
    second: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="B.json")]
    json: bool = False  # print one JSON object


def compare(options):
    """Prints the table, or with --json returns {measurement: {figure: ratio}}."""
    first, second = (with_peaks(read(path)) for path in (options.first, options.second))
    both = [name for name in first if name in second]
    if options.json:
        return {name: ratios(first[name], second[name]) for name in both}
    print("| Measurement | A | B | B better by a factor of |\n|---|---|---|---|")
    for name in both:
        for figure, ratio in ratios(first[name], second[name]).items():
            texts = [FIGURES[figure][0].format(side[name][figure]) for side in (first, second)]
            print(f"| {name} | {' | '.join(texts)} | {ratio:.2f} |")
    for side, other, file in ((first, second, "A"), (second, first, "B")):
        if only := [name for name in side if name not in other]:
            print(f"\nOnly in {file}: {'; '.join(only)}.")
    return None


def ratios(first, second):
    """Returns {figure: ratio} of the figures that both measurements have; above 1 the second one is better."""
    found = {}
    for name, (_, higher_is_better) in FIGURES.items():
        if name in first and name in second and not (name == "seconds_per_step" and "images_per_second" in first):
            worse, better = (first, second) if higher_is_better else (second, first)
            found[name] = better[name] / worse[name] if worse[name] else float("nan")
    return found


def read(path):
    """Returns the content of a file of bench.py. Raises UsageError for any other."""
    try:
        report = json_object(user_path(path).read_bytes())
        if all(isinstance(figures, dict) for figures in report["measurements"].values()) and report["machine"]:
            return report
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; give a file of `make bench`") from error
    except (ValueError, KeyError, AttributeError):
        pass
    raise UsageError(f"{path} is not a result of `make bench`; give its JSON file")


def with_peaks(report):
    """Returns the measurements of a report, preceded by the machine's peaks."""
    peaks = report["machine"].get("convolution_peak_gflops", {})
    measured = {f"Peak of convolutions, {precision}": {"gflops": value} for precision, value in peaks.items()}
    return measured | report["measurements"]


def describe(figures, names=tuple(FIGURES)):
    """Returns the figures of a measurement as text, or its error."""
    if "error" in figures:
        return f"failed: {figures['error']}"
    return ", ".join(FIGURES[name][0].format(figures[name]) for name in names if name in figures)


def table(report):
    """Returns a report of bench.py as Markdown: the machine, its peaks, and a table of the measurements."""
    machine = report["machine"]
    peaks = [f"{value:,.0f} GFLOP/s in {name}" for name, value in machine["convolution_peak_gflops"].items()]
    lines = [f"gan_tf {machine['gan_tf']}, TensorFlow {machine['tensorflow']}, Python {machine['python']}, on "]
    lines[0] += f"{machine['device']} ({machine['cpu']}, {machine['cores']} cores)."
    lines += [f"Peak of convolutions: {', '.join(peaks)}." * bool(peaks), ""]
    lines += ["| Measurement | Speed | Share of the peak | Peak memory |", "|---|---|---|---|"]
    speeds = [name for name in FIGURES if name not in (PEAK, MEMORY)]
    for name, figures in report["measurements"].items():
        others = ["", ""] if "error" in figures else [describe(figures, [each]) for each in (PEAK, MEMORY)]
        lines.append(f"| {' | '.join([name, describe(figures, speeds), *others])} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    sys.exit(run(CompareOptions, compare, sys.argv[1:], prog="benchmarks/compare.py", start=lambda: None))
