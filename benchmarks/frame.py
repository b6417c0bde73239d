"""What every benchmark does around its measurement: options, a quiet start of TensorFlow, figures as lines or JSON."""

import json
import sys

from gan_tf.cli import arguments
from gan_tf.cli.main import USAGE_ERROR
from gan_tf.cli.quiet import start_tensorflow
from gan_tf.errors import UsageError

FAILED = 1  # exit code


class MeasurementFailed(Exception):
    """A measurement could not be made, and no traceback would tell more than its one line does."""


def run(options_class, measure, argv, prog, start=start_tensorflow) -> int:
    """Parses `argv`, calls measure(options) -> {name of a figure: value}, and prints that; None prints nothing.

    Args:
        options_class: dataclass of the options, `json` among them. A wrong option ends in one line and exit code 2.
        start: called before `measure`.
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
        return FAILED
    if result is not None:
        print(json.dumps(result) if options.json else "\n".join(lines(result)))
    return 0


def lines(figures, indent=""):
    """A line for each figure; those of a list of several measurements indented, with an empty line before each."""
    for name, value in figures.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            yield f"{indent}{name}"
            for each in value:
                yield ""
                yield from lines(each, indent + "  ")
        else:
            yield f"{indent + name:<28} {value}"
