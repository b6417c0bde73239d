"""Image sets for training: every image decoded once, in memory or in the cache, at full and at smaller sizes.

Pixels of a smaller size are exact box means of the full-size pixels, rounded once with ties to even: sums stay integers
until then, so the result is the same whichever sizes were made before. A set in memory is reduced on demand. For a set
on the disk, all smaller sizes are made in one pass, as further cache entries.
"""

import contextlib
import dataclasses
import functools
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from gan_tf.data.cache import FLUSH_BYTES, CacheEntry, check_space, read_rows, size_text
from gan_tf.data.dataset_report import FACTS, DatasetReport, build_report, fact_of
from gan_tf.data.images import UnreadableImage, check_fit, load_square, parse_colour
from gan_tf.errors import UsageError
from gan_tf.io.files import cache_root, locked, write_atomically, writing_cache
from gan_tf.io.progress import Progress, map_in_order

FORMAT = 1  # of cache entries; raise it when the same image would get other pixels
SMALLEST = 4  # pixels, where growing networks start
CHUNK_BYTES = 4 << 20  # full-size pixels reduced at a time; few enough for a processor's cache
ROW = np.dtype(np.int32)  # record of a row at a smaller size: its index


@dataclasses.dataclass(frozen=True, eq=False)
class ImageSet:
    """Images ready for training."""

    name: str
    images: np.ndarray  # uint8 [N, R, R, 3], in memory or a memory map
    labels: np.ndarray  # int32 [N], all 0 without classes
    class_names: tuple  # () without classes
    names: list  # of the N images, for messages
    fingerprint: str  # SHA-256 hex of the source's names and contents, independent of settings such as the resolution
    key: str  # hex that changes whenever a pixel of `images` may have changed: fingerprint and settings
    report: DatasetReport
    memory_gb: float = 4.0  # smaller sizes of a mapped set are loaded into memory up to this size (10^9 bytes)
    log: Callable = print  # called with a line of text before long work
    full: "ImageSet | None" = None  # the set that this one is a smaller size of
    _sizes: dict = dataclasses.field(default_factory=dict, init=False, repr=False)

    def __len__(self):
        return len(self.images)

    @property
    def resolution(self):
        return self.images.shape[1]

    @property
    def mapped(self):
        """True if the images are read from the disk on demand."""
        return isinstance(self.images, np.memmap)

    def at(self, resolution):
        """Returns the images at a smaller size, as an ImageSet with other `images` and `key`.

        Args:
            resolution: pixels; the set's own, halved any number of times, at least SMALLEST.

        Returns:
            always the same object for one size, and this one for its own size.

        Raises:
            ValueError: there is no such size.
            UsageError: the disk is too small for the sizes of a mapped set.
        """
        if resolution == self.resolution:
            return self
        sizes = smaller_sizes(self.resolution)
        if resolution not in sizes:
            raise ValueError(
                f"a set of {self.resolution}x{self.resolution} pixels has no size of {resolution}; it has {sizes}"
            )
        if resolution not in self._sizes:
            self._sizes[resolution] = self.full.at(resolution) if self.full else self._reduced(resolution)
        return self._sizes[resolution]

    def _reduced(self, resolution):
        if self.mapped:
            images = _load_smaller(self, resolution)
        else:
            images = np.empty((len(self), resolution, resolution, 3), np.uint8)
            for first, (means,) in _reduce_chunks(self.images, [resolution]):
                images[first : first + len(means)] = means
        return dataclasses.replace(self, images=images, key=_smaller_key(self, resolution), full=self)


def prepare(
    source, *, resolution, fit="crop", background="white", limit=None, memory_gb=4.0, cache_dir=None, log=print
):
    """Decodes a source once and returns the readable images, in the source's order, as an ImageSet.

    Args:
        source: an ImageSource.
        resolution: R, pixels.
        fit: "crop", "pad" or "stretch" to a square.
        background: colour under transparent parts and of padding.
        limit: use at most this many images, spread evenly over the source; None for all.
        memory_gb: sets larger than this (10^9 bytes of uint8) are converted to a memory map in the cache.
        cache_dir: the cache's folder; default GAN_TF_CACHE.
        log: called with a line of text before long work.

    Raises:
        UsageError: no readable image, a full disk, or an invalid argument.
    """
    check_fit(resolution, fit)
    rows = select_rows(len(source), limit)
    settings = (resolution, fit, parse_colour(background))
    key = hashlib.sha256(repr((FORMAT, source.fingerprint, settings, limit)).encode()).hexdigest()[:32]
    root = Path(cache_dir) if cache_dir else cache_root()
    entry = CacheEntry(root / "data" / key, (resolution, resolution, 3), FACTS)
    in_memory = len(rows) * entry.row_bytes <= memory_gb * 1e9
    if not entry.finished and in_memory:
        images, facts, unreadable = _decode(source, rows, settings)
    else:
        if not entry.finished:
            _convert(source, rows, settings, entry, log)
        images, facts, unreadable = entry.load(in_memory)
    report_path = entry.folder / "report.json"  # kept with the entry: comparing all pairs of a large set takes long
    if report_path.exists():
        report = DatasetReport(**json.loads(report_path.read_text()))
    else:
        report = build_report(source, facts, unreadable, resolution, fit)
        if entry.finished:
            with writing_cache(report_path):
                write_atomically(report_path, json.dumps(dataclasses.asdict(report)).encode())
    return ImageSet(
        name=source.name,
        images=images,
        labels=source.labels[facts["index"]],
        class_names=source.class_names,
        names=[source.names[i] for i in facts["index"]],
        fingerprint=source.fingerprint,
        key=key,
        report=report,
        memory_gb=memory_gb,
        log=log,
    )


def survey(source, *, resolution, fit="crop", background="white", limit=None):
    """Returns the DatasetReport that `prepare` would make, without keeping any pixels."""
    check_fit(resolution, fit)
    settings = (resolution, fit, parse_colour(background))
    facts, unreadable = [], []
    for i, _, fact, reason in _squares(source, select_rows(len(source), limit), settings, "inspected"):
        if fact is None:
            unreadable.append((i, reason))
        else:
            facts.append(fact)
    return build_report(source, np.array(facts, FACTS), unreadable, resolution, fit)


def select_rows(count, limit):
    """Returns the indices used of `count` images: all, or `limit` at even distances, which keeps class shares."""
    if limit is None or limit >= count:
        return np.arange(count)
    if limit < 1:
        raise UsageError(f"--limit must be positive, got {limit}")
    return (2 * np.arange(limit) + 1) * count // (2 * limit)


def _squares(source, rows, settings, verb):
    """Decodes images in threads, with a progress line.

    Yields:
        (i, pixels uint8 [R, R, 3], fact, None), or (i, None, None, reason) for an unreadable image; in order.
    """

    def decode(i):
        try:
            pixels, header = load_square(source.read(i), *settings)
        except UnreadableImage as error:
            return i, None, None, str(error)
        return i, pixels, fact_of(i, header, pixels), None

    with Progress(len(rows), verb) as progress:
        for result in map_in_order(decode, map(int, rows)):
            yield result
            progress.advance()


def _decode(source, rows, settings):
    """Decodes into memory: (images, facts, unreadable)."""
    images = np.empty((len(rows), settings[0], settings[0], 3), np.uint8)
    facts, unreadable = np.empty(len(rows), FACTS), []
    kept = 0
    for i, pixels, fact, reason in _squares(source, rows, settings, "decoded"):
        if pixels is None:
            unreadable.append((i, reason))
            continue
        images[kept], facts[kept] = pixels, fact
        kept += 1
    return images[:kept], facts[:kept], unreadable


def _convert(source, rows, settings, entry, log):
    """Decodes into the cache, or continues the work of a killed process."""
    with locked(entry.lock):  # a second process waits, then finds the entry finished
        if entry.finished:
            return
        done = entry.progress()["done"]
        need = (len(rows) - entry.progress()["kept"]) * entry.row_bytes
        note = f", {done} of {len(rows)} images are done already" if done else ""
        log(f"converting the dataset once: {size_text(need)} of disk needed in {entry.folder.parent}{note}")
        check_space(entry.folder.parent, need)
        rows_per_record = max(1, FLUSH_BYTES // entry.row_bytes)
        with entry.writer() as writer:
            for i, pixels, fact, reason in _squares(source, rows[done:], settings, "converted"):
                if pixels is None:
                    writer.skip(i, reason)
                    continue
                writer.add(pixels[None], [fact])
                if writer.state["kept"] % rows_per_record == 0:
                    writer.record()


def box_means(images, sizes):
    """Means of square blocks of pixels, rounded to the nearest integer with ties to even.

    Args:
        images: uint8 [N, R, R, 3].
        sizes: pixels, decreasing; the first divides R, each divides the one before.

    Returns:
        list of uint8 [N, r, r, 3], one for each r in `sizes`. Exact while (R / r)^2 * 255 < 2^32.
    """
    sums, means = images, []
    for size in sizes:
        area = (images.shape[1] // size) ** 2
        add = functools.partial(np.add, dtype=np.uint16 if area * 255 < 1 << 16 else np.uint32)
        factor = sums.shape[1] // size
        # Four times as fast as `sum` over axes of length `factor`.
        sums = functools.reduce(add, (sums[:, i::factor] for i in range(factor)))
        sums = functools.reduce(add, (sums[:, :, i::factor] for i in range(factor)))
        means.append(np.rint(sums / area).astype(np.uint8))  # float64 represents ties exactly
    return means


def _reduce_chunks(images, sizes):
    """Yields (index of a chunk's first image, `box_means` of the chunk) in order, computed in threads."""
    count = len(images)
    step = max(1, CHUNK_BYTES // images[0].nbytes)

    def reduce(first):
        chunk = read_rows(images, np.arange(first, min(first + step, count)))
        return first, box_means(chunk, sizes)

    with Progress(count, "reduced") as progress:
        for first, means in map_in_order(reduce, range(0, count, step)):
            yield first, means
            progress.advance(len(means[0]))


def smaller_sizes(resolution):
    """Returns the halves, quarters and so on of a number of pixels, down to SMALLEST."""
    sizes = []
    while resolution % 2 == 0 and resolution // 2 >= SMALLEST:
        resolution //= 2
        sizes.append(resolution)
    return sizes


def _smaller_key(image_set, resolution):
    return hashlib.sha256(repr((FORMAT, image_set.key, resolution)).encode()).hexdigest()[:32]


def _load_smaller(image_set, resolution):
    """Returns the images of a mapped set at one size from the cache, after making all missing smaller sizes."""
    folder = Path(image_set.images.filename).parent.parent
    sizes = smaller_sizes(image_set.resolution)
    entries = {size: CacheEntry(folder / _smaller_key(image_set, size), (size, size, 3), ROW) for size in sizes}
    if not entries[resolution].finished:
        with locked(folder / f"{image_set.key}.smaller.lock"):  # a second process waits, then finds them finished
            missing = {size: entry for size, entry in entries.items() if not entry.finished}
            if resolution in missing:
                _make_smaller(image_set, missing, folder)
    # Counted together with all smaller sizes, since growing networks use one after the other.
    need = sum(entry.row_bytes for size, entry in entries.items() if size <= resolution) * len(image_set)
    return entries[resolution].load(in_memory=need <= image_set.memory_gb * 1e9)[0]


def _make_smaller(image_set, entries, folder):
    """Fills the entries {size: CacheEntry} in one pass over the full-size images."""
    need = len(image_set) * sum(entry.row_bytes for entry in entries.values())
    image_set.log(
        f"making the dataset's smaller sizes once ({', '.join(map(str, entries))} pixels): {size_text(need)} of disk "
        f"needed in {folder}"
    )
    check_space(folder, need)
    with contextlib.ExitStack() as stack:
        for entry in entries.values():
            shutil.rmtree(entry.partial, ignore_errors=True)  # of a killed process
        writers = [stack.enter_context(entry.writer()) for entry in entries.values()]
        for first, means in _reduce_chunks(image_set.images, list(entries)):
            for writer, pixels in zip(writers, means, strict=True):
                writer.add(pixels, np.arange(first, first + len(pixels)))
