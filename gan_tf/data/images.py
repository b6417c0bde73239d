"""Decodes one file or array to an image of given shape and channels. All images of users are read here.

The result is uint8 [H, W, C] in sRGB. EXIF orientation and colour profiles are applied, 16-bit images are scaled to 8
bits, and transparent parts show the background colour, unless the image keeps its transparency. Then it is cropped,
padded or stretched to the aspect ratio and resized once with antialiasing. Compositing comes before resizing, otherwise
colours hidden under transparent pixels would bleed into the edges; RGBA is resized with premultiplied colours.

Metadata that cannot be read does not lose the image: it is used without them, and counted.
"""

import contextlib
import io
import sys
import warnings
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image, features

from gan_tf.data.arrays import conversion_of
from gan_tf.data.colour import to_rgb
from gan_tf.data.containers import without_metadata
from gan_tf.errors import UsageError
from gan_tf.io.content import reason_of
from gan_tf.io.files import printable
from gan_tf.io.image_files import as_pillow

MAX_PIXELS = 100_000_000  # of one image; a small file can declare more pixels than fit into memory
MAX_FILE_BYTES = 1 << 30  # of one encoded file
FORMATS = ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"]  # JPEG includes MPO, which many phones save as .jpg
# Formats that depend on the installation: {name: (suffixes, remedy)}.
OPTIONAL = {
    "AVIF": ((".avif",), 'pip install "pillow>=11.3"'),
    "HEIF": ((".heic", ".heif", ".hif"), "pip install pillow-heif"),
}
if features.check("avif"):
    FORMATS.append("AVIF")
with contextlib.suppress(ImportError):
    import pillow_heif

    pillow_heif.register_heif_opener()
    FORMATS.append("HEIF")

WIDE_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N")
# 16-bit colours, of which Pillow reads the high bytes only: {raw mode: (one that reads the low bytes, their channels)}.
SWAPPED = {"16B": "16L", "16L": "16B", "16N": "16B" if sys.byteorder == "little" else "16L"}
LOW_BYTES = {
    f"{mode};{old}": (f"{mode};{new}", slice(None)) for mode in ("RGB", "RGBA") for old, new in SWAPPED.items()
}
LOW_BYTES["LA;16B"] = ("RGBA", [1, 1, 1, 3])  # read as four bytes
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # of EXIF orientations

# Pillow warns above 89 megapixels; `_decode` checks MAX_PIXELS instead. It also warns of metadata, without a file name.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", module=r"PIL\.")


class UnreadableImage(Exception):
    """An image that cannot be used. The message is the reason, without the name of the file."""


class Facts(NamedTuple):
    """Properties of an image before it was fitted to a shape."""

    size: tuple  # (width, height), upright
    mode: str  # of Pillow
    bits: int = 0  # of a 16-bit image: bits that its largest value needs, at least 8 in colours; 0 for other images
    converted: bool = False  # from a colour profile to sRGB
    without_metadata: bool = False  # it has metadata that cannot be read
    reread: bool = False  # other pixels than gan_tf 0.1 read, or none


def read_image(data, colour, bits=16):
    """Decodes an image to a Pillow image of mode RGB, in sRGB and upright. Of an animation, returns the first frame.

    Args:
        data: bytes of an encoded file, or a uint8 array [H, W], [H, W, 1], [H, W, 3] or [H, W, 4].
        colour: (r, g, b) under transparent parts; None: the image becomes RGBA.
        bits: of the 16 bits per value of 16-bit images, those that hold data; larger values become white.

    Returns:
        (image, Facts).

    Raises:
        UnreadableImage: unknown format, damaged, array of another shape or dtype, more than MAX_PIXELS; float or 32-bit
            pixels, whose range is unknown.
        UsageError: see `to_rgb`.
    """
    if not isinstance(data, bytes):
        image = _image_of_array(np.asarray(data))
        return to_rgb(image, colour)[0], Facts(image.size, image.mode)
    if not data:
        raise UnreadableImage("the file is empty")
    image, raw_mode, content = _decode(data)
    mode, info, (turn, bad_orientation) = image.mode, image.info, _orientation(image)
    profile = info.get("icc_profile")
    try:
        image, used, special = _eight_bits(image, raw_mode, content, bits)
        rgb, converted, bad_profile = to_rgb(image, colour, profile)
        if turn is not None:
            rgb = rgb.transpose(turn)
    except (UnreadableImage, UsageError):
        raise
    except Exception as error:  # noqa: BLE001  # reads no file: such as a damaged palette, which Pillow decodes only now
        raise UnreadableImage(printable(error)) from None
    unread_profile = not profile and "icc_profile" in info  # as Pillow marks it
    broken = content is not data or bad_orientation or unread_profile or bad_profile
    return rgb, Facts(rgb.size, mode, used, converted, broken, broken or converted or special)


def _decode(data):
    """Decodes a file, if necessary without its metadata; damaged pixels are not accepted.

    Returns (Pillow image as it is stored, Pillow's name for the pixels in the file, the file decoded).
    """
    try:
        return *_open(data), data
    except UnreadableImage:
        content, info = without_metadata(data)
        if content == data:
            raise
    image, raw_mode = _open(content)
    image.info |= info
    return image, raw_mode, content


def _open(data):
    """Returns (loaded Pillow image, Pillow's name for the pixels in the file, if any)."""
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        if image.width * image.height <= MAX_PIXELS:
            arguments = image.tile[0].args if image.tile else None
            image.load()
            return image, arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    except Image.DecompressionBombError:
        raise UnreadableImage(f"more than {MAX_PIXELS // 10**6} megapixels") from None
    except Image.UnidentifiedImageError:
        raise UnreadableImage(_describe_unknown(data)) from None
    except Exception as error:  # noqa: BLE001  # reads no file: Pillow raises many types for damaged bytes
        raise UnreadableImage(printable(error)) from None
    raise UnreadableImage(f"{image.width}x{image.height} is more than {MAX_PIXELS // 10**6} megapixels")


def _describe_unknown(data):
    """Returns the reason why Pillow does not recognise a file: damaged, or a format that needs another package."""
    if data[4:8] == b"ftyp":
        name = "AVIF" if data[8:12] in (b"avif", b"avis") else "HEIF"
        if name not in FORMATS:
            return f"{name} images need another package: {OPTIONAL[name][1]}"
    return reason_of(f"not an image in a supported format ({', '.join(FORMATS)})", data)


def _orientation(image):
    """Returns (how to turn the image upright, or None; True if its EXIF orientation cannot be read)."""
    try:
        Image.Exif().load(image.info.get("exif") or b"")  # opening a JPEG hides errors from the next line
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
        return TURNS.get(orientation), orientation not in range(9)  # some programs write 0 for "unknown"
    except Exception:  # noqa: BLE001  # reads no file: Pillow raises many types for damaged EXIF
        return None, True


def _eight_bits(image, raw_mode, data, bits):
    """Scales a 16-bit image to 8 bits: (image, bits that it uses; 0 for others, True if gan_tf 0.1 read it otherwise).

    Raises UnreadableImage for float and 32-bit pixels.
    """
    transparent, inverted = image.info.get("transparency"), False
    if image.mode == "F":
        raise UnreadableImage("float pixels have no defined range; save it with 8 or 16 bits")
    if image.mode in WIDE_MODES:
        values = np.asarray(image)[..., None]
        if values.min() < 0 or values.max() > 65535:
            raise UnreadableImage("32-bit pixels have no defined range; save it with 8 or 16 bits")
        used, eight = int(values.max()).bit_length(), _scale(values, bits)
        if inverted := getattr(image, "tag_v2", {}).get(262) == 0:  # TIFF in which 0 is white; Pillow ignores it here
            eight = 255 - eight
    elif raw_mode in LOW_BYTES:
        high = np.asarray(image)
        used = 8 + int(high[..., :3].max()).bit_length()
        if bits == 16 and transparent is None:
            return image, used, False
        values = high.astype(np.uint16) << 8 | _low_bytes(data, raw_mode)
        eight = high if bits == 16 else _scale(values, bits)
    else:
        return image, 0, image.format in OPTIONAL
    if transparent is not None:
        alpha = np.where((values == transparent).all(-1, keepdims=True), 0, 255).astype(np.uint8)
        eight = np.concatenate([eight, alpha], -1)
    eight = eight[..., 0] if eight.shape[-1] == 1 else eight
    return Image.fromarray(eight), used, inverted or transparent is not None


def _low_bytes(data, raw_mode):
    """Decodes the low bytes of 16-bit colours: uint8 [H, W, C]."""
    mode, channels = LOW_BYTES[raw_mode]
    image = Image.open(io.BytesIO(data), formats=FORMATS)
    for i, tile in enumerate(image.tile):
        image.tile[i] = tile._replace(args=mode if isinstance(tile.args, str) else (mode, *tile.args[1:]))
    image.load()
    return np.asarray(image)[..., channels]


def _scale(values, bits):
    """Scales integers of this many bits to uint8, rounded; larger ones become 255."""
    # Pillow's own conversion clips at 255, which makes most images white.
    top = 2**bits - 1
    return np.minimum((values.astype(np.uint32) * 510 + top) // (2 * top), 255).astype(np.uint8)


def _image_of_array(array):
    """Checks a uint8 array of any supported shape and returns it as a Pillow image."""
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    conversion = conversion_of("image", array.dtype, array.shape)
    if conversion or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))):
        remedy = conversion and f"; give {conversion}"
        raise UnreadableImage(f"need uint8 [H, W, 1, 3 or 4], got {array.dtype} {list(array.shape)}{remedy}")
    if array.size == 0:
        raise UnreadableImage("no pixels")
    if array.shape[0] * array.shape[1] > MAX_PIXELS:
        raise UnreadableImage(f"{array.shape[1]}x{array.shape[0]} is more than {MAX_PIXELS // 10**6} megapixels")
    return Image.fromarray(np.ascontiguousarray(array))


def load_image(data, shape, fit, colour, bits=16, channels="rgb"):
    """Decodes an image, gives it an aspect ratio, and resizes it once, antialiased.

    Args:
        data, bits: see `read_image`.
        shape: (height, width) in pixels.
        fit: "crop" keeps the largest part with the aspect ratio at the centre, "pad" adds borders, "stretch" changes
            the aspect ratio.
        colour: (r, g, b) of borders and under transparent parts.
        channels: "rgb"; "grey", the luma of the colours; or "rgba", with transparent borders, where `colour` is unused.

    Returns:
        (uint8 [height, width, C], Facts).

    Raises:
        UnreadableImage, UsageError: see `read_image`.
    """
    image, facts = read_image(data, None if channels == "rgba" else colour, bits)
    image, (height, width) = image.convert("L") if channels == "grey" else image, shape
    if fit == "pad":
        left, top, right, bottom = padded_box(image.size, shape)
        inner = image.resize((right - left, bottom - top), Image.Resampling.LANCZOS)
        border = Image.new("RGB", (width, height), tuple(colour)).convert(image.mode)
        if channels == "rgba":
            border.putalpha(0)
        border.paste(inner, (left, top))
        image = border
    elif fit == "crop":
        # The largest box with the aspect ratio. Not `resize(box=...)`: its filter would also read pixels outside of it.
        scale = min(image.width / width, image.height / height)
        inner_width, inner_height = (max(1, round(side * scale)) for side in (width, height))
        left, top = (image.width - inner_width) // 2, (image.height - inner_height) // 2
        image = image.crop((left, top, left + inner_width, top + inner_height))
    pixels = np.asarray(image.resize((width, height), Image.Resampling.LANCZOS))
    return pixels.reshape(height, width, -1), facts


def undo_fit(image, fit, size):
    """Gives an image the shape of an original that `load_image` padded or stretched.

    Args:
        image: uint8 [H, W, C].
        fit: "pad" or "stretch".
        size: (width, height) of the original.

    Returns:
        uint8 [height, width, C].
    """
    pillow = as_pillow(image)
    if fit == "pad":
        pillow = pillow.crop(padded_box(size, image.shape[:2]))
    return np.asarray(pillow.resize(size, Image.Resampling.LANCZOS)).reshape(size[1], size[0], -1)


def padded_box(size, shape):
    """Box (left, top, right, bottom) of an image of `size` (width, height) in the padded image of `shape` (h, w)."""
    height, width = shape
    scale = min(width / size[0], height / size[1])
    inner_width, inner_height = (max(1, round(side * scale)) for side in size)
    left, top = (width - inner_width) // 2, (height - inner_height) // 2
    return left, top, left + inner_width, top + inner_height
