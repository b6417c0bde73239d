"""Image sets for training: every image decoded once, in memory or in the cache, at full and at smaller sizes.

Pixels of a smaller size are box means of the full-size pixels. Sums are exact integers and are rounded once, with ties
to even, so a size has the same pixels whichever other sizes are made. Colours of RGBA images are weighted by their
alpha. A set in memory is reduced on demand. For a set on the disk, all smaller sizes are made in one pass, as further
cache entries.
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

from gan_tf.config.validation import CHANNELS, size_text
from gan_tf.data.cache import FLUSH_BYTES, CacheEntry, bytes_text, check_space, read_rows
from gan_tf.data.colour import parse_colour
from gan_tf.data.dataset_report import FACTS, DatasetReport, build_report, fact_of
from gan_tf.data.images import FORMATS, OPTIONAL, UnreadableImage, load_image
from gan_tf.data.listing import select_rows
from gan_tf.errors import UsageError
from gan_tf.io.files import cache_root, naming, write_atomically, writing_cache
from gan_tf.io.json_text import json_text
from gan_tf.io.locks import locked
from gan_tf.io.progress import Progress, map_in_order

FITS = ("crop", "pad", "stretch")
FORMAT = 2  # of cache entries; raise it when the same image would get other pixels
SMALLEST_AREA = 6  # pixels of the smallest image, where growing networks start: 2x3
CHUNK_BYTES = 4 << 20  # full-size pixels reduced at a time; they fit into a processor's cache
ROW = np.dtype(np.int32)  # the `facts` of a row at a smaller size: its index


@dataclasses.dataclass(frozen=True, eq=False)
class ImageSet:
    """Images of one shape, with their labels and the report on their source."""

    name: str
    images: np.ndarray  # uint8 [N, H, W, C], in memory or a memory map; C is 1, 3, or 4 with straight alpha
    labels: np.ndarray  # int32 [N], all 0 without classes
    class_names: tuple  # () without classes
    names: list  # of the N images, for messages
    fingerprint: str  # SHA-256 hex of the source's names and contents, independent of settings such as the resolution
    key: str  # hex that changes whenever a pixel of `images` may have changed: fingerprint and settings
    report: DatasetReport
    contents: list = dataclasses.field(default_factory=list)  # (name, digest) of all images of the source
    memory_gb: float = 4.0  # smaller sizes of a mapped set are loaded into memory up to this size (10^9 bytes)
    log: Callable = print  # called with a line of text before long work
    full: "ImageSet | None" = None  # the full-size set, if this one is a smaller size of it
    _sizes: dict = dataclasses.field(default_factory=dict, init=False, repr=False)

    def __len__(self):
        return len(self.images)

    @property
    def shape(self):
        """(height, width, channels) of an image."""
        return self.images.shape[1:]

    @property
    def mapped(self):
        """True if the images are read from the disk on demand."""
        return isinstance(self.images, np.memmap)

    def at(self, height):
        """Returns the images at a smaller size, as an ImageSet with other `images` and `key`.

        Each size is made once: later calls return the same object. For its own height a set returns itself.

        Args:
            height: of `smaller_shapes`, or that of this set.

        Raises:
            UsageError: the disk is too small for the sizes of a mapped set.
            ValueError: the set has no such size.
        """
        if height == self.shape[0]:
            return self
        shapes = {shape[0]: shape for shape in smaller_shapes(self.shape)}
        if height not in shapes:
            raise ValueError(f"a set of height {self.shape[0]} has no images of height {height}; it has {list(shapes)}")
        if self.full:
            return self.full.at(height)
        if height not in self._sizes:
            if self.mapped:
                images = _load_smaller(self, height)
            else:
                images = np.empty((len(self), *shapes[height]), np.uint8)
                for first, (means,) in _reduce_chunks(self.images, [height]):
                    images[first : first + len(means)] = means
            self._sizes[height] = dataclasses.replace(self, images=images, key=_key(self.key, height), full=self)
        return self._sizes[height]


def prepare(
    source,
    *,
    size,
    channels="rgb",
    fit="crop",
    background="white",
    bits=16,
    limit=None,
    memory_gb=4.0,
    cache_dir=None,
    log=print,
):
    """Decodes a source, or loads it from the cache. Returns the readable images, in order, as an ImageSet.

    Args:
        source: an ImageSource.
        size: (height, width) in pixels.
        channels, fit: see `images.load_image`.
        background: colour under transparent parts and of padding.
        bits: see `images.read_image`.
        limit: use at most this many images, spread evenly over the source; None for all.
        memory_gb: sets larger than this (10^9 bytes of uint8) are converted to a memory map in the cache.
        cache_dir: the cache's folder; default GAN_TF_CACHE.
        log: called with a line of text before long work.

    Raises:
        UsageError: no readable image, a full disk, or an invalid argument.
        OSError: the disk fails.
    """
    for note in source.notes:
        log(note)
    settings, rows = _checked_settings(size, fit, background, bits, channels), select_rows(len(source), limit)
    origin = (source.fingerprint, _settings_key(*settings), limit)
    # Without the package that a format needs, its images are unreadable.
    name = _key(*origin, FORMAT, *(name for name in OPTIONAL if name in FORMATS))
    entry = CacheEntry(Path(cache_dir or cache_root()) / "data" / name, (*size, CHANNELS[channels]), FACTS)
    in_memory = len(rows) * entry.row_bytes <= memory_gb * 1e9
    if not in_memory and not entry.finished:
        _convert(source, rows, settings, entry, log)
    if entry.finished:
        images, facts, unreadable = entry.load(in_memory)
    else:
        images = np.empty((len(rows), *entry.shape), np.uint8)
        facts, unreadable = _decode(source, rows, settings, "decoded", images)
        images = images[: len(facts)]
    # Kept with the entry: comparing all pairs of a large set takes long.
    report_path = entry.folder / "dataset-report.json"
    if report_path.exists():
        with naming(report_path):
            stored = json.loads(report_path.read_text(encoding="utf-8"))
        report = DatasetReport(**{**stored, "name": source.name, "ignored": source.ignored})
    else:
        report = build_report(source, facts, unreadable, size, fit, bits, channels)
        if entry.finished:
            with writing_cache(report_path):
                write_atomically(report_path, json_text(dataclasses.asdict(report)).encode())
    return ImageSet(
        name=source.name,
        images=images,
        labels=source.labels[facts["index"]],
        class_names=source.class_names,
        names=[source.names[i] for i in facts["index"]],
        fingerprint=source.fingerprint,
        # Where every image has the pixels of FORMAT 1, the scores and features measured then stay valid.
        key=name if facts["reread"].any() else _key(*origin),
        report=report,
        contents=list(zip(source.names, source.digests, strict=True)),
        memory_gb=memory_gb,
        log=log,
    )


def survey(source, *, size, channels="rgb", fit="crop", background="white", bits=16, limit=None):
    """Returns the DatasetReport that `prepare` would make, without keeping any pixels."""
    settings = _checked_settings(size, fit, background, bits, channels)
    facts, unreadable = _decode(source, select_rows(len(source), limit), settings, "inspected")
    return build_report(source, facts, unreadable, size, fit, bits, channels)


def _checked_settings(size, fit, background, bits, channels):
    """Checks the settings. Returns the arguments of `load_image` after the data."""
    if fit not in FITS:
        raise UsageError(f"--fit must be one of {', '.join(FITS)}, got {fit}")
    if min(size) < 1:
        raise UsageError(f"--size or --resolution is {size_text(size)}; give positive numbers")
    if not 8 <= bits <= 16:
        raise UsageError(f"--bits is {bits}; give an integer from 8 to 16")
    return tuple(size), fit, parse_colour(background), bits, channels


def _settings_key(size, fit, colour, bits, channels):
    """Returns the part of a key that the settings determine; without those that earlier versions did not have."""
    size = size[0] if size[0] == size[1] else size
    extra = (bits,) * (bits != 16 or channels != "rgb") + (channels,) * (channels != "rgb")
    return size, fit, colour, *extra


def _key(*parts):
    """Returns the name of a cache entry: a hash of all values that its pixels depend on."""
    # The 1 keeps the keys of gan_tf 0.1, under which scores and features are stored.
    return hashlib.sha256(repr((1, *parts)).encode()).hexdigest()[:32]


def _decoded(source, rows, settings, verb):
    """Decodes images in threads. Yields (i, uint8 [H, W, C], fact), or (i, None, reason) if unreadable, in order."""

    def decode(i):
        data = None
        try:
            data = source.read(i)
            pixels, facts = load_image(data, *settings)
        except UnreadableImage as error:
            # The key of a cache entry holds the digests: this failure must not be stored under that of the content.
            if data is None and source.digests[i]:
                failure = f"{source.where}: {source.names[i]} cannot be read ({error}), which it could before"
                raise UsageError(f"{failure}; make it readable, and start again") from error
            return i, None, str(error)
        return i, pixels, fact_of(i, facts, pixels)

    with Progress(len(rows), verb) as progress:
        for result in map_in_order(decode, map(int, rows)):
            yield result
            progress.advance()


def _decode(source, rows, settings, verb, images=None):
    """Decodes images, into `images` unless it is None. Returns (FACTS array, unreadable [(i, reason)])."""
    facts, unreadable = [], []
    for i, pixels, fact in _decoded(source, rows, settings, verb):
        if pixels is None:
            unreadable.append((i, fact))
            continue
        if images is not None:
            images[len(facts)] = pixels
        facts.append(fact)
    return np.array(facts, FACTS), unreadable


def _convert(source, rows, settings, entry, log):
    """Decodes images into a cache entry. Continues an entry that a killed process left."""
    with locked(entry.folder.with_name(f"{entry.folder.name}.lock")) as own:  # a second process waits
        if entry.finished:
            return
        entry.own = own
        done, kept = (entry.progress()[key] for key in ("done", "kept"))
        need = (len(rows) - kept) * entry.row_bytes
        note = f", {done} of {len(rows)} images are done already" if done else ""
        log(f"converting the dataset once: {bytes_text(need)} of disk needed in {entry.folder.parent}{note}")
        check_space(entry.folder.parent, need)
        rows_per_record = max(1, FLUSH_BYTES // entry.row_bytes)
        with entry.writing():
            for i, pixels, fact in _decoded(source, rows[done:], settings, "converted"):
                if pixels is None:
                    entry.skip(i, fact)
                    continue
                entry.add(pixels[None], [fact])
                if entry.state["kept"] % rows_per_record == 0:
                    entry.record()


def box_means(images, heights):
    """Means of square blocks of pixels, rounded to the nearest integer with ties to even.

    uint8 [N, H, W, C] -> [uint8 [N, h, w, C] for each h in `heights`]. The first height divides H, and each other one
    the height before it. Exact while (H / h)^2 * 255 < 2^32, with alpha (H / h)^2 * 255^2. With alpha, colours are
    means weighted by it, and black where it is 0.
    """
    most, sums, means = 255, images, []
    if images.shape[3] == 4:
        alpha = images[..., 3:].astype(np.uint32)
        most, sums = 255**2, np.concatenate([images[..., :3] * alpha, 255 * alpha], axis=3)
    for height in heights:
        area = (images.shape[1] // height) ** 2
        add = functools.partial(np.add, dtype=np.uint16 if area * most < 1 << 16 else np.uint32)
        factor = sums.shape[1] // height
        # Four times as fast as `sum` over axes of length `factor`.
        sums = functools.reduce(add, (sums[:, i::factor] for i in range(factor)))
        sums = functools.reduce(add, (sums[:, :, i::factor] for i in range(factor)))
        if images.shape[3] == 4:
            weight = np.maximum(sums[..., 3:], 1)
            parts = [255 * (sums[..., :3] / weight), sums[..., 3:] / (255 * area)]
            means.append(np.rint(np.concatenate(parts, axis=3)).astype(np.uint8))
        else:
            means.append(np.rint(sums / area).astype(np.uint8))  # float64 represents ties exactly
    return means


def _reduce_chunks(images, sizes):
    """Yields (index of a chunk's first image, `box_means` of the chunk) in order, computed in threads."""
    step = max(1, CHUNK_BYTES // images[0].nbytes)

    def reduce(first):
        return first, box_means(read_rows(images, np.arange(first, min(first + step, len(images)))), sizes)

    with Progress(len(images), "reduced") as progress:
        for first, means in map_in_order(reduce, range(0, len(images), step)):
            yield first, means
            progress.advance(len(means[0]))


def smaller_shapes(shape):
    """Returns the shapes (h, w, C) of the smaller sizes, half of the one before, of images of a shape."""
    height, width, channels = shape
    shapes = []
    while height % 2 == width % 2 == 0:
        height, width = height // 2, width // 2
        if height * width < SMALLEST_AREA:
            break
        shapes.append((height, width, channels))
    return shapes


def _load_smaller(image_set, height):
    """Returns the images of a mapped set at one size from the cache, after making all missing smaller sizes."""
    folder = Path(image_set.images.filename).parent.parent
    entries = {
        shape[0]: CacheEntry(folder / _key(image_set.key, shape[0]), shape, ROW)
        for shape in smaller_shapes(image_set.shape)
    }
    if not entries[height].finished:
        with locked(folder / f"{image_set.key}.smaller.lock") as own:  # a second process waits
            missing = {size: entry for size, entry in entries.items() if not entry.finished}
            if height in missing:
                for entry in missing.values():
                    entry.own = own
                _make_smaller(image_set, missing, folder)
    # Counted together with all smaller sizes, since growing networks use one after the other.
    need = sum(entry.row_bytes for size, entry in entries.items() if size <= height) * len(image_set)
    return entries[height].load(in_memory=need <= image_set.memory_gb * 1e9)[0]


def _make_smaller(image_set, entries, folder):
    """Fills the entries {height: CacheEntry} in one pass over the full-size images."""
    need = len(image_set) * sum(entry.row_bytes for entry in entries.values())
    sizes = ", ".join(map(str, entries))
    disk = f"{bytes_text(need)} of disk needed in {folder}"
    image_set.log(f"making the dataset's smaller sizes once ({sizes} pixels high): {disk}")
    check_space(folder, need)
    with contextlib.ExitStack() as stack:
        for entry in entries.values():
            shutil.rmtree(entry.partial, ignore_errors=True)  # of a killed process
            stack.enter_context(entry.writing())
        for first, means in _reduce_chunks(image_set.images, list(entries)):
            for entry, pixels in zip(entries.values(), means, strict=True):
                entry.add(pixels, np.arange(first, first + len(pixels)))
