"""A table of numbers that is written once and read often, in memory while it is small."""

import tempfile

import numpy as np

from gan_tf.errors import UsageError

MEMORY_BYTES = 2**27  # of one table; what is larger goes to a temporary file in the folder that TMPDIR names


class Spool:
    """Rows of float32, appended, then gone through as often as wanted. The file goes when the object does.

    Args:
        width: numbers of a row.
        block: rows that iteration yields at a time.
    """

    def __init__(self, width, block):
        self.width, self.block, self.count = width, block, 0
        self._file = tempfile.SpooledTemporaryFile()  # noqa: SIM115 - open as long as the table is wanted

    def append(self, rows):
        """Adds [n, width]. Raises UsageError where the disk is full."""
        try:
            if (self.count + len(rows)) * self.width * 4 > MEMORY_BYTES:
                self._file.rollover()
            self._file.write(np.ascontiguousarray(rows, np.float32).data)
        except OSError as error:
            remedy = "set TMPDIR to a folder with more room"
            raise UsageError(f"cannot write to {tempfile.gettempdir()} ({error.strerror}): {remedy}") from error
        self.count += len(rows)

    def __iter__(self):
        """Yields all rows in blocks, [up to `block`, width], arrays of the caller's own; one iteration at a time."""
        self._file.seek(0)
        for first in range(0, self.count, self.block):
            rows = np.empty((min(self.block, self.count - first), self.width), np.float32)
            self._file.readinto(rows.data.cast("B"))
            yield rows
