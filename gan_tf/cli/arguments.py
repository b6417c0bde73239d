"""Command-line arguments of every command, parsed by tyro into a dataclass, with errors in one line."""

import contextlib
import io
import re

import tyro

from gan_tf.errors import UsageError


def parse(kind, argv, *, prog, description=None, default=None):
    """Parses `argv` into the dataclass `kind`.

    Args:
        kind: dataclass whose fields are the flags.
        argv: list of strings.
        prog: name of the command, for --help.
        description: one paragraph for --help.
        default: instance of `kind` that gives the defaults, such as a preset.

    Raises:
        UsageError: an unknown flag or a wrong value.
        SystemExit: after --help.
    """
    errors = io.StringIO()
    extra = {} if default is None else {"default": default}
    try:
        with contextlib.redirect_stderr(errors):
            return tyro.cli(kind, args=argv, prog=prog, description=description, **extra)
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise UsageError(one_line(errors.getvalue())) from None


def one_line(boxed):
    """The words inside tyro's framed message, in one line."""
    lines = [re.sub(r"[│╭╮╰╯─]+", " ", line).strip() for line in boxed.splitlines()]
    lines = [line for line in lines if line and not line.startswith("For full helptext")]
    text = " ".join(lines[1:] if len(lines) > 1 else lines)  # the first line is the frame's title
    return re.sub(r"^Error parsing \w+: ", "", re.sub(r"\s+", " ", text))
