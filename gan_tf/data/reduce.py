"""The pictures of a set at smaller sizes, for training that starts small: exact box means of the full-size pixels.

Every pixel of a smaller picture is the mean of the k x k full-size pixels under it, rounded to the nearest integer and
ties to even, whichever way it was made: sums stay integers until the one rounding, so a 4x4 picture is not the mean of
means that were rounded before. A set in memory is reduced when a size is asked for. For a set on the disk all smaller
sizes are made in one pass over it, as further entries of the cache beside its own.
"""

import concurrent.futures
import contextlib
import dataclasses
import hashlib
import os
from collections import deque
from pathlib import Path

import numpy as np

from gan_tf.data.cache import FLUSH_BYTES, Entry, check_space, read_rows, size_text
from gan_tf.io.files import locked
from gan_tf.io.progress import Progress

FORMAT = 1  # of reduced sets; raised whenever the same picture would become other pixels
SMALLEST = 4  # pixels; where networks start to grow
CHUNK_BYTES = 4 << 20  # full-size pixels summed at a time: little enough to stay in a processor's cache
RECORD_BYTES = 8 * FLUSH_BYTES  # read between two records of progress; each waits for the disk twice for each size
ROW = np.dtype(np.int32)  # what a reduced entry notes about a picture: its number


def box_means(images, sizes):
    """Means of square blocks of pixels, rounded to the nearest integer and ties to even.

    Args:
        images: uint8 [N, R, R, 3].
        sizes: pixels, falling; the first divides R, each divides the one before.

    Returns:
        list of uint8 [N, r, r, 3], one for each r in `sizes`. Exact while (R / r)^2 * 255 < 2^32.
    """
    sums, means = images, []
    for size in sizes:
        area = (images.shape[1] // size) ** 2
        sums = _box_sums(sums, sums.shape[1] // size, np.uint16 if area * 255 < 1 << 16 else np.uint32)
        means.append(np.rint(sums / area).astype(np.uint8))  # float64 holds a tie exactly and keeps all others apart
    return means


def _box_sums(x, factor, dtype):
    """Sums of factor x factor blocks: integers [N, H, W, C] -> dtype [N, H / factor, W / factor, C].

    Rows first, in long contiguous runs; then columns, one channel at a time, since a run of three channels is too short
    for NumPy to be fast. Ten times as fast as one `sum` over both axes.
    """
    n, h, w, c = x.shape
    bands = x.reshape(n, h // factor, factor, w * c)
    rows = np.add(bands[:, :, 0], bands[:, :, 1], dtype=dtype)
    for j in range(2, factor):
        rows += bands[:, :, j]
    rows = rows.reshape(-1, factor * c)
    sums = np.empty((len(rows), c), dtype)
    for channel in range(c):
        np.add(rows[:, channel], rows[:, channel + c], out=sums[:, channel])
        for j in range(2, factor):
            sums[:, channel] += rows[:, channel + j * c]
    return sums.reshape(n, h // factor, w // factor, c)


def smaller(image_set, resolution):
    """Returns the pictures of an ImageSet at a smaller size, as an ImageSet; see `ImageSet.at`.

    Raises:
        ValueError: `resolution` does not divide the set's, or is not smaller.
        UsageError: too small a disk.
    """
    full = image_set.resolution
    if not 0 < resolution < full or full % resolution:
        raise ValueError(f"a set of {full}x{full} pixels has no size of {resolution}; it must divide {full}")
    if image_set.mapped:
        images = _from_cache(image_set, resolution)
    else:
        images = np.empty((len(image_set), resolution, resolution, 3), np.uint8)
        for first, (means,) in _in_order(image_set.images, 0, [resolution], Progress(len(images), "reduced")):
            images[first : first + len(means)] = means
    key = _key(image_set, resolution)
    return dataclasses.replace(image_set, images=images, key=key, full=image_set)


def _key(image_set, resolution):
    return hashlib.sha256(repr((FORMAT, image_set.key, resolution)).encode()).hexdigest()[:32]


def _in_order(images, start, sizes, progress):
    """Reduces chunks of pictures in threads (reading and NumPy work outside of Python's lock).

    Yields:
        (number of the chunk's first picture, `box_means` of the chunk), in order, from picture `start` on.
    """
    step = max(1, CHUNK_BYTES // images[0].nbytes)

    def work(first):
        return first, box_means(_rows(images, first, min(first + step, len(images))), sizes)

    workers = os.cpu_count() or 1
    waiting = deque()
    pool = concurrent.futures.ThreadPoolExecutor(workers)
    try:
        with progress:
            for first in range(start, len(images) + 2 * workers * step, step):  # at the end: what is still waited for
                if first < len(images):
                    waiting.append(pool.submit(work, first))
                if waiting and (len(waiting) > 2 * workers or first >= len(images)):
                    done = waiting.popleft().result()
                    yield done
                    progress.advance(len(done[1][0]))
    finally:
        pool.shutdown(cancel_futures=True)


def _rows(images, first, stop):
    """Pictures first .. stop - 1; of a memory map they are read from its file, so that they are not held twice."""
    if isinstance(images, np.memmap):
        return read_rows(images, np.arange(first, stop))
    return images[first:stop]


def _from_cache(image_set, resolution):
    """Images of a mapped set at one size, out of the cache; made there first if they are missing."""
    folder = Path(image_set.images.filename).parent.parent
    halves = [image_set.resolution >> i for i in range(1, 16) if not image_set.resolution % (1 << i)]
    halves = [size for size in halves if size >= SMALLEST]
    sizes = halves if resolution in halves else [resolution]
    entries = {size: Entry(folder / _key(image_set, size), (size, size, 3), ROW) for size in sizes}
    if not entries[resolution].finished:
        with locked(folder / f"{image_set.key}.smaller.lock"):  # a second process waits, then finds them finished
            missing = {size: entry for size, entry in entries.items() if not entry.finished}
            if resolution in missing:
                _make(image_set, missing, folder)
    # It and all that are smaller together, since growing networks use one after the other.
    need = sum(entry.row_bytes for size, entry in entries.items() if size <= resolution) * len(image_set)
    return entries[resolution].load(in_memory=need <= image_set.memory_gb * 1e9)[0]


def _make(image_set, entries, folder):
    """Fills the entries, {size: Entry}, in one pass over the full-size images; goes on where a killed one stood."""
    count = len(image_set)
    begun = min(entry.progress()["kept"] for entry in entries.values())
    need = sum((count - entry.progress()["kept"]) * entry.row_bytes for entry in entries.values())
    done = f", {begun} of {count} images are done already" if begun else ""
    names = ", ".join(map(str, entries))
    image_set.log(
        f"making the data set's smaller sizes once ({names} pixels): {size_text(need)} of disk needed in {folder}{done}"
    )
    check_space(folder, need)
    with contextlib.ExitStack() as stack:
        writers = [stack.enter_context(entry.writer()) for entry in entries.values()]
        unrecorded = 0
        progress = Progress(count, "reduced", before=begun)
        for first, means in _in_order(image_set.images, begun, list(entries), progress):
            rows = np.arange(first, first + len(means[0]), dtype=ROW)
            for writer, pixels in zip(writers, means, strict=True):
                fresh = rows >= writer.kept  # a kill may have come between the records of two sizes
                writer.add(pixels[fresh], rows[fresh])
            unrecorded += len(rows) * image_set.images[0].nbytes
            if unrecorded >= RECORD_BYTES:
                for writer in writers:
                    writer.record()
                unrecorded = 0
