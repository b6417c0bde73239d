"""`.npz` files as image sources, without pickle and without holding a large array in memory."""

import shutil
import zipfile

import numpy as np

from gan_tf.data.cache import check_space
from gan_tf.data.digests import file_stamp
from gan_tf.data.sources import ArraySource
from gan_tf.errors import UsageError
from gan_tf.io import npz
from gan_tf.io.files import UNPRINTABLE, cache_root, part_file, printable, user_path, writing_cache

IN_MEMORY_BYTES = 512 << 20  # a packed array above this is unpacked to the cache folder, once
LABEL_KEYS = ("labels", "label", "y")


def open_npz(where):
    """Opens an `.npz` that holds images.

    The array named "images", or the only array of that shape, is uint8 [N, H, W, 3], [N, H, W, 1] or [N, H, W]; an
    optional integer [N] array "labels" and a string array "class_names" give classes, a string array "names" [N] what
    the images are called.

    Args:
        where: path as the user gave it.

    Returns:
        ArraySource; rows are read from the file when they are asked for.

    Raises:
        UsageError: damaged, object arrays, no array of images or several, labels that do not fit.
    """
    path = user_path(where)
    try:
        with zipfile.ZipFile(path) as archive:
            headers = {info.filename.removesuffix(".npy"): _header(archive, info) for info in archive.infolist()}
            key = _images_key(headers, where)
            images = _open_array(path, archive, headers[key])
            labels = _small(archive, headers, *LABEL_KEYS)
            class_names = _small(archive, headers, "class_names")
            names = _small(archive, headers, "names")
        classes = _check_labels(labels, class_names, len(images), where)
        return ArraySource(path.stem, images, *classes, _names_of(names, len(images)), where)
    except UsageError:
        raise
    except npz.DAMAGED as error:
        raise UsageError(
            f"{where} is not a whole .npz file ({printable(error)}); save it again with numpy.savez"
        ) from None


def _header(archive, info):
    """(shape, Fortran order, dtype, bytes of the header, entry) of one member, read without its content."""
    if info.compress_type not in npz.BOUNDED:
        raise ValueError("packed by another method than deflate")
    with archive.open(info) as file:
        shape, fortran, dtype = npz.header(file)
        if not dtype.hasobject:  # which is refused by name
            npz.require_fit(shape, dtype, info.file_size - file.tell())
        return shape, fortran, dtype, file.tell(), info


def _images_key(headers, where):
    objects = [key for key, (_, _, dtype, *_) in headers.items() if dtype.hasobject]
    if objects:
        raise UsageError(
            f"{where}: array {_quoted(objects[0])} holds Python objects, which is not safe to load; save as uint8"
        )
    shaped = [key for key, (shape, *_) in headers.items() if _is_images(shape)]
    key = "images" if "images" in shaped else shaped[0] if len(shaped) == 1 else None
    found = ", ".join(f"{_quoted(key)} {dtype} {list(shape)}" for key, (shape, _, dtype, *_) in headers.items())
    if key is None:
        raise UsageError(
            f'{where} must hold one uint8 [N, H, W, 3] array, named "images"; it has {found[:500] or "none"}'
        )
    shape, fortran, dtype, *_ = headers[key]
    if dtype != np.uint8 or fortran:
        raise UsageError(
            f"{where}: array {_quoted(key)} must be uint8 in C order, got {dtype}; convert it to 0..255 and save"
        )
    if shape[0] == 0:
        raise UsageError(f"{where} holds no images")
    return key


def _quoted(key):
    return f'"{printable(key)}"'


def _is_images(shape):
    return len(shape) == 3 or (len(shape) == 4 and shape[3] in (1, 3, 4))


def _open_array(path, archive, header):
    """uint8 array or memory map of one member: mapped in place if stored plain, as numpy.savez does."""
    shape, _, dtype, start, info = header
    if info.compress_type == zipfile.ZIP_STORED:
        return np.memmap(path, dtype, "r", _content_offset(path, info) + start, shape)
    if info.file_size <= IN_MEMORY_BYTES:
        return npz.read(archive, info, IN_MEMORY_BYTES)
    # Called by its place: its name may be a path.
    unpacked = cache_root() / "npz" / f"{file_stamp(path).replace(':', '-')}-{info.header_offset}.npy"
    if not unpacked.exists():
        check_space(unpacked.parent, info.file_size)
        with writing_cache(unpacked), part_file(unpacked) as target, archive.open(info) as packed:
            shutil.copyfileobj(packed, target, 1 << 20)
    return np.load(unpacked, mmap_mode="r", allow_pickle=False)


def _content_offset(path, info):
    """Byte at which a stored member's content starts: after the local header, whose two lengths are at byte 26."""
    with open(path, "rb") as file:
        file.seek(info.header_offset + 26)
        name_length, extra_length = np.frombuffer(file.read(4), "<u2")
    return info.header_offset + 30 + int(name_length) + int(extra_length)


def _small(archive, headers, *keys):
    """The first of some members that there is, read whole; or None."""
    for key in keys:
        if key in headers:
            return npz.read(archive, headers[key][-1], IN_MEMORY_BYTES)
    return None


def _names_of(names, count):
    """What the images are called; None, for their numbers, where "names" is anything else."""
    if names is None or names.dtype.kind != "U" or names.shape != (count,):
        return None
    found = names.tolist()
    return None if any(map(UNPRINTABLE.search, found)) else found


def _check_labels(labels, class_names, count, where):
    """(labels int32 [N] or None, class names): labels as numbers 0..K-1 in order of the stored values."""
    if labels is None:
        return None, ()
    if labels.dtype.kind not in "iu" or labels.shape not in ((count,), (count, 1)):
        raise UsageError(f"{where}: labels must be integers [{count}], got {labels.dtype} {list(labels.shape)}")
    values, numbers = np.unique(labels.reshape(-1), return_inverse=True)
    if class_names is None:
        return numbers, tuple(str(value) for value in values)
    if class_names.ndim != 1 or any(UNPRINTABLE.search(str(name)) for name in class_names):
        raise UsageError(f"{where}: class_names must be a list of texts without control characters; save it so")
    if values[0] < 0 or values[-1] >= len(class_names):
        raise UsageError(f"{where}: labels {values[0]}..{values[-1]} do not fit {len(class_names)} class_names")
    return labels.reshape(-1), tuple(str(name) for name in class_names)
