"""Image sources: folders, zip archives and arrays.

A source lists images in a fixed order and reads one by index, without decoding. Its fingerprint depends on names,
classes and contents only: a copied folder has the same fingerprint, an edited one has another.
"""

import functools
import hashlib
import json
import os
import re
import stat
import zipfile
from collections import Counter
from pathlib import Path, PurePosixPath

import numpy as np

from gan_tf.data.images import MAX_FILE_BYTES, UnreadableImage
from gan_tf.errors import UsageError
from gan_tf.io.files import UNPRINTABLE, cache_root, printable, user_path, write_atomically, writing_cache
from gan_tf.io.npz import COMPRESSION, DAMAGED
from gan_tf.io.progress import Progress, map_in_order

SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
SPLIT_NAMES = {"train", "training", "test", "testing", "val", "valid", "validation"}


class ImageSource:
    """Images in a fixed order. Subclasses hold the file handle and implement `read`.

    Attributes:
        name: short name, such as the folder's; the default name of a run.
        where: the path given by the user; "" for arrays in memory.
        names: N strings that identify images in messages, such as paths below the folder.
        labels: int32 [N], all 0 without classes.
        class_names: tuple of names, () without classes.
        ignored: {suffix: count} of files that are not images.
    """

    def __init__(self, name, names, labels=None, class_names=(), where="", ignored=None):
        self.name = name
        self.where = str(where)
        self.names = names
        self.labels = np.zeros(len(names), np.int32) if labels is None else np.asarray(labels, np.int32)
        self.class_names = tuple(class_names)
        self.ignored = dict(ignored or {})

    def __len__(self):
        return len(self.names)

    def read(self, i):
        """Returns image i as the bytes of an encoded file or as a uint8 array [H, W, C]. Thread-safe.

        Raises:
            UnreadableImage: this image cannot be read.
        """
        raise NotImplementedError

    def stamps(self):
        """Returns N strings that change whenever an image may have changed, or None to hash at every start."""
        return None

    @functools.cached_property
    def digests(self):
        """N hex strings: the SHA-256 of each image's stored content, "" if it cannot be read.

        Digests are cached by stamp under `cache_root`, so that only changed images are read at the next start.
        """
        stamps = self.stamps()
        if stamps is None:
            return self._hash(range(len(self)))
        path_digest = hashlib.sha256(os.path.realpath(os.path.expanduser(self.where)).encode()).hexdigest()
        path = cache_root() / "digests" / f"{path_digest[:32]}.json"
        try:
            cached = json.loads(path.read_text())
        except (OSError, ValueError):  # first start, or a damaged file
            cached = {}
        missing = [i for i, stamp in enumerate(stamps) if not cached.get(stamp)]
        cached.update(zip([stamps[i] for i in missing], self._hash(missing), strict=True))
        if missing:
            with writing_cache(path):
                write_atomically(path, json.dumps({stamp: cached[stamp] for stamp in stamps}).encode())
        return [cached[stamp] for stamp in stamps]

    @functools.cached_property
    def fingerprint(self):
        """SHA-256 hex of the names, classes and contents of all images."""
        total = hashlib.sha256()
        for name, label, digest in zip(self.names, self.labels, self.digests, strict=True):
            total.update(f"{name}\0{self.class_names[label] if self.class_names else label}\0{digest}\n".encode())
        return total.hexdigest()

    def _hash(self, indices):
        digests = []
        with Progress(len(indices), "hashed") as progress:
            for digest in map_in_order(self._digest, indices):
                digests.append(digest)
                progress.advance()
        return digests

    def _digest(self, i):
        try:
            data = self.read(i)
        except UnreadableImage:
            return ""
        if isinstance(data, bytes):
            return hashlib.sha256(data).hexdigest()
        array = np.ascontiguousarray(data)
        return hashlib.sha256(f"{array.shape}".encode() + array.tobytes()).hexdigest()


class ArraySource(ImageSource):
    """Images in memory: an array, or a sequence of uint8 arrays or encoded bytes.

    Args:
        name: short name of the dataset.
        images: uint8 [N, H, W, C], or any object with `len` and `[i]`, which is read lazily from several threads.
        labels: int [N] in 0..len(class_names) - 1, or None.
        class_names: one name per class, () without labels.
        names: N names for messages; default "0", "1", ...
    """

    def __init__(self, name, images, labels=None, class_names=(), names=None, where=""):
        names = [str(i) for i in range(len(images))] if names is None else list(names)
        super().__init__(name, names, labels, class_names, where)
        if not len(images) == len(names) == len(self.labels):
            raise ValueError(f"{len(images)} images, {len(names)} names and {len(self.labels)} labels differ in number")
        if not names:
            raise UsageError(f"{where or name} holds no images")
        self.images = images

    def read(self, i):
        return self.images[i]

    def stamps(self):
        return stamps_of_file(self.where, len(self)) if self.where else None


class FolderSource(ImageSource):
    """Images in a folder and its sub-folders; hidden files and folders are left out."""

    def __init__(self, folder):
        self.folder = user_path(folder)
        names, ignored = select_images(_walk(self.folder), folder)
        super().__init__(self.folder.resolve().name, names, *classes_of(names), folder, ignored)

    def read(self, i):
        path = self.folder / self.names[i]
        try:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):  # reading a pipe would block, a device may never end
                raise UnreadableImage("not a regular file")
            check_file_size(status.st_size)
            return path.read_bytes()
        except OSError as error:
            raise UnreadableImage(error.strerror or str(error)) from None

    def stamps(self):
        return [f"{name}:{file_stamp(self.folder / name)}" for name in self.names]


class ZipSource(ImageSource):
    """Images in a zip archive, read without unpacking it."""

    def __init__(self, path):
        self.path = user_path(path)
        try:
            self.archive = zipfile.ZipFile(self.path)
        except DAMAGED as error:
            raise UsageError(
                f"{path} is not a complete zip archive ({printable(error)}); download or pack it again"
            ) from None
        files = [info for info in self.archive.infolist() if info.filename and not info.is_dir()]
        entries = {safe_name(info.filename, path): info for info in files}
        names, ignored = select_images(entries, path)
        self.entries = [entries[name] for name in names]
        super().__init__(self.path.stem, names, *classes_of(names), path, ignored)

    def read(self, i):
        entry = self.entries[i]
        check_file_size(entry.file_size)
        if entry.compress_type not in COMPRESSION:
            raise UnreadableImage("compressed by a method other than deflate")
        try:
            with self.archive.open(entry) as file:
                return file.read(entry.file_size)  # at most the declared size
        except Exception as error:  # noqa: BLE001  damaged or encrypted entries: BadZipFile, zlib.error, ...
            raise UnreadableImage(f"damaged entry: {printable(error)}") from None

    def stamps(self):
        return stamps_of_file(self.path, len(self))


def open_source(where):
    """Opens a path as an image source: a folder, a `.zip` or an `.npz`.

    Raises:
        UsageError: the path does not exist, holds no images, or has another type.
    """
    from gan_tf.data.npz_source import open_npz  # imports ArraySource from here

    path = user_path(where)
    if path.is_dir():
        return FolderSource(where)
    if not path.exists():
        raise UsageError(f"--dataset {where}: no such file or folder")
    if path.suffix.lower() == ".zip":
        return ZipSource(where)
    if path.suffix.lower() == ".npz":
        return open_npz(where)
    raise UsageError(f"--dataset {where} must be a folder, a .zip or an .npz")


def check_file_size(size):
    """Raises UnreadableImage if an image file has more than MAX_FILE_BYTES."""
    if size > MAX_FILE_BYTES:
        raise UnreadableImage(f"the file is larger than {MAX_FILE_BYTES >> 20} MB")


def file_stamp(path):
    """Returns size and times of a file. The time of the last status change cannot be set back by a program."""
    try:
        status = os.stat(path)
    except OSError:
        return "missing"
    return f"{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}"


def stamps_of_file(path, count):
    """Returns the stamps of `count` images in one file."""
    stamp = file_stamp(path)
    return [f"{stamp}#{i}" for i in range(count)]


def select_images(paths, where):
    """Splits relative paths into (sorted list of image names, {suffix: count} of other files).

    Raises:
        UsageError: no image among them, or a name with unprintable characters.
    """
    names, ignored = [], Counter()
    for path in map(PurePosixPath, paths):
        if any(part.startswith(".") or part == "__MACOSX" for part in path.parts):
            continue
        if path.suffix.lower() not in SUFFIXES:
            ignored[printable(path.suffix.lower() or path.name)] += 1
            continue
        if UNPRINTABLE.search(str(path)):
            raise UsageError(
                f"{where}: rename {str(path)[:200]!a}, which holds a control character or is not valid UTF-8"
            )
        names.append(str(path))
    if not names:
        others = ", ".join(f"{count} {suffix}" for suffix, count in ignored.most_common(5)) or "nothing"
        raise UsageError(f"{where} holds no images (supported: {' '.join(SUFFIXES)}; found {others})")
    return sorted(names), ignored


def classes_of(names):
    """Derives class labels from first-level folders; deeper folders have no effect.

    A single folder around everything is skipped (many archives have one), and so is a level that has only "train",
    "test" and the like. Images both inside and outside of folders, or one folder only, mean no classes.

    Args:
        names: N relative paths with "/".

    Returns:
        labels int32 [N] and a tuple of class names in alphabetical order; zeros and () without classes.
    """
    folders = [PurePosixPath(name).parts[:-1] for name in names]
    while all(folders) and len({parts[0] for parts in folders}) == 1:
        folders = [parts[1:] for parts in folders]
    if all(folders) and {parts[0].lower() for parts in folders} <= SPLIT_NAMES:
        folders = [parts[1:] for parts in folders]
    if not all(folders) or len({parts[0] for parts in folders}) < 2:
        return np.zeros(len(names), np.int32), ()
    class_names, labels = np.unique([parts[0] for parts in folders], return_inverse=True)
    return labels.astype(np.int32), tuple(class_names.tolist())


def _walk(folder):
    """Yields the relative paths of all files below `folder`. Follows links, but enters no folder twice."""
    entered = set()
    for parent, subfolders, files in os.walk(folder, followlinks=True):
        status = os.stat(parent)
        if (status.st_dev, status.st_ino) in entered:
            subfolders.clear()
            continue
        entered.add((status.st_dev, status.st_ino))
        for file in files:
            yield Path(parent, file).relative_to(folder).as_posix()


def safe_name(name, archive):
    """Returns an archive entry's path with "/".

    Raises:
        UsageError: the path leads out of the archive. Nothing is unpacked, but such an archive is not trustworthy.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:", name):
        raise UsageError(f'{archive}: entry "{printable(name)}" leads out of the archive; remove it and pack again')
    return str(path)
