"""Images in arrays: their layout, and `.npz` files."""

import shutil
import zipfile

import numpy as np

from gan_tf.data.cache import check_space
from gan_tf.data.label_file import check_labels
from gan_tf.errors import UsageError
from gan_tf.io.arrays import DAMAGED, read_array, read_header
from gan_tf.io.content import reason_of
from gan_tf.io.files import UNPRINTABLE, cache_root, file_stamp, part_file, printable, user_path, writing_cache

CHANNELS = (1, 3, 4)
LABEL_KEYS = ("labels", "label", "y")
IN_MEMORY_BYTES = 512 << 20  # larger compressed arrays are unpacked into the cache, once


def read_npz(where):
    """Returns (images, labels, class names, names) of an .npz file, as `ArraySource` takes them.

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
        # In files of other programs "names" may be something else, which is ignored.
        is_named = names is not None and names.dtype.kind == "U" and names.shape == (len(images),)
        names = names.tolist() if is_named and not any(map(UNPRINTABLE.search, names)) else None
        return images, *check_labels(labels, class_names, len(images), where), names
    except UsageError:
        raise
    except DAMAGED as error:
        reason = reason_of(error, path)
        raise UsageError(f"{where} is not a complete .npz file ({reason}); save it again with numpy.savez") from None


def _find_images(headers, where):
    """Returns the key of the array of images."""
    shapes = {key: header[0] for key, header in headers.items()}
    for key, (_, _, dtype, _) in headers.items():
        if dtype.hasobject:
            raise UsageError(
                f'{where}: array "{printable(key)}" holds Python objects, which are not safe to load; save as uint8'
            )
    fitting = [key for key, shape in shapes.items() if len(shape) == 3 or (len(shape) == 4 and shape[3] in CHANNELS)]
    channels_first = [key for key, shape in shapes.items() if len(shape) == 4 and shape[1] in CHANNELS]
    candidates = ["images"] if "images" in (*fitting, *channels_first) else fitting or channels_first
    if len(candidates) != 1:
        contents = ", ".join(f'"{printable(key)}" {headers[key][2]} {list(shape)}' for key, shape in shapes.items())
        raise UsageError(
            f'{where} must hold one uint8 [N, H, W, 3] array, named "images"; it has {contents[:500] or "none"}'
        )
    shape, fortran, dtype, _ = headers[candidates[0]]
    if conversion := conversion_of("images", dtype, shape, fortran):
        order = " in Fortran order" * fortran
        raise UsageError(
            f'{where}: array "{printable(candidates[0])}" is {dtype} {list(shape)}{order}, and must be uint8 '
            f"[N, H, W, C] in C order; save {conversion}"
        )
    if shape[0] == 0:
        raise UsageError(f"{where} holds no images")
    return candidates[0]


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


def conversion_of(name, dtype, shape, fortran=False):
    """Returns the NumPy expression that makes uint8 [H, W, C] of the array "image", or [N, H, W, C] of "images".

    Returns "" if they are that. The range of floats is unknown: the expressions for two common ones are given.
    """
    axes = {"image": "1, 2, 0", "images": "0, 2, 3, 1"}[name]
    is_channels_first = len(shape) == len(axes.split(", ")) and shape[-3] in CHANNELS and shape[-1] not in CHANNELS
    array = f"{name}.transpose({axes})" if is_channels_first else name
    array = f"np.ascontiguousarray({array})" if fortran else array
    if dtype.kind == "f":
        return (
            f"({array} * 255).round().clip(0, 255).astype('uint8') if its values are in [0, 1], "
            f"(({array} + 1) * 127.5).round().clip(0, 255).astype('uint8') if in [-1, 1]"
        )
    if dtype == np.uint16:
        return f"({array} / 257).round().astype('uint8'), or with 12 bits of data / 16.06 in place of / 257"
    if dtype != np.uint8:
        return f"{array}.astype('uint8') if its values are in 0..255"
    return array if array != name else ""
