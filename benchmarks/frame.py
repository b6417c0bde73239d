"""What every benchmark does around its measurement: options, a quiet start of TensorFlow, figures as lines or JSON."""

import json

from gan_tf.cli import arguments
from gan_tf.cli.quiet import start_tensorflow


def run(options_class, measure, argv, prog) -> int:
    """Parses `argv`, calls measure(options) -> {name of a figure: value}, and prints that.

    options_class: dataclass of the options, `json` among them.
    """
    options = arguments.parse(options_class, argv, prog=prog)
    start_tensorflow()
    result = measure(options)
    if options.json:
        print(json.dumps(result))
    else:
        print("\n".join(f"{name:<28} {value}" for name, value in result.items()))
    return 0
