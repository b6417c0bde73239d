"""Pictures for people: rounding to uint8, grids, PNG files."""

import contextlib
import io
import math
import warnings
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from gan_tf.errors import UsageError
from gan_tf.io.files import printable, write_atomically

# Of a picture in a run folder. The largest shows nine sizes of a network that grew to 1024: 4096 x 9216.
MOST_PIXELS = 64_000_000
LONGEST_SIDE = 16384  # pixels of a picture that other programs still open


def to_uint8(images):
    """Rounds float images in [-1, 1] to uint8 of the same shape; values outside are clipped, never wrapped."""
    scaled = (np.asarray(images, np.float32) + 1.0) * 127.5
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def grid(images, columns=None):
    """Lays images out row by row, without gaps.

    Args:
        images: uint8 [N, H, W, 3], N >= 1.
        columns: images in a row; default the smallest square that holds them all.

    Returns:
        uint8 [rows * H, columns * W, 3]; places left over are black.
    """
    count, height, width, channels = images.shape
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    cells = np.zeros((rows * columns, height, width, channels), np.uint8)
    cells[:count] = images
    cells = cells.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    return cells.reshape(rows * height, columns * width, channels)


def enlarge(images, size):
    """Repeats pixels until the sides are `size` long, a multiple of R: uint8 [N, R, R, 3] -> [N, size, size, 3]."""
    times = size // images.shape[1]
    return images if times == 1 else np.repeat(np.repeat(images, times, axis=1), times, axis=2)


def resize(image, size):
    """uint8 [H, W, 3] at `size`, (width, height): smaller by means over pixels, larger by repeating them."""
    if image.shape[1::-1] == tuple(size):
        return image
    how = Image.Resampling.NEAREST if size[0] > image.shape[1] else Image.Resampling.BOX
    return np.asarray(Image.fromarray(image).resize(size, how))


def shrink(image, longest_side):
    """uint8 [H, W, 3] with no side longer than `longest_side`, by means over pixels; a smaller one as it is."""
    scale = min(1.0, longest_side / max(image.shape[:2]))
    return resize(image, tuple(max(1, round(scale * side)) for side in image.shape[1::-1]))


def check_image_size(width, height, what, remedy):
    """Refuses a picture that other programs would not open, before it is made.

    Raises:
        UsageError: a side is longer than LONGEST_SIDE; the line begins with `what` and ends with `remedy`.
    """
    if max(width, height) > LONGEST_SIDE:
        raise UsageError(
            f"{what}: the picture would have {width}x{height} pixels, and other programs open {LONGEST_SIDE} a side; "
            f"{remedy}"
        )


def evenly_spaced(moments, most) -> list:
    """At most so many of a list, evenly spread, with the first and the last; of one, the first."""
    if len(moments) <= most:
        return list(moments)
    return [moments[round(i * (len(moments) - 1) / max(1, most - 1))] for i in range(most)]


def read_png(path):
    """uint8 [H, W, 3] of a PNG file in a run folder, which may come from anyone.

    Raises:
        UsageError: it is none, damaged, or larger than any picture of ours.
    """
    with _opened(path) as image:
        return np.asarray(image.convert("RGB"))


def png_size(path):
    """(width, height) of a PNG file in a run folder, by its first bytes.

    Raises:
        UsageError: as `read_png`, as far as these bytes tell.
    """
    with _opened(path) as image:
        return image.size


@contextlib.contextmanager
def _opened(path):
    """The PIL image of a PNG file that may come from anyone; what goes wrong in the block is told of the file."""
    try:
        if not Path(path).is_file():
            raise ValueError("no plain file")
        with warnings.catch_warnings(action="error", category=Image.DecompressionBombWarning):
            image = Image.open(path, formats=["PNG"])
        with image:
            if image.width * image.height > MOST_PIXELS:
                raise ValueError(f"{image.width}x{image.height} pixels")
            yield image
    except Exception as error:  # damaged files raise whatever Pillow's parsers run into
        raise UsageError(f"{path} is damaged ({printable(error)}); remove it") from error


def save_png(path, image, compress_level=6, description=None):
    """Writes uint8 [H, W, 3] as PNG, atomically. Arguments are those of `png_bytes`; returns the path."""
    write_atomically(path, png_bytes(image, compress_level, description))
    return Path(path)


def png_bytes(image, compress_level=6, description=None):
    """Encodes uint8 [H, W, 3] as PNG.

    `compress_level` is zlib's, 0 to 9: 1 is three times as fast as 6, for files a seventh larger. `description`: text
    stored in the file.
    """
    info, buffer = PngInfo(), io.BytesIO()
    if description is not None:
        info.add_itxt("Description", description)
    Image.fromarray(np.asarray(image)).save(buffer, format="PNG", compress_level=compress_level, pnginfo=info)
    return buffer.getvalue()
