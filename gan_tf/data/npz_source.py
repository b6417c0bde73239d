"""`.npz` files as image sources, without pickle and without loading large arrays into memory."""

import shutil
import zipfile

import numpy as np

from gan_tf.data.cache import check_space
from gan_tf.data.sources import ArraySource, file_stamp
from gan_tf.errors import UsageError
from gan_tf.io import npz
from gan_tf.io.files import UNPRINTABLE, cache_root, part_file, printable, user_path, writing_cache

IN_MEMORY_BYTES = 512 << 20  # larger compressed arrays are unpacked into the cache, once
LABEL_KEYS = ("labels", "label", "y")


def open_npz(where):
    """Opens an `.npz` file of images as an ArraySource, which reads rows from the file on demand.

    The array "images", or the only array of a fitting shape, is uint8 [N, H, W, 3], [N, H, W, 1] or [N, H, W].
    Optional: an integer array "labels" [N], a string array "class_names" [K] and a string array "names" [N].

    Raises:
        UsageError: damaged file, object arrays, no array of images or several, or labels that do not fit.
    """
    path = user_path(where)
    try:
        with zipfile.ZipFile(path) as archive:
            entries = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            headers = {key: npz.read_header(archive, info) for key, info in entries.items()}
            key = _find_images(headers, where)
            images = _open_array(path, archive, entries[key], headers[key])
            small = {
                name: npz.read(archive, entries[name], IN_MEMORY_BYTES)
                for name in (*LABEL_KEYS, "class_names", "names")
                if name in entries
            }
        labels = next((small[name] for name in LABEL_KEYS if name in small), None)
        classes = _check_labels(labels, small.get("class_names"), len(images), where)
        return ArraySource(path.stem, images, *classes, _check_names(small.get("names"), len(images)), where)
    except UsageError:
        raise
    except npz.DAMAGED as error:
        raise UsageError(
            f"{where} is not a complete .npz file ({printable(error)}); save it again with numpy.savez"
        ) from None


def _find_images(headers, where):
    """Returns the key of the array of images."""
    for key, (_, _, dtype, _) in headers.items():
        if dtype.hasobject:
            raise UsageError(
                f'{where}: array "{printable(key)}" holds Python objects, which are not safe to load; save as uint8'
            )
    candidates = [
        key for key, (shape, *_) in headers.items() if len(shape) == 3 or (len(shape) == 4 and shape[3] in (1, 3, 4))
    ]
    if "images" not in candidates and len(candidates) != 1:
        contents = ", ".join(
            f'"{printable(key)}" {dtype} {list(shape)}' for key, (shape, _, dtype, _) in headers.items()
        )
        raise UsageError(
            f'{where} must hold one uint8 [N, H, W, 3] array, named "images"; it has {contents[:500] or "none"}'
        )
    key = "images" if "images" in candidates else candidates[0]
    shape, fortran, dtype, _ = headers[key]
    if dtype != np.uint8 or fortran:
        raise UsageError(
            f'{where}: array "{printable(key)}" must be uint8 in C order, got {dtype}; convert it to 0..255 and save'
        )
    if shape[0] == 0:
        raise UsageError(f"{where} holds no images")
    return key


def _open_array(path, archive, info, header):
    """Returns the array of one member: a memory map unless it is compressed and small."""
    shape, _, dtype, header_length = header
    if info.compress_type == zipfile.ZIP_STORED:  # as numpy.savez writes it
        with open(path, "rb") as file:
            file.seek(info.header_offset + 26)  # two lengths in the member's local header of 30 bytes
            name_length, extra_length = map(int, np.frombuffer(file.read(4), "<u2"))
        start = info.header_offset + 30 + name_length + extra_length + header_length
        return np.memmap(path, dtype, "r", start, shape)
    if info.file_size <= IN_MEMORY_BYTES:
        return npz.read(archive, info, IN_MEMORY_BYTES)
    # Named by the member's offset: its name may be a path.
    unpacked = cache_root() / "npz" / f"{file_stamp(path).replace(':', '-')}-{info.header_offset}.npy"
    if not unpacked.exists():
        check_space(unpacked.parent, info.file_size)
        with writing_cache(unpacked), part_file(unpacked) as target, archive.open(info) as packed:
            shutil.copyfileobj(packed, target, 1 << 20)
    return np.load(unpacked, mmap_mode="r", allow_pickle=False)


def _check_names(names, count):
    """Returns the names of the images; None if "names" holds something else."""
    if names is None or names.dtype.kind != "U" or names.shape != (count,):
        return None
    return None if any(map(UNPRINTABLE.search, names.tolist())) else names.tolist()


def _check_labels(labels, class_names, count, where):
    """Returns (labels int32 [N] or None, class names). Without class names, classes are numbered in order of value."""
    if labels is None:
        return None, ()
    if labels.dtype.kind not in "iu" or labels.shape not in ((count,), (count, 1)):
        raise UsageError(f"{where}: labels must be integers [{count}], got {labels.dtype} {list(labels.shape)}")
    values, numbers = np.unique(labels.reshape(-1), return_inverse=True)
    if class_names is None:
        return numbers, tuple(str(value) for value in values)
    if class_names.ndim != 1 or any(UNPRINTABLE.search(str(name)) for name in class_names):
        raise UsageError(f"{where}: class_names must be a list of strings without control characters")
    if values[0] < 0 or values[-1] >= len(class_names):
        raise UsageError(f"{where}: labels {values[0]}..{values[-1]} do not fit {len(class_names)} class_names")
    return labels.reshape(-1), tuple(str(name) for name in class_names)
