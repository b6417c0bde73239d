"""Parses the command-line arguments of a command into a dataclass, with one-line errors."""

import contextlib
import io
import re

import tyro

from gan_tf.config.validation import parse_size
from gan_tf.errors import UsageError

COLOUR = r"\x1b\[[\d;]*m"
RULE = r"(?:─|-){5,}"  # between the sections of a message of tyro: title, error, similar options, reference to --help
REWORDED = (  # (error of tyro, replacement)
    (r"Missing value for argument '(-.+)'\. .*", r"\1 has no value; give one"),
    (r"invalid choice '(.*)' for argument '(.+)'\. Expected one of \((.+?),?\)\.", r"\2 is '\1'; choose from \3"),
    (r"Error parsing (\S+): invalid literal for int\(\) with base 10: (.*)", r"\1 is \2; give INT"),
    (r"Error parsing (\S+): could not convert string to float: (.*)", r"\1 is \2; give FLOAT"),
    (r"Error parsing (\S+): no type matching \{None\}\|(.+) could be .* from \[(.+)\]\. Got.*", r"\1 is \3; give \2"),
)


def parse(options, argv, *, prog, description=None):
    """Parses `argv` into a dataclass.

    Args:
        options: dataclass whose fields are the flags. A field that is itself a dataclass is a titled group of flags.
        argv: list of strings.
        prog: name of the command, for --help.
        description: one paragraph for --help; default: the docstring of `options`.

    Raises:
        UsageError: an unknown flag or an invalid value.
        SystemExit: after --help.
    """
    message = io.StringIO()
    try:
        with contextlib.redirect_stderr(message):
            return tyro.cli(options, args=argv, prog=prog, description=description, config=(tyro.conf.OmitArgPrefixes,))
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        cause = stop
        while cause := cause.__context__:
            if isinstance(cause, UsageError):  # raised by the dataclass
                raise cause from None
        raise UsageError(one_line(message.getvalue(), prog)) from None


def size_of_options(options):
    """Returns (height, width) of the options --size or --resolution. Raises UsageError for a contradiction."""
    if options.size is None:
        return options.resolution, options.resolution
    width, height = parse_size(options.size)
    if options.resolution not in (type(options).resolution, height):
        raise UsageError(f"--size {options.size} and --resolution {options.resolution}: leave one of them out")
    return height, width


def one_line(message, prog):
    """Returns the error in a message of tyro, which may be boxed and coloured, as one line that includes the fix."""
    title, *sections = re.split(RULE, re.sub(COLOUR + "|[│╭╮╰╯]", "", message))
    error = " ".join((sections or [title])[0].split())
    for pattern, replacement in REWORDED:
        if match := re.fullmatch(pattern, error):
            return match.expand(replacement)
    if match := re.match(r"Missing value for argument '(\w+)'", error):  # one of several positional arguments
        error = f"missing: {match[1].upper()}"
    elif error.startswith("Missing from"):  # "Missing from gan-tf inspect: DATASET A dataset name ... (required)"
        required = error.partition(": ")[2].split("(required)")[:-1]
        error = f"missing: {', '.join(argument.split()[0] for argument in required)}"
    similar = re.search(r"^ {4,}(--[\w-]+)", "".join(sections[1:]), re.MULTILINE)
    if similar and error.startswith("Unrecognized"):
        return f"{error}; did you mean {similar[1]}?"
    return f"{error}; see {prog} --help"
