"""Arrays on the disk: reads untrusted .npz files, writes large ones, and maps large temporary arrays.

Reading runs no pickle, and allocates no more than the size of the content.
"""

import contextlib
import math
import struct
import tempfile
import zipfile
import zlib

import numpy as np

from gan_tf.io.files import cache_root, writing_cache

# What zipfile and NumPy raise for damaged content. RuntimeError: encrypted; SystemError: invalid Unicode.
DAMAGED = (
    *(OSError, EOFError, ValueError, KeyError, RuntimeError, TypeError, OverflowError, MemoryError),
    *(NotImplementedError, SystemError, zipfile.BadZipFile, zlib.error, struct.error),
)
COMPRESSION = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # Python decompresses others in blocks of unbounded size
SCRATCH_IN_MEMORY = 2**24  # bytes; larger scratch arrays go to a file
BLOCK_BYTES = 2**24  # written at a time


def read_header(archive, entry):
    """Reads the header of one .npy member of a ZipFile, without its data.

    Returns:
        (shape, whether it is in Fortran order, dtype, length of the header in bytes).

    Raises:
        one of DAMAGED: unreadable, or the shape does not fit the size of the member; not checked for object arrays.
    """
    if entry.compress_type not in COMPRESSION:
        raise ValueError("compressed by a method other than deflate")
    with archive.open(entry) as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        try:
            shape, fortran, dtype = read(file)
        except Exception as error:  # reads no file: NumPy parses it as Python, SyntaxError and others
            raise ValueError("unreadable header of an array") from error
        length = file.tell()
    size = entry.file_size - length
    if not dtype.hasobject and (min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != size):
        raise ValueError(f"{size} bytes for an array {dtype} {list(shape)}")
    return shape, fortran, dtype, length


def read_array(archive, entry, max_bytes):
    """Returns the array of one .npy member of a ZipFile; raises one of DAMAGED if damaged or above `max_bytes`."""
    if entry.file_size > max_bytes:
        raise ValueError(f"an array of {entry.file_size} bytes")
    read_header(archive, entry)
    with archive.open(entry) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


@contextlib.contextmanager
def npz_writer(file, shape, arrays, compression=zipfile.ZIP_STORED):
    """Writes an .npz file; yields a function write(part) that appends to its array "images", uint8 of `shape`.

    Not `np.savez`, which needs all images in memory. The same arrays give the same bytes: members opened by name have a
    constant date, 1980.

    Args:
        file: opened for writing.
        arrays: {name: array}, written after the images.
    """
    with zipfile.ZipFile(file, "w", compression) as archive:
        with archive.open("images.npy", "w", force_zip64=True) as member:
            np.lib.format.write_array_header_1_0(member, {"descr": "|u1", "fortran_order": False, "shape": shape})
            yield lambda part: member.write(np.ascontiguousarray(part).data)
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)


def scratch_array(shape):
    """Returns a writable float32 array of `shape` with arbitrary values. A large one is a map of a temporary file.

    Raises:
        UsageError: the cache folder, which holds the file, cannot be written or is full.
    """
    size = 4 * math.prod(shape)
    if size <= SCRATCH_IN_MEMORY:
        return np.empty(shape, np.float32)
    folder = cache_root() / "scratch"
    with writing_cache(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            # Reserves the space: a disk that fills up later would kill the process when the array is written.
            for first in range(0, size, BLOCK_BYTES):
                file.write(bytes(min(BLOCK_BYTES, size - first)))
            file.flush()
            return np.memmap(file, np.float32, "r+", shape=shape)
