"""What every benchmark does around its measurement: options, a quiet start of TensorFlow, figures as lines or JSON."""

import json
import sys

from gan_tf.cli import arguments
from gan_tf.cli.main import USAGE_ERROR
from gan_tf.cli.quiet import start_tensorflow
from gan_tf.errors import UsageError


def run(options_class, measure, argv, prog) -> int:
    """Parses `argv`, calls measure(options) -> {name of a figure: value}, and prints that.

    options_class: dataclass of the options, `json` among them. A wrong option ends in one line and exit code 2.
    """
    try:
        options = arguments.parse(options_class, argv, prog=prog)
        start_tensorflow()
        result = measure(options)
    except UsageError as error:
        print(f"{prog}: error: {error}", file=sys.stderr)
        return USAGE_ERROR
    if options.json:
        print(json.dumps(result))
    else:
        print("\n".join(f"{name:<28} {value}" for name, value in result.items()))
    return 0
