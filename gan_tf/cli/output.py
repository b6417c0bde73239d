"""Standard output and standard error that print any text, for any reader."""

import errno
import functools
import io
import os
import re
import sys

# Control characters, which terminals interpret, except tab, line ends and the sequence that ends the progress line.
CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f]|\x1b(?!\\[K)")


def protect_streams(colours=False):
    """Makes sys.stdout and sys.stderr escape what cannot be encoded, and control characters unless `colours`.

    Once the reader of a pipe or the terminal has gone, the command continues, and its output is lost.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by the shell: >&-
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper) and "write" not in vars(stream):
            stream.reconfigure(errors="backslashreplace")
            write = stream.write if colours else functools.partial(_write_escaped, stream.write)
            stream.write, stream.flush = _guarded(stream, write), _guarded(stream, stream.flush)


def _write_escaped(write, text):
    write(CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text))
    return len(text)


def _guarded(stream, function):
    closed = (
        (errno.EPIPE, errno.EIO) if stream.isatty() else (errno.EPIPE,)
    )  # EIO is a closed terminal, or a failing disk

    def call(*arguments):
        try:
            return function(*arguments)
        except OSError as error:
            if error.errno not in closed:
                raise
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
            return None

    return call
