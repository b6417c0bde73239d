"""One encoded file, or one array, to one square RGB picture.

Whatever people have becomes uint8 [R, R, 3]: EXIF orientation is applied, grey and palette pictures become RGB, 16-bit
grey is scaled to 8 bits, transparency is composited on the background colour. Then the picture is cropped or padded to
a square and resized once, antialiased. Compositing comes before resizing, otherwise colours hidden under transparent
pixels would bleed into the edges.
"""

import io
import warnings
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageColor, ImageOps

from gan_tf.errors import UsageError
from gan_tf.io.files import printable

FITS = ("crop", "pad", "stretch")
MAX_PIXELS = 100_000_000  # per picture; a small file can claim more than any memory holds
MAX_FILE_BYTES = 1 << 30  # per encoded file
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")  # JPEG includes MPO, which many phones write as .jpg
WIDE_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N")

# MAX_PIXELS replaces Pillow's own, lower bound, above which it only warns.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


class UnreadableImage(Exception):
    """One picture that cannot be used; the message is the reason, without the file's name."""


class Header(NamedTuple):
    """What a picture was before it was made square: pixels wide and high after EXIF rotation, and Pillow's mode."""

    width: int
    height: int
    mode: str


def parse_colour(background):
    """Returns (r, g, b), each 0..255, of a colour name such as "white" or of "#rrggbb".

    Raises:
        UsageError: Pillow knows no such colour.
    """
    try:
        return ImageColor.getrgb(background)[:3]
    except ValueError:
        raise UsageError(f'--background must be a colour such as "white" or "#rrggbb", got "{background}"') from None


def check_fit(resolution, fit):
    """Raises UsageError where `fit_square` could not work."""
    if fit not in FITS:
        raise UsageError(f"--fit must be one of {', '.join(FITS)}, got {fit}")
    if resolution < 1:
        raise UsageError(f"--resolution must be positive, got {resolution}")


def open_image(data):
    """Opens and decodes one picture.

    Args:
        data: bytes of an encoded file, or a uint8 array [H, W], [H, W, 1], [H, W, 3] or [H, W, 4].

    Returns:
        a loaded Pillow image, upright.

    Raises:
        UnreadableImage: no known format, damaged, or more than MAX_PIXELS.
    """
    if not isinstance(data, bytes):
        return _image_of_array(np.asarray(data))
    if not data:
        raise UnreadableImage("the file is empty")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        if image.width * image.height <= MAX_PIXELS:
            image.load()  # first frame of animations
            return ImageOps.exif_transpose(image)
    except Image.DecompressionBombError:
        raise UnreadableImage(f"more than {MAX_PIXELS // 10**6} megapixels") from None
    except Image.UnidentifiedImageError:
        raise UnreadableImage(f"not a picture in a known format ({', '.join(FORMATS)})") from None
    except Exception as error:  # noqa: BLE001  damaged files raise whatever Pillow's parsers run into
        raise UnreadableImage(printable(error)) from None
    raise UnreadableImage(f"{image.width}x{image.height} is more than {MAX_PIXELS // 10**6} megapixels")


def _image_of_array(array):
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise UnreadableImage(f"need uint8 [H, W, 1, 3 or 4], got {array.dtype} {list(array.shape)}")
    if array.size == 0:
        raise UnreadableImage("no pixels")
    if array.shape[0] * array.shape[1] > MAX_PIXELS:
        raise UnreadableImage(f"{array.shape[1]}x{array.shape[0]} is more than {MAX_PIXELS // 10**6} megapixels")
    return Image.fromarray(np.ascontiguousarray(array))


def to_rgb(image, colour):
    """Converts a Pillow image of any mode to mode RGB; transparent parts show `colour` (r, g, b).

    Raises:
        UnreadableImage: float or 32-bit pixels, whose range no file states; a damaged palette.
    """
    try:
        return _to_rgb(image, colour)
    except UnreadableImage:
        raise
    except Exception as error:  # noqa: BLE001  what Pillow looks at here only, such as the transparency of a palette
        raise UnreadableImage(printable(error)) from None


def _to_rgb(image, colour):
    if image.mode in WIDE_MODES:
        return _narrow(image).convert("RGB")
    if image.mode == "F":
        raise UnreadableImage("float pixels have no stated range; save it with 8 or 16 bits")
    if not image.has_transparency_data:
        return image.convert("RGB")
    if image.mode == "La":  # Pillow converts premultiplied grey to plain grey only
        image = image.convert("LA")
    layer = image.convert("RGBA")
    below = Image.new("RGBA", layer.size, (*colour, 255))
    return Image.alpha_composite(below, layer).convert("RGB")


def _narrow(image):
    """Scales 16-bit grey to 8 bits; Pillow's own conversion clips at 255, which makes most pictures white."""
    values = np.asarray(image)
    if values.size and (values.min() < 0 or values.max() > 65535):
        raise UnreadableImage("32-bit pixels have no stated range; save it with 8 or 16 bits")
    return Image.fromarray(((values.astype(np.uint32) + 128) // 257).astype(np.uint8))  # 65535 = 257 * 255


def fit_square(image, resolution, fit, colour):
    """Makes an RGB Pillow image square, then resizes it once, antialiased, to R x R.

    Args:
        image: Pillow image, mode RGB.
        resolution: R, pixels.
        fit: "crop" keeps the centre square, "pad" adds borders of `colour`, "stretch" changes the aspect.
        colour: (r, g, b) of the borders.
    """
    size = (resolution, resolution)
    if fit == "stretch":
        return _resize(image, size)
    if fit == "pad":
        scale = resolution / max(image.size)
        inner = _resize(image, tuple(max(1, round(side * scale)) for side in image.size))
        square = Image.new("RGB", size, tuple(colour))
        square.paste(inner, ((resolution - inner.width) // 2, (resolution - inner.height) // 2))
        return square
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    # Not `resize(box=...)`: its filter would reach over the edge of the crop.
    return _resize(image.crop((left, top, left + side, top + side)), size)


def _resize(image, size):
    return image if image.size == size else image.resize(size, Image.Resampling.LANCZOS)


def is_upscaled(width, height, resolution, fit):
    """True where a picture (or arrays of sizes) has fewer pixels than the training resolution after `fit`."""
    side = np.maximum(width, height) if fit == "pad" else np.minimum(width, height)
    return side < resolution


def load_square(data, resolution, fit, colour):
    """Decodes one picture all the way: bytes or array -> (uint8 [R, R, 3], Header).

    Raises:
        UnreadableImage: see `open_image` and `to_rgb`.
    """
    image = open_image(data)
    header = Header(image.width, image.height, image.mode)
    return np.asarray(fit_square(to_rgb(image, colour), resolution, fit, colour)), header
