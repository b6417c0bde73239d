"""Command line of the benchmarks: parses options, starts TensorFlow, prints figures as lines or JSON."""

import sys

from gan_tf.cli import arguments
from gan_tf.cli.quiet import start_tensorflow
from gan_tf.errors import FAULT, USAGE_ERROR, UsageError
from gan_tf.io.json_text import json_text


class MeasurementFailed(Exception):
    """A measurement failed for a reason that one line explains."""


def run(options_class, measure, argv, prog, start=start_tensorflow) -> int:
    """Parses `argv`, calls measure(options) -> {name: value}, and prints the result unless it is None.

    Args:
        options_class: dataclass of the options, with a field `json`.
        start: called before `measure`.

    Returns:
        exit code: 0; 2 after a UsageError or 1 after MeasurementFailed, which are printed as one line.
    """
    try:
        options = arguments.parse(options_class, argv, prog=prog)
        start()
        result = measure(options)
    except UsageError as error:
        print(f"{prog}: error: {error}", file=sys.stderr)
        return USAGE_ERROR
    except MeasurementFailed as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return FAULT
    if result is not None:
        print(json_text(result) if options.json else "\n".join(lines(result)))
    return 0


def lines(figures, indent=""):
    """Yields a line for each figure; a list of measurements is indented, with an empty line before each."""
    for name, value in figures.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            yield f"{indent}{name}"
            for each in value:
                yield ""
                yield from lines(each, indent + "  ")
        else:
            yield f"{indent + name:<28} {value}"
