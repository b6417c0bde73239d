"""Quotes the values in commands that the program prints."""

import os
import shlex
import sys


def quote(value) -> str:
    """Returns a value as one word of a command that can be pasted into bash or zsh.

    A path (os.PathLike) that would be taken for a flag begins with "./". Text that is not printable, that standard
    output cannot encode or that is not UTF-8 is written as bytes: $'\\xc3\\xbc'.
    """
    text = os.fspath(value) if isinstance(value, os.PathLike) else str(value)
    if isinstance(value, os.PathLike) and text.startswith("-"):
        text = f"./{text}"
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
        if text.isprintable():
            return shlex.quote(text)
    except UnicodeEncodeError:
        pass
    plain = (chr(byte) if 32 <= byte < 127 and byte not in b"\\'" else f"\\x{byte:02x}" for byte in os.fsencode(text))
    return f"$'{''.join(plain)}'"
