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
        # In the boxed message of tyro, the first line is a title, and the last one refers to --help.
        lines = [re.sub(r"[│╭╮╰╯─]+", " ", line).strip() for line in errors.getvalue().splitlines()]
        lines = [line for line in lines if line and not line.startswith("For full helptext")]
        text = re.sub(r"\s+", " ", " ".join(lines[1:] or lines))
        raise UsageError(re.sub(r"^Error parsing \w+: ", "", text)) from None
