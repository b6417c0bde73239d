"""Conversion to uint8, image grids, and PNG files."""

import contextlib
import io
import math
import warnings
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from gan_tf.errors import UsageError
from gan_tf.io.content import reason_of
from gan_tf.io.files import write_atomically

MAX_PIXELS = 64_000_000  # of a PNG in a run folder; the largest grid, of nine sizes up to 1024, has 4096x9216
MAX_SIDE = 16384  # pixels; most programs open no larger image
CHECKER = 8  # pixels of a field of the checkerboard under transparent parts


def to_uint8(images):
    """Rounds float images [..., C] in [-1, 1] to uint8 of the same shape. Values outside are clipped.

    Four channels are colours multiplied by alpha, and alpha, as networks generate them; the result has straight alpha,
    and black where it is 0.
    """
    values = np.clip((np.asarray(images, np.float32) + 1.0) * 127.5, 0, 255)
    if values.shape[-1] == 4:
        alpha = np.rint(values[..., 3:])
        colours = np.where(alpha > 0, 255 * values[..., :3] / np.maximum(values[..., 3:], 0.5), 0)
        values = np.concatenate([np.minimum(colours, 255), alpha], axis=-1)
    return np.rint(values).astype(np.uint8)


def as_rgb(images, background=(128, 128, 128)):
    """Returns images uint8 [..., C] as RGB: grey values are repeated, transparent parts show the background.

    background: (r, g, b), or an array that fits [..., 3].
    """
    if images.shape[-1] == 1:
        return np.repeat(images, 3, axis=-1)
    if images.shape[-1] == 3:
        return images
    alpha = images[..., 3:].astype(np.float32) / 255
    return np.rint(images[..., :3] * alpha + np.asarray(background, np.float32) * (1 - alpha)).astype(np.uint8)


def on_checkerboard(image):
    """Returns an image uint8 [H, W, C] as RGB, with a grey checkerboard under transparent parts."""
    if image.shape[-1] != 4:
        return as_rgb(image)
    rows, columns = (np.arange(side) // CHECKER for side in image.shape[:2])
    board = np.where((rows[:, None] + columns) % 2, 204, 255)[..., None]
    return as_rgb(image, board)


def grid(images, columns=None):
    """Arranges images row by row without gaps; unused cells are black, or transparent.

    uint8 [N, H, W, C] -> [rows * H, columns * W, C]; `columns` defaults to those of the smallest square that holds N.
    """
    count, height, width, channels = images.shape
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    cells = np.zeros((rows * columns, height, width, channels), np.uint8)
    cells[:count] = images
    return cells.reshape(rows, columns, height, width, -1).swapaxes(1, 2).reshape(rows * height, columns * width, -1)


def rgb_grid(images, columns=None):
    """The `grid` of images uint8 [N, H, W, C] in RGB: uint8 [rows * H, columns * W, 3]."""
    return on_checkerboard(grid(images, columns))


def enlarge(images, height):
    """Repeats pixels: uint8 [N, H, W, C] -> [N, height, w, C], where `height` is a multiple of H."""
    times = height // images.shape[1]
    return images if times == 1 else np.repeat(np.repeat(images, times, axis=1), times, axis=2)


def resize(image, size):
    """Resizes uint8 [H, W, C] to `size` (width, height): box means to shrink, repeated pixels to enlarge."""
    if image.shape[1::-1] == tuple(size):
        return image
    resampling = Image.Resampling.NEAREST if size[0] > image.shape[1] else Image.Resampling.BOX
    return np.asarray(as_pillow(image).resize(size, resampling)).reshape(size[1], size[0], -1)


def shrink(image, longest_side):
    """Shrinks uint8 [H, W, C] until no side is longer than `longest_side`. Smaller images are returned as they are."""
    scale = min(1.0, longest_side / max(image.shape[:2]))
    return resize(image, tuple(max(1, round(scale * side)) for side in image.shape[1::-1]))


def check_image_size(width, height, subject, remedy):
    """Raises UsageError if a side is longer than MAX_SIDE. The message starts with `subject` and ends with `remedy`."""
    if max(width, height) > MAX_SIDE:
        raise UsageError(
            f"{subject}: the image would have {width}x{height} pixels, more than the {MAX_SIDE} a side that most "
            f"programs open; {remedy}"
        )


def evenly_spaced(items, most) -> list:
    """Returns at most `most` of the items at even distances, with the first and the last (for 1: the first)."""
    if len(items) <= most:
        return list(items)
    return [items[round(i * (len(items) - 1) / max(1, most - 1))] for i in range(most)]


def read_png(path, channels=3):
    """Reads an untrusted PNG file as uint8 [H, W, channels]. Raises UsageError if it is damaged or above MAX_PIXELS."""
    with _open_png(path) as image:
        pixels = np.asarray(image.convert({1: "L", 3: "RGB", 4: "RGBA"}[channels]))
        return pixels.reshape(*pixels.shape[:2], channels)


def png_size(path):
    """Returns (width, height) from a PNG file's header. Raises UsageError as `read_png` does."""
    with _open_png(path) as image:
        return image.size


@contextlib.contextmanager
def _open_png(path):
    """Opens an untrusted PNG file as a PIL image. Any error in the block becomes a UsageError that names the file."""
    try:
        if not Path(path).is_file():
            raise ValueError("not a regular file")
        with warnings.catch_warnings(action="error", category=Image.DecompressionBombWarning):
            image = Image.open(path, formats=["PNG"])
        with image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"{image.width}x{image.height} pixels")
            yield image
    except Exception as error:  # Pillow raises many types for damaged files
        raise UsageError(f"{path} is damaged ({reason_of(error, path)}); remove it") from error


def save_png(path, image, compress_level=6, description=None):
    """Writes uint8 [H, W, C] as PNG, atomically, and returns the path. For the arguments see `png_bytes`."""
    write_atomically(path, png_bytes(image, compress_level, description))
    return Path(path)


def png_bytes(image, compress_level=6, description=None):
    """Encodes uint8 [H, W, C] as PNG, with the text `description` in its metadata.

    compress_level: 0 to 9 (zlib). 1 is three times as fast as 6, and the files are a seventh larger.
    """
    info, buffer = PngInfo(), io.BytesIO()
    if description is not None:
        info.add_itxt("Description", description)
    as_pillow(np.asarray(image)).save(buffer, format="PNG", compress_level=compress_level, pnginfo=info)
    return buffer.getvalue()


def as_pillow(image):
    """Returns an array uint8 [H, W, C] as a Pillow image."""
    return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
