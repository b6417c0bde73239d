"""Parses the command-line arguments of a command into a dataclass, with one-line errors."""

import contextlib
import io
import re

import tyro

from gan_tf.errors import UsageError


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
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            return tyro.cli(options, args=argv, prog=prog, description=description, config=(tyro.conf.OmitArgPrefixes,))
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise UsageError(_one_line(errors.getvalue())) from None


def _one_line(message):
    """Returns the text of tyro's boxed error message in one line."""
    lines = [re.sub(r"[│╭╮╰╯─]+", " ", line).strip() for line in message.splitlines()]
    lines = [line for line in lines if line and not line.startswith("For full helptext")]
    text = " ".join(lines[1:] if len(lines) > 1 else lines)  # the first line is the title of the box
    return re.sub(r"^Error parsing \w+: ", "", re.sub(r"\s+", " ", text))
