"""Image sources: folders, zip archives, .npz files and arrays.

A source lists images in a fixed order and reads one by index, without decoding. Its fingerprint depends on names,
classes and contents only: a copied folder has the same fingerprint, an edited one has another.
"""

import abc
import functools
import hashlib
import os
import stat
import zipfile
from collections import Counter
from pathlib import PurePosixPath

import numpy as np

from gan_tf.data.arrays import read_npz
from gan_tf.data.cache import read_rows, stored_object
from gan_tf.data.images import MAX_FILE_BYTES, UnreadableImage
from gan_tf.data.label_file import LABEL_FILE, LABEL_FILE_BYTES, parse_label_file
from gan_tf.data.listing import classes_of, safe_name, select_images, walk
from gan_tf.errors import UsageError
from gan_tf.io.arrays import COMPRESSION, DAMAGED
from gan_tf.io.content import reason_of
from gan_tf.io.files import (
    cache_root,
    escaped,
    file_stamp,
    printable,
    raise_fault,
    user_path,
    write_atomically,
    writing_cache,
)
from gan_tf.io.json_text import json_text
from gan_tf.io.progress import Progress, map_in_order

MAX_CONFIG_BYTES = 1 << 20  # of a config.json that is read to recognise a run


class ImageSource(abc.ABC):
    """Images in a fixed order.

    Attributes:
        name: short name, such as the folder's; the default name of a run.
        names: N strings that identify images in messages, such as paths below the folder.
        labels: int32 [N], all 0 without classes.
        class_names: tuple of names, () without classes.
        where: the path given by the user; "" for arrays in memory.
        ignored: {suffix: count} of files that are not images.
        notes: lines to print, such as one on run folders that are left out.
    """

    def __init__(self, name, names, labels=None, class_names=(), where="", ignored=None, notes=()):
        self.name = escaped(name)
        self.where = str(where)
        self.names = names
        self.labels = np.zeros(len(names), np.int32) if labels is None else np.asarray(labels, np.int32)
        self.class_names = tuple(class_names)
        self.ignored = dict(ignored or {})
        self.notes = list(notes)

    def __len__(self):
        return len(self.names)

    @abc.abstractmethod
    def read(self, i):
        """Returns image i as the bytes of an encoded file or as a uint8 array [H, W, C]. Thread-safe.

        Raises:
            UnreadableImage: this image cannot be read.
            OSError: the disk fails; this and other images may be readable later.
        """

    def read_label_file(self, started=""):  # noqa: B027
        """Takes labels and classes from a file next to the images, see `FileSource`; does nothing without files."""

    def stamps(self):
        """Returns N strings; string i changes if image i may have changed. None if the images are not in files."""
        if not self.where:
            return None
        stamp = file_stamp(user_path(self.where))
        return [f"{stamp}#{i}" for i in range(len(self))]

    @functools.cached_property
    def digests(self):
        """N hex strings: the SHA-256 of each image's stored content, "" if it cannot be read.

        Digests are cached under `cache_root` by the strings of `stamps`, so the next start reads changed images only.
        No "" is stored: the file may be readable then.
        """
        stamps = self.stamps()
        if stamps is None:
            return self._hash(range(len(self)))
        path_digest = hashlib.sha256(os.fsencode(os.path.realpath(user_path(self.where)))).hexdigest()
        path = cache_root() / "digests" / f"{path_digest[:32]}.json"
        cached = stored_object(path)
        missing = [i for i, stamp in enumerate(stamps) if not cached.get(stamp)]
        cached.update(zip([stamps[i] for i in missing], self._hash(missing), strict=True))
        if missing:
            with writing_cache(path):
                stored = {stamp: cached[stamp] for stamp in stamps if cached[stamp]}
                write_atomically(path, json_text(stored).encode())
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
        if not isinstance(data, bytes):
            array = np.asarray(data)
            data = f"{array.shape}".encode() + array.tobytes()
        return hashlib.sha256(data).hexdigest()


class ArraySource(ImageSource):
    """Images in an array uint8 [N, H, W, C], or in a sequence of uint8 arrays or encoded files (bytes).

    Items are read on demand, from several threads. The names default to "0", "1", ...
    """

    def __init__(self, name, images, labels=None, class_names=(), names=None, where=""):
        names = [str(i) for i in range(len(images))] if names is None else list(names)
        super().__init__(name, names, labels, class_names, where)
        if not len(images) == len(names) == len(self.labels):
            raise ValueError(f"{len(images)} images, {len(names)} names, {len(self.labels)} labels; give one of each")
        if not names:
            raise UsageError(f"{where or name} holds no images")
        self.images = images

    def read(self, i):
        return read_rows(self.images, [i])[0] if isinstance(self.images, np.memmap) else self.images[i]


class FileSource(ImageSource):
    """Images in files, whose paths below one folder are known."""

    def __init__(self, name, paths, where):
        read = functools.partial(self.content, most=MAX_CONFIG_BYTES)
        images, ignored, notes = select_images(paths, where, read)
        names, self.paths = list(images), list(images.values())
        self.label_files = [path for path in paths if PurePosixPath(path).name == LABEL_FILE]
        super().__init__(name, names, *classes_of(names), where, ignored, notes)

    @abc.abstractmethod
    def content(self, path, most):
        """Returns the bytes of a file. Raises UnreadableImage if it has more than `most`, otherwise as `read`."""

    def read(self, i):
        return self.content(self.paths[i], MAX_FILE_BYTES)

    def read_label_file(self, started=""):
        """Takes labels and classes from LABEL_FILE, if it is in a folder around all images.

        Args:
            started: fingerprint of the run that is continued. Earlier versions did not read the file: if the run was
                started with the folders as classes, they are kept.

        Raises:
            UsageError: the file cannot be read, or as `parse_label_file`.
        """
        folders = sorted(path.removesuffix(LABEL_FILE) for path in self.label_files)
        folder = next((folder for folder in folders if all(name.startswith(folder) for name in self.names)), None)
        if folder is None or self.fingerprint == started:
            return
        try:
            content = self.content(folder + LABEL_FILE, LABEL_FILE_BYTES)
        except UnreadableImage as error:
            raise UsageError(f"--dataset {self.where}: {LABEL_FILE} cannot be read ({error}); correct it") from error
        if found := parse_label_file(content, [name.removeprefix(folder) for name in self.names], self.where):
            self.labels, self.class_names = found[0].astype(np.int32), found[1]
            self.ignored = dict(Counter(self.ignored) - Counter({".json": 1}))
            del self.fingerprint  # it depends on the classes


class FolderSource(FileSource):
    """Images in a folder and its sub-folders."""

    def __init__(self, folder):
        self.folder = user_path(folder)
        super().__init__(self.folder.resolve().name, list(walk(self.folder)), folder)

    def content(self, path, most):
        path = self.folder / path
        try:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):  # reading a pipe would block, a device may never end
                raise UnreadableImage("not a regular file")
            check_file_size(status.st_size, most)
            return path.read_bytes()
        except OSError as error:
            raise_fault(error, path)
            raise UnreadableImage(error.strerror or str(error)) from None

    def stamps(self):
        return [f"{name}:{file_stamp(self.folder / path)}" for name, path in zip(self.names, self.paths, strict=True)]


class ZipSource(FileSource):
    """Images in a zip archive, read without unpacking it."""

    def __init__(self, path):
        try:
            self.archive = zipfile.ZipFile(user_path(path))
        except DAMAGED as error:
            reason = reason_of(error, user_path(path))
            raise UsageError(f"{path} is not a complete zip archive ({reason}); download or pack it again") from None
        files = [info for info in self.archive.infolist() if info.filename and not info.is_dir()]
        self.entries = {safe_name(info.filename, path): info for info in files}
        super().__init__(user_path(path).stem, list(self.entries), path)
        if again := len(files) - len(self.entries):
            self.notes.append(f"{path}: entries with the name of a later entry are left out: {again}")

    def content(self, path, most):
        entry = self.entries[path]
        check_file_size(entry.file_size, most)
        if entry.compress_type not in COMPRESSION:
            raise UnreadableImage("compressed by a method other than deflate")
        try:
            with self.archive.open(entry) as file:
                return file.read(entry.file_size)  # at most the declared size
        except Exception as error:  # noqa: BLE001  damaged or encrypted entries: BadZipFile, zlib.error, ...
            raise_fault(error, self.archive.filename)
            raise UnreadableImage(f"damaged entry: {printable(error)}") from None


def open_source(where):
    """Opens a path as an image source: a folder, a `.zip` or an `.npz`.

    Raises:
        UsageError: the path does not exist, holds no images, or has another type.
    """
    path = user_path(where)
    if path.is_dir():
        return FolderSource(where)
    if not path.exists():
        raise UsageError(f"--dataset {where}: no such file or folder")
    suffix = path.suffix.lower()
    if suffix == ".zip":
        return ZipSource(where)
    if suffix == ".npz":
        return ArraySource(path.stem, *read_npz(where), where)
    raise UsageError(f"--dataset {where} must be a folder, a .zip or an .npz")


def check_file_size(size, most):
    """Raises UnreadableImage if a file has more than `most` bytes."""
    if size > most:
        raise UnreadableImage(f"the file is larger than {most >> 20} MB")
