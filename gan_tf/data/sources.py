"""Image sources: folders, zip archives, .npz files and arrays.

A source lists images in a fixed order and reads one by index, without decoding. Its fingerprint depends on names,
classes and contents only: a copied folder has the same fingerprint, an edited one has another.
"""

import abc
import functools
import hashlib
import json
import os
import shutil
import stat
import zipfile
from collections import Counter

import numpy as np

from gan_tf.data.cache import check_space, read_rows
from gan_tf.data.images import MAX_FILE_BYTES, UnreadableImage, conversion_of, is_channels_first
from gan_tf.data.label_file import LABEL_FILE, LABEL_FILE_BYTES, check_labels, parse_label_file
from gan_tf.data.listing import classes_of, safe_name, select_images, walk
from gan_tf.errors import UsageError
from gan_tf.io.arrays import COMPRESSION, DAMAGED, read_array, read_header
from gan_tf.io.content import reason_of
from gan_tf.io.files import (
    UNPRINTABLE,
    cache_root,
    escaped,
    file_stamp,
    part_file,
    printable,
    raise_fault,
    user_path,
    write_atomically,
    writing_cache,
)
from gan_tf.io.json_text import json_text
from gan_tf.io.progress import Progress, map_in_order

LABEL_KEYS = ("labels", "label", "y")  # of arrays in an .npz
MAX_CONFIG_BYTES = 1 << 20  # of a config.json that is read to recognise a run
IN_MEMORY_BYTES = 512 << 20  # larger compressed arrays of an .npz are unpacked into the cache, once


class ImageSource(abc.ABC):
    """Images in a fixed order.

    Attributes:
        name: short name, such as the folder's; the default name of a run.
        names: N strings that identify images in messages, such as paths below the folder.
        labels: int32 [N], all 0 without classes.
        class_names: tuple of names, () without classes.
        where: the path given by the user; "" for arrays in memory.
        ignored: {suffix: count} of files that are not images.
        label_files: {path: argument of `_content`} of the files called LABEL_FILE.
        notes: lines to print, such as one on run folders that are left out.
    """

    def __init__(self, name, names, labels=None, class_names=(), where="", ignored=None, notes=()):
        self.name = escaped(name)
        self.where = str(where)
        self.names = names
        self.labels = np.zeros(len(names), np.int32) if labels is None else np.asarray(labels, np.int32)
        self.class_names = tuple(class_names)
        self.ignored = dict(ignored or {})
        self.label_files = {}
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

    def read_label_file(self, started=""):
        """Takes labels and classes from LABEL_FILE, if it is next to the images or in the only folder around them.

        Args:
            started: fingerprint of the run that is continued. Earlier versions did not read the file: if the run was
                started with the folders as classes, they are kept.

        Raises:
            UsageError: the file cannot be read, or as `parse_label_file`.
        """
        first = self.names[0].partition("/")[0] + "/"
        folders = ("", first) if all(name.startswith(first) for name in self.names) else ("",)
        folder = next((folder for folder in folders if folder + LABEL_FILE in self.label_files), None)
        if folder is None or self.fingerprint == started:
            return
        try:
            content = self._content(self.label_files[folder + LABEL_FILE], LABEL_FILE_BYTES)
        except UnreadableImage as error:
            raise UsageError(f"--dataset {self.where}: {LABEL_FILE} cannot be read ({error}); correct it") from error
        if found := parse_label_file(content, [name.removeprefix(folder) for name in self.names], self.where):
            self.labels, self.class_names = found[0].astype(np.int32), found[1]
            self.ignored = dict(Counter(self.ignored) - Counter({".json": 1}))
            del self.fingerprint  # computed anew, with these classes

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
        try:
            cached = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:  # first start, or a damaged file
            raise_fault(error, path)
            cached = {}
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
            raise ValueError(
                f"{len(images)} images, {len(names)} names and {len(self.labels)} labels; give one of each"
            )
        if not names:
            raise UsageError(f"{where or name} holds no images")
        self.images = images

    def read(self, i):
        return read_rows(self.images, [i])[0] if isinstance(self.images, np.memmap) else self.images[i]


class FolderSource(ImageSource):
    """Images in a folder and its sub-folders."""

    def __init__(self, folder):
        self.folder = user_path(folder)
        paths = list(walk(self.folder))
        read = functools.partial(self._content, most=MAX_CONFIG_BYTES)
        images, ignored, notes = select_images(paths, folder, read)
        names, self.paths = list(images), list(images.values())
        super().__init__(self.folder.resolve().name, names, *classes_of(names), folder, ignored, notes)
        self.label_files = {path: path for path in paths if path.endswith(LABEL_FILE)}

    def read(self, i):
        return self._content(self.paths[i], MAX_FILE_BYTES)

    def _content(self, path, most):
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


class ZipSource(ImageSource):
    """Images in a zip archive, read without unpacking it."""

    def __init__(self, path):
        try:
            self.archive = zipfile.ZipFile(user_path(path))
        except DAMAGED as error:
            reason = reason_of(error, user_path(path))
            raise UsageError(f"{path} is not a complete zip archive ({reason}); download or pack it again") from None
        files = [info for info in self.archive.infolist() if info.filename and not info.is_dir()]
        entries = {safe_name(info.filename, path): info for info in files}
        read = lambda name: self._content(entries[name], MAX_CONFIG_BYTES)  # noqa: E731
        images, ignored, notes = select_images(entries, path, read)
        if again := len(files) - len(entries):
            notes.append(f"{path}: entries with the name of a later entry are left out: {again}")
        names, self.entries = list(images), [entries[name] for name in images.values()]
        super().__init__(user_path(path).stem, names, *classes_of(names), path, ignored, notes)
        self.label_files = {name: info for name, info in entries.items() if name.endswith(LABEL_FILE)}

    def read(self, i):
        return self._content(self.entries[i], MAX_FILE_BYTES)

    def _content(self, entry, most):
        check_file_size(entry.file_size, most)
        if entry.compress_type not in COMPRESSION:
            raise UnreadableImage("compressed by a method other than deflate")
        try:
            with self.archive.open(entry) as file:
                return file.read(entry.file_size)  # at most the declared size
        except Exception as error:  # noqa: BLE001  damaged or encrypted entries: BadZipFile, zlib.error, ...
            raise_fault(error, self.archive.filename)
            raise UnreadableImage(f"damaged entry: {printable(error)}") from None


def open_npz(where):
    """Opens an .npz file of images as an ArraySource.

    The array "images", or else the only array of a fitting shape, is uint8 [N, H, W, C] with C = 1, 3 or 4, or
    [N, H, W]. Optional: integers [N], the first of "labels", "label" and "y"; strings "class_names" [K], "names" [N].

    Raises:
        UsageError: damaged file, object arrays, no array of images or several, wrong dtype, or labels that do not fit.
    """
    path = user_path(where)
    try:
        with zipfile.ZipFile(path) as archive:
            entries = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            headers = {key: read_header(archive, info) for key, info in entries.items()}
            images_key = _find_images(headers, where)
            images = _open_array(path, archive, entries[images_key], headers[images_key])
            label_key = next((key for key in LABEL_KEYS if key in entries), None)
            labels, class_names, names = (
                read_array(archive, entries[key], IN_MEMORY_BYTES) if key in entries else None
                for key in (label_key, "class_names", "names")
            )
        classes = check_labels(labels, class_names, len(images), where)
        # In files of other programs "names" may be something else, which is ignored.
        is_named = names is not None and names.dtype.kind == "U" and names.shape == (len(images),)
        if is_named and not any(map(UNPRINTABLE.search, names.tolist())):
            return ArraySource(path.stem, images, *classes, names.tolist(), where)
        return ArraySource(path.stem, images, *classes, where=where)
    except UsageError:
        raise
    except DAMAGED as error:
        reason = reason_of(error, path)
        raise UsageError(f"{where} is not a complete .npz file ({reason}); save it again with numpy.savez") from None


def _find_images(headers, where):
    """Returns the key of the array of images."""
    for key, (_, _, dtype, _) in headers.items():
        if dtype.hasobject:
            raise UsageError(
                f'{where}: array "{printable(key)}" holds Python objects, which are not safe to load; save as uint8'
            )
    shapes = {key: header[0] for key, header in headers.items()}
    fitting = [key for key, shape in shapes.items() if len(shape) == 3 or shape[3:] in ((1,), (3,), (4,))]
    channels_first = [key for key, shape in shapes.items() if key not in fitting and is_channels_first(shape[1:])]
    candidates = [key for key in (*fitting, *channels_first) if key == "images"] or fitting or channels_first
    if len(candidates) != 1:
        contents = ", ".join(f'"{printable(key)}" {headers[key][2]} {list(shape)}' for key, shape in shapes.items())
        raise UsageError(
            f'{where} must hold one uint8 [N, H, W, 3] array, named "images"; it has {contents[:500] or "none"}'
        )
    [key] = candidates
    shape, fortran, dtype, _ = headers[key]
    if dtype != np.uint8 or fortran or key in channels_first:
        order = f"{' with the channels first' * (key in channels_first)}{' in Fortran order' * fortran}"
        raise UsageError(
            f'{where}: array "{printable(key)}" is {dtype} {list(shape)}{order}, and must be uint8 [N, H, W, C] in C '
            f"order; save {conversion_of(dtype, key in channels_first, 'images', fortran)}"
        )
    if shape[0] == 0:
        raise UsageError(f"{where} holds no images")
    return key


def _open_array(path, archive, info, header):
    """Returns the array of one member: in memory if it is compressed and small, otherwise a memory map."""
    shape, _, dtype, header_length = header
    if info.compress_type == zipfile.ZIP_STORED:  # as numpy.savez writes it
        with open(path, "rb") as file:
            file.seek(info.header_offset + 26)  # two lengths in the member's local header of 30 bytes
            name_length, extra_length = map(int, np.frombuffer(file.read(4), "<u2"))
        start = info.header_offset + 30 + name_length + extra_length + header_length
        return np.memmap(path, dtype, "r", start, shape)
    if info.file_size <= IN_MEMORY_BYTES:
        return read_array(archive, info, IN_MEMORY_BYTES)
    # Named by the member's offset: its name may be a path.
    unpacked = cache_root() / "npz" / f"{file_stamp(path).replace(':', '-')}-{info.header_offset}.npy"
    if not unpacked.exists():
        check_space(unpacked.parent, info.file_size)
        with writing_cache(unpacked), part_file(unpacked) as target, archive.open(info) as packed:
            shutil.copyfileobj(packed, target, 1 << 20)
    return np.load(unpacked, mmap_mode="r", allow_pickle=False)


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
    openers = {".zip": ZipSource, ".npz": open_npz}
    if path.suffix.lower() not in openers:
        raise UsageError(f"--dataset {where} must be a folder, a .zip or an .npz")
    return openers[path.suffix.lower()](where)


def check_file_size(size, most=MAX_FILE_BYTES):
    """Raises UnreadableImage if a file has more than `most` bytes."""
    if size > most:
        raise UnreadableImage(f"the file is larger than {most >> 20} MB")
