"""Arrays out of zips of `.npy` files, which may come from anyone: no pickle, and no memory for empty promises."""

import math
import struct
import zipfile
import zlib

import numpy as np

# What zipfile and NumPy raise where bytes of an archive are others; RuntimeError: encrypted; SystemError: text beyond
# Unicode.
DAMAGED = (
    *(OSError, EOFError, ValueError, KeyError, RuntimeError, TypeError, OverflowError, MemoryError),
    *(NotImplementedError, SystemError, zipfile.BadZipFile, zlib.error, struct.error),
)
# Of bzip2 and LZMA Python unpacks all of a block at once, whatever size was stated.
BOUNDED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def header(file):
    """(shape, Fortran order, dtype) of an open .npy file, left in front of the numbers."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    try:
        return read(file)
    except Exception as error:  # NumPy parses it as Python: SyntaxError, TokenError, RecursionError, ...
        raise ValueError("an unreadable header of an array") from error


def require_fit(shape, dtype, content_bytes):
    """Raises ValueError unless an array has so many bytes: NumPy makes room for whatever shape a header states."""
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != content_bytes:
        raise ValueError(f"{content_bytes} bytes for an array {dtype} {list(shape)}")


def read(archive, entry, most_bytes):
    """Reads one array.

    Args:
        archive: zipfile.ZipFile.
        entry: zipfile.ZipInfo of an .npy file in it.
        most_bytes: that the array may have.

    Raises:
        DAMAGED: it is none, or larger.
    """
    if entry.compress_type not in BOUNDED:
        raise ValueError("packed by another method than deflate")
    if entry.file_size > most_bytes:
        raise ValueError(f"an array of {entry.file_size} bytes")
    with archive.open(entry) as file:
        shape, _, dtype = header(file)
        require_fit(shape, dtype, entry.file_size - file.tell())
        file.seek(0)
        return np.lib.format.read_array(file, allow_pickle=False)
