"""Reads arrays from untrusted .npz files: no pickle, and no allocation beyond the size of the content."""

import math
import struct
import zipfile
import zlib

import numpy as np

# What zipfile and NumPy raise for damaged content. RuntimeError: encrypted; SystemError: invalid Unicode.
DAMAGED = (
    *(OSError, EOFError, ValueError, KeyError, RuntimeError, TypeError, OverflowError, MemoryError),
    *(NotImplementedError, SystemError, zipfile.BadZipFile, zlib.error, struct.error),
)
COMPRESSION = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # Python decompresses others in blocks of unbounded size


def read_header(archive, entry):
    """Reads the header of one .npy member without its data.

    Returns:
        shape, Fortran order, dtype, and length of the header in bytes.

    Raises:
        one of DAMAGED: unreadable, or the shape does not fit the size of the member.
    """
    if entry.compress_type not in COMPRESSION:
        raise ValueError("compressed by a method other than deflate")
    with archive.open(entry) as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        try:
            shape, fortran, dtype = read(file)
        except Exception as error:  # NumPy parses it as Python: SyntaxError, TokenError, RecursionError, ...
            raise ValueError("unreadable header of an array") from error
        length = file.tell()
    if not dtype.hasobject and (
        min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != entry.file_size - length
    ):
        raise ValueError(f"{entry.file_size - length} bytes for an array {dtype} {list(shape)}")
    return shape, fortran, dtype, length


def read(archive, entry, max_bytes):
    """Reads one array.

    Args:
        archive: zipfile.ZipFile.
        entry: zipfile.ZipInfo of an .npy file in it.
        max_bytes: largest size of the member.

    Raises:
        one of DAMAGED: damaged or larger.
    """
    if entry.file_size > max_bytes:
        raise ValueError(f"an array of {entry.file_size} bytes")
    read_header(archive, entry)
    with archive.open(entry) as file:
        return np.lib.format.read_array(file, allow_pickle=False)
