"""Where pictures come from: a folder, a `.zip`, an `.npz`, arrays in memory.

A source lists pictures in a fixed order and reads one by number; nothing is decoded here. Its fingerprint depends on
names and contents only, so that a copied or touched folder is the same data and an edited one is not.
"""

import functools
import hashlib
import os
import re
import stat
import zipfile
from collections import Counter
from pathlib import Path, PurePosixPath

import numpy as np

from gan_tf.data.digests import file_stamp, hash_all, remembered_digests
from gan_tf.data.images import MAX_FILE_BYTES, UnreadableImage
from gan_tf.errors import UsageError
from gan_tf.io.files import UNPRINTABLE, printable, user_path
from gan_tf.io.npz import BOUNDED, DAMAGED

SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
SPLIT_NAMES = {"train", "training", "test", "testing", "val", "valid", "validation"}


class ImageSource:
    """Pictures in a fixed order; sub-classes own the file handle and say how to read.

    Attributes:
        name: short name, such as the folder's; the default name of a run.
        where: the path that the user gave; "" for arrays in memory.
        names: N strings that tell pictures apart in messages, such as paths below the folder.
        labels: int32 [N], 0 throughout where there are no classes.
        class_names: tuple of names, () where there are no classes.
        ignored: {suffix: count} of files that are no pictures.
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
        """Returns picture i: bytes of an encoded file, or a uint8 array [H, W, C].

        Safe to call from several threads.

        Raises:
            UnreadableImage: this one picture cannot be read.
        """
        raise NotImplementedError

    def stamps(self):
        """N strings that change whenever a picture may have changed, for the digest cache; None to always hash."""
        return None

    @functools.cached_property
    def digests(self):
        """N hex strings, the SHA-256 of each picture's stored content; "" where it cannot be read."""
        stamps = self.stamps()
        if stamps is None:
            return hash_all(range(len(self)), self._digest)
        return remembered_digests(self.where, stamps, self._digest)

    @functools.cached_property
    def fingerprint(self):
        """SHA-256 hex over names, classes and contents of all pictures."""
        total = hashlib.sha256()
        for name, label, digest in zip(self.names, self.labels, self.digests, strict=True):
            total.update(f"{name}\0{self.class_names[label] if self.class_names else label}\0{digest}\n".encode())
        return total.hexdigest()

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
    """Pictures held by the program: an array, or any sequence whose items are uint8 arrays or encoded bytes.

    Args:
        name: short name of the set.
        images: uint8 [N, H, W, C], or anything with `len` and `[i]` (read lazily, from several threads).
        labels: int [N] in 0..len(class_names) - 1, or None.
        class_names: one name for each class, () without labels.
        names: N names for messages; default "0", "1", ...
    """

    def __init__(self, name, images, labels=None, class_names=(), names=None, where=""):
        names = [str(i) for i in range(len(images))] if names is None else list(names)
        super().__init__(name, names, labels, class_names, where)
        if not len(images) == len(names) == len(self.labels):
            raise ValueError(f"{len(images)} images, {len(names)} names, {len(self.labels)} labels must be as many")
        if not names:
            raise UsageError(f"{where or name} holds no images")
        self.images = images

    def read(self, i):
        return self.images[i]

    def stamps(self):
        stamp = file_stamp(self.where) if self.where else None
        return [f"{stamp}#{i}" for i in range(len(self))] if stamp else None


class FolderSource(ImageSource):
    """Pictures below a folder, however deep; hidden files and folders are left out."""

    def __init__(self, folder):
        self.folder = user_path(folder)
        names, ignored = pick_images(_walk(self.folder), folder)
        super().__init__(self.folder.resolve().name, names, *classes_of(names), folder, ignored)

    def read(self, i):
        path = self.folder / self.names[i]
        try:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for, a device never ends
                raise UnreadableImage("no plain file")
            if status.st_size > MAX_FILE_BYTES:
                raise UnreadableImage(f"the file is larger than {MAX_FILE_BYTES >> 20} MB")
            return path.read_bytes()
        except OSError as error:
            raise UnreadableImage(error.strerror or str(error)) from None

    def stamps(self):
        return [f"{name}:{file_stamp(self.folder / name)}" for name in self.names]


class ZipSource(ImageSource):
    """Pictures in a zip archive, read in place: nothing is unpacked."""

    def __init__(self, path):
        self.path = user_path(path)
        try:
            self.archive = zipfile.ZipFile(self.path)
        except DAMAGED as error:
            raise UsageError(
                f"{path} is not a whole zip archive ({printable(error)}); download or pack it again"
            ) from None
        files = [info for info in self.archive.infolist() if info.filename and not info.is_dir()]
        entries = {safe_name(info.filename, path): info for info in files}
        names, ignored = pick_images(entries, path)
        self.entries = [entries[name] for name in names]
        super().__init__(self.path.stem, names, *classes_of(names), path, ignored)

    def read(self, i):
        entry = self.entries[i]
        if entry.file_size > MAX_FILE_BYTES:
            raise UnreadableImage(f"the file is larger than {MAX_FILE_BYTES >> 20} MB")
        if entry.compress_type not in BOUNDED:
            raise UnreadableImage("packed by another method than deflate")
        try:
            with self.archive.open(entry) as file:
                return file.read(entry.file_size)  # no more than was declared, whatever the stream expands to
        except Exception as error:  # noqa: BLE001  damaged, encrypted or exotic entries: BadZipFile, zlib.error, ...
            raise UnreadableImage(f"damaged entry: {printable(error)}") from None

    def stamps(self):
        stamp = file_stamp(self.path)
        return [f"{stamp}#{i}" for i in range(len(self))]


def open_source(where):
    """Opens what a path leads to: a folder, a `.zip` or an `.npz`.

    Raises:
        UsageError: nothing there, no picture in it, or not one of these.
    """
    from gan_tf.data.arrays import open_npz  # it needs ArraySource from here

    path = user_path(where)
    if path.is_dir():
        return FolderSource(where)
    if not path.exists():
        raise UsageError(f"--dataset {where}: there is no such file or folder")
    if path.suffix.lower() == ".zip":
        return ZipSource(where)
    if path.suffix.lower() == ".npz":
        return open_npz(where)
    raise UsageError(f"--dataset {where} must be a folder, a .zip or an .npz")


def pick_images(paths, where):
    """Sorts relative paths into (sorted list of picture names, {suffix: count} of other files).

    Raises:
        UsageError: no picture among them, or a name that cannot be shown.
    """
    names, ignored = [], Counter()
    for path in map(PurePosixPath, paths):
        if any(part.startswith(".") or part == "__MACOSX" for part in path.parts):
            continue
        if path.suffix.lower() not in SUFFIXES:
            ignored[printable(path.suffix.lower() or path.name)] += 1
            continue
        if UNPRINTABLE.search(str(path)):
            raise UsageError(f"{where}: rename {str(path)[:200]!a}, which holds a control character or is no UTF-8")
        names.append(str(path))
    if not names:
        found = ", ".join(f"{count} {suffix}" for suffix, count in ignored.most_common(5)) or "nothing"
        raise UsageError(f"{where} holds no images (looked for {' '.join(SUFFIXES)}; found {found})")
    return sorted(names), ignored


def classes_of(names):
    """Derives class labels from folders: the first-level sub-folder, however deep a picture lies in it.

    A folder that holds everything is not a class (archives wrap their content in one), and neither are "train",
    "test" and the like when there is nothing else on their level. Pictures both inside and outside of sub-folders, or
    one sub-folder only, mean a set without classes.

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
    class_names = tuple(sorted({parts[0] for parts in folders}))
    number = {name: label for label, name in enumerate(class_names)}
    return np.array([number[parts[0]] for parts in folders], np.int32), class_names


def _walk(folder):
    """Yields the relative paths of all files below `folder`; links are followed, but no folder is entered twice."""
    entered = set()
    for here, subfolders, files in os.walk(folder, followlinks=True):
        status = os.stat(here)
        if (status.st_dev, status.st_ino) in entered:
            subfolders.clear()
            continue
        entered.add((status.st_dev, status.st_ino))
        for file in files:
            yield Path(here, file).relative_to(folder).as_posix()


def safe_name(name, archive):
    """Returns an entry's path with "/"; refuses paths that would leave the archive's own folder.

    We never unpack, but an archive with such an entry was made to harm and its other content deserves no trust.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:", name):
        raise UsageError(f'{archive}: entry "{printable(name)}" leads out of the archive; remove it and pack again')
    return str(path)
