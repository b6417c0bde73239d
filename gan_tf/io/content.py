"""Reasons of failed reads: recognises, by its first bytes, a file that is no weights, archive or image."""

import re
import zipfile
from pathlib import Path

from gan_tf.io.files import printable, raise_fault, refuse_no_access

HEAD = 512  # bytes
SERVER = "such as the error message of a server"
TEXTS = (  # (pattern of the first bytes, description)
    (rb"version https://git-lfs\.", "it is a Git LFS pointer; run: git lfs pull"),
    (rb"<(!doctype html|html|head|body)", "it is a web page, such as a login, a warning or an error"),
    (rb"<(\?xml|[a-z]+>)", f"it is XML text, {SERVER}"),
    (rb"\{\s*[\"}]|\[\s*[\[{\"\]]", f"it is JSON text, {SERVER}"),
)
ZIP = b"PK\x03\x04"
PACKED = {  # {first bytes: name} of archives that no reader opens
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!": "RAR",
}


def reason_of(error, source) -> str:
    """Returns in one line why `source`, the path of a file or its bytes, could not be read.

    The first bytes may show that: no content, a Git LFS pointer, a web page, a server's message, an archive of another
    kind, or a zip archive without its end. Otherwise it is the text of `error`.

    Raises:
        OSError: the disk fails, see `raise_fault`.
        UsageError: this user may not read the file.
    """
    raise_fault(error, source)
    refuse_no_access(error, source)
    return _found(source) or printable(error)


def _found(source):
    """Returns a description of content that is evidently something else, or None."""
    head, name = source, ""
    if not isinstance(source, bytes):
        try:
            if not Path(source).is_file():
                return None
            with open(source, "rb") as file:
                head, name = file.read(HEAD), str(source)
                if head.startswith(ZIP) and zipfile.is_zipfile(file):
                    return None  # its reader describes it better
        except OSError as error:
            raise_fault(error, source)
            return None
    if not head:
        return "it is empty"
    text = head[:HEAD].removeprefix(b"\xef\xbb\xbf").lstrip()
    for pattern, description in TEXTS:
        if re.match(pattern, text, re.IGNORECASE) and not ("JSON" in description and name.endswith(".json")):
            return description
    if head.startswith(ZIP):
        return "it is a zip archive" + (", whose end is missing" if name else "")
    packed = next((kind for start, kind in PACKED.items() if head.startswith(start)), None)
    return packed and f"it is a file packed by {packed}; unpack it"
