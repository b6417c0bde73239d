"""Decodes one file or array to a square RGB image.

The result is uint8 [R, R, 3]. EXIF orientation is applied, grey and palette images become RGB, 16-bit grey is scaled to
8 bits, and transparent parts show the background colour. Then the image is cropped, padded or stretched to a square and
resized once with antialiasing. Compositing comes before resizing, otherwise colours hidden under transparent pixels
would bleed into the edges.
"""

import io
import warnings

import numpy as np
from PIL import Image, ImageColor, ImageOps

from gan_tf.errors import UsageError
from gan_tf.io.content import reason_of
from gan_tf.io.files import printable

MAX_PIXELS = 100_000_000  # of one image; a small file can declare more pixels than fit into memory
MAX_FILE_BYTES = 1 << 30  # of one encoded file
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")  # JPEG includes MPO, which many phones save as .jpg
WIDE_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N")

# Pillow warns above 89 megapixels; `open_image` checks MAX_PIXELS instead.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


class UnreadableImage(Exception):
    """An image that cannot be used. The message is the reason, without the name of the file."""


def parse_colour(background):
    """Converts a colour such as "white" or "#rrggbb" to (r, g, b), each 0..255. Raises UsageError if it is unknown."""
    try:
        return ImageColor.getrgb(background)[:3]
    except ValueError:
        raise UsageError(f'--background must be a colour such as "white" or "#rrggbb", got "{background}"') from None


def open_image(data):
    """Decodes an image to a Pillow image, rotated according to EXIF. Of an animation, returns the first frame.

    Args:
        data: bytes of an encoded file, or a uint8 array [H, W], [H, W, 1], [H, W, 3] or [H, W, 4].

    Raises:
        UnreadableImage: unknown format, damaged, array of another shape or dtype, or more than MAX_PIXELS.
    """
    if not isinstance(data, bytes):
        return _image_of_array(np.asarray(data))
    if not data:
        raise UnreadableImage("the file is empty")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        if image.width * image.height <= MAX_PIXELS:
            image.load()
            return ImageOps.exif_transpose(image)
    except Image.DecompressionBombError:
        raise UnreadableImage(f"more than {MAX_PIXELS // 10**6} megapixels") from None
    except Image.UnidentifiedImageError:
        formats = f"not an image in a supported format ({', '.join(FORMATS)})"
        raise UnreadableImage(reason_of(formats, data)) from None
    except Exception as error:  # noqa: BLE001  Pillow raises many types for damaged files
        raise UnreadableImage(printable(error)) from None
    raise UnreadableImage(f"{image.width}x{image.height} is more than {MAX_PIXELS // 10**6} megapixels")


def _image_of_array(array):
    """Checks a uint8 array of any supported shape and returns it as a Pillow image."""
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
    """Converts a Pillow image of any mode to RGB. Transparent parts show `colour` (r, g, b).

    Raises:
        UnreadableImage: float or 32-bit pixels, whose range is unknown; a damaged palette.
    """
    try:
        if image.mode in WIDE_MODES:
            values = np.asarray(image)
            if values.min() < 0 or values.max() > 65535:
                raise UnreadableImage("32-bit pixels have no defined range; save it with 8 or 16 bits")
            # Pillow's own conversion clips at 255, which makes most images white. 65535 = 257 * 255.
            return Image.fromarray(((values.astype(np.uint32) + 128) // 257).astype(np.uint8)).convert("RGB")
        if image.mode == "F":
            raise UnreadableImage("float pixels have no defined range; save it with 8 or 16 bits")
        if not image.has_transparency_data:
            return image.convert("RGB")
        if image.mode == "La":  # Pillow converts premultiplied grey to LA only
            image = image.convert("LA")
        background = Image.new("RGBA", image.size, (*colour, 255))
        return Image.alpha_composite(background, image.convert("RGBA")).convert("RGB")
    except UnreadableImage:
        raise
    except Exception as error:  # noqa: BLE001  such as a damaged palette, which Pillow decodes only now
        raise UnreadableImage(printable(error)) from None


def load_square(data, resolution, fit, colour):
    """Decodes an image, makes it square, and resizes it once, antialiased, to R x R.

    Args:
        data: see `open_image`.
        resolution: R, pixels.
        fit: "crop" keeps the centre square, "pad" adds borders of `colour`, "stretch" changes the aspect ratio.
        colour: (r, g, b) of borders and under transparent parts.

    Returns:
        (uint8 [R, R, 3], Pillow image that `open_image` returned).

    Raises:
        UnreadableImage: see `open_image` and `to_rgb`.
    """
    original = open_image(data)
    image = to_rgb(original, colour)
    if fit == "pad":
        scale = resolution / max(image.size)
        inner = image.resize([max(1, round(side * scale)) for side in image.size], Image.Resampling.LANCZOS)
        image = Image.new("RGB", (resolution, resolution), tuple(colour))
        image.paste(inner, ((resolution - inner.width) // 2, (resolution - inner.height) // 2))
    elif fit == "crop":
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        # Not `resize(box=...)`: its filter would also read pixels outside of the crop.
        image = image.crop((left, top, left + side, top + side))
    return np.asarray(image.resize((resolution, resolution), Image.Resampling.LANCZOS)), original
