"""Large temporary arrays: in memory while they are small, else in a file that disappears with the array."""

import math
import tempfile

import numpy as np

from gan_tf.io.files import cache_root, writing_cache

MEMORY_BYTES = 2**24  # larger arrays go to a file
BLOCK_BYTES = 2**24


def scratch_array(shape):
    """Returns a writable float32 array of `shape`; its values are arbitrary.

    Raises:
        UsageError: the cache folder, which holds the file, cannot be written or is full.
    """
    size = 4 * math.prod(shape)
    if size <= MEMORY_BYTES:
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
