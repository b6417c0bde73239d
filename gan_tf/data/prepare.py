"""All pictures of a source decoded, made square and resized, once: in memory, or into the cache if they do not fit."""

import concurrent.futures
import dataclasses
import hashlib
import json
import os
from collections import deque
from collections.abc import Callable
from pathlib import Path

import numpy as np

from gan_tf.data import dataset_report as doctor
from gan_tf.data.cache import Entry, check_space, size_text
from gan_tf.data.images import UnreadableImage, check_fit, load_square, parse_colour
from gan_tf.data.reduce import smaller
from gan_tf.errors import UsageError
from gan_tf.io.files import cache_root, locked, write_atomically, writing_cache
from gan_tf.io.progress import Progress

FORMAT = 1  # of converted sets; raised whenever the same picture would become other pixels


@dataclasses.dataclass(frozen=True, eq=False)
class ImageSet:
    """Pictures ready for training.

    Attributes:
        name: the source's name.
        images: uint8 [N, R, R, 3], in memory or a memory map.
        labels: int32 [N], 0 throughout without classes.
        class_names: tuple, () without classes.
        names: N names of the pictures, for messages and panels.
        fingerprint: SHA-256 hex of the source's names and contents; settings such as the resolution are not in it.
        key: hex that changes whenever a pixel of `images` may have changed: fingerprint and settings.
        report: doctor.Report.
        memory_gb: smaller sizes of a mapped set are loaded into memory while they fit into so many 10^9 bytes.
        say: called with a line of text about anything that takes long or much room.
        full: the ImageSet that this one is a smaller size of, or None.
    """

    name: str
    images: np.ndarray
    labels: np.ndarray
    class_names: tuple
    names: list
    fingerprint: str
    key: str
    report: doctor.Report
    memory_gb: float = 4.0
    log: Callable = print
    full: "ImageSet | None" = None
    _smaller: dict = dataclasses.field(default_factory=dict, init=False, repr=False)

    def __len__(self):
        return len(self.images)

    @property
    def resolution(self):
        return self.images.shape[1]

    @property
    def mapped(self):
        """True where the images are read from the disk when they are asked for."""
        return isinstance(self.images, np.memmap)

    def at(self, resolution):
        """The same pictures at a smaller size: box means of the full-size pixels, rounded once, ties to even.

        Args:
            resolution: pixels; divides the set's own.

        Returns:
            ImageSet with another `images` and `key`; for one size always the same object, this one for its own size.

        Raises:
            ValueError: no such size.
            UsageError: too small a disk for the sizes of a mapped set.
        """
        if resolution == self.resolution:
            return self
        if resolution not in self._smaller:
            may = 0 < resolution < self.resolution and self.resolution % resolution == 0
            self._smaller[resolution] = self.full.at(resolution) if self.full and may else smaller(self, resolution)
        return self._smaller[resolution]


def prepare(
    source, *, resolution, fit="crop", background="white", limit=None, memory_gb=4.0, cache_dir=None, log=print
):
    """Decodes a source once and returns it as an ImageSet.

    Args:
        source: an ImageSource.
        resolution: R, pixels.
        fit: "crop", "pad" or "stretch" to a square.
        background: colour under transparent parts and of padding.
        limit: use at most so many pictures, spread evenly over the source; None for all.
        memory_gb: sets larger than this (10^9 bytes of uint8) are converted to a memory map in the cache.
        cache_dir: the cache's folder; default GAN_TF_CACHE.
        say: called with a line of text about anything that takes long or much room.

    Returns:
        ImageSet of the readable pictures, in the source's order.

    Raises:
        UsageError: no readable picture, too small a disk, a wrong argument.
    """
    check_fit(resolution, fit)
    rows = chosen(len(source), limit)
    settings = (resolution, fit, parse_colour(background))
    need = len(rows) * resolution * resolution * 3
    fits = need <= memory_gb * 1e9
    entry = _entry(source, settings, limit, cache_dir)
    if entry.finished:
        loaded = entry.load(in_memory=fits)
    elif fits:
        loaded = _decode(source, rows, settings)
    else:
        loaded = _convert(source, rows, settings, entry, need, log)
    images, facts, unreadable = loaded
    if not len(images):
        raise UsageError(_nothing_readable(source, unreadable))
    return ImageSet(
        name=source.name,
        images=images,
        labels=source.labels[facts["index"]],
        class_names=source.class_names,
        names=[source.names[i] for i in facts["index"]],
        fingerprint=source.fingerprint,
        key=entry.folder.name,
        report=_report(source, entry, facts, unreadable, resolution, fit, left_out=len(source) - len(rows)),
        memory_gb=memory_gb,
        log=log,
    )


def survey(source, *, resolution, fit="crop", background="white", limit=None):
    """Returns the doctor.Report that `prepare` would make, without keeping any pixels."""
    check_fit(resolution, fit)
    rows = chosen(len(source), limit)
    facts, unreadable = [], []
    for i, _, fact, reason in squares(source, rows, (resolution, fit, parse_colour(background)), "looked at"):
        if fact is None:
            unreadable.append((i, reason))
        else:
            facts.append(fact)
    if not facts:
        raise UsageError(_nothing_readable(source, unreadable))
    left_out = len(source) - len(rows)
    return doctor.examine(source, np.stack(facts), unreadable, resolution=resolution, fit=fit, left_out=left_out)


def chosen(count, limit):
    """Numbers of the pictures used: all, or `limit` spread evenly, so that every class keeps its share."""
    if limit is None or limit >= count:
        return np.arange(count)
    if limit < 1:
        raise UsageError(f"--limit must be positive, got {limit}")
    return (2 * np.arange(limit) + 1) * count // (2 * limit)


def squares(source, rows, settings, verb):
    """Decodes pictures in threads (Pillow works outside of Python's lock) and yields them in order.

    Args:
        source: ImageSource.
        rows: numbers of the pictures.
        settings: (resolution, fit, colour) for `load_square`.
        verb: what the progress line says is being done.

    Yields:
        (i, pixels uint8 [R, R, 3], fact, None), or (i, None, None, reason) where the picture is unreadable.
    """

    def work(i):
        try:
            pixels, header = load_square(source.read(i), *settings)
        except UnreadableImage as error:
            return i, None, None, str(error)
        return i, pixels, doctor.fact_of(i, header, pixels), None

    workers = os.cpu_count() or 1
    waiting = deque()
    pool = concurrent.futures.ThreadPoolExecutor(workers)
    try:
        with Progress(len(rows), verb) as progress:
            for i in map(int, rows):
                waiting.append(pool.submit(work, i))
                if len(waiting) > 2 * workers:  # bounded: a picture may be large and the reader slow
                    yield waiting.popleft().result()
                    progress.advance()
            while waiting:
                yield waiting.popleft().result()
                progress.advance()
    finally:
        pool.shutdown(cancel_futures=True)


def _entry(source, settings, limit, cache_dir):
    """The place in the cache of this source at these settings."""
    key = hashlib.sha256(repr((FORMAT, source.fingerprint, settings, limit)).encode()).hexdigest()[:32]
    root = Path(cache_dir) if cache_dir else cache_root()
    return Entry(root / "data" / key, (settings[0], settings[0], 3), doctor.FACTS)


def _decode(source, rows, settings):
    """Decodes into memory: (images, facts, unreadable)."""
    images = np.empty((len(rows), settings[0], settings[0], 3), np.uint8)
    facts, unreadable = np.empty(len(rows), doctor.FACTS), []
    kept = 0
    for i, pixels, fact, reason in squares(source, rows, settings, "decoded"):
        if pixels is None:
            unreadable.append((i, reason))
            continue
        images[kept], facts[kept] = pixels, fact
        kept += 1
    return images[:kept], facts[:kept], unreadable


def _convert(source, rows, settings, entry, need, log):
    """Decodes into the cache, or finishes what a killed process began: (images, facts, unreadable)."""
    with locked(entry.lock):  # a second process waits here and then finds the entry finished
        if not entry.finished:
            done, kept = entry.progress()["done"], entry.progress()["kept"]
            missing = need - kept * entry.row_bytes
            begun = f", {done} of {len(rows)} images are done already" if done else ""
            log(f"converting the data set once: {size_text(missing)} of disk needed in {entry.folder.parent}{begun}")
            check_space(entry.folder.parent, missing)
            entry.fill(squares(source, rows[done:], settings, "converted"))
    return entry.load(in_memory=False)


def _report(source, entry, facts, unreadable, resolution, fit, left_out):
    """The doctor's report; kept with a finished entry, since comparing all pairs of a large set takes its time."""
    path = entry.folder / "report.json"
    if path.exists():
        return doctor.Report(**json.loads(path.read_text()))
    report = doctor.examine(source, facts, unreadable, resolution=resolution, fit=fit, left_out=left_out)
    if entry.finished:
        with writing_cache(path):
            write_atomically(path, json.dumps(dataclasses.asdict(report)).encode())
    return report


def _nothing_readable(source, unreadable):
    where = source.where or source.name
    (i, reason), others = unreadable[0], len(unreadable) - 1
    return f"{where}: none of {len(unreadable)} images is readable; {source.names[i]}: {reason}" + (
        f" (and {others} more)" if others else ""
    )
