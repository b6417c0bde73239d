"""Converts images of any mode to RGB or RGBA: with an ICC profile to sRGB, with a colour under transparent parts."""

import functools
import io

import numpy as np
from PIL import Image, ImageCms, ImageColor, features

from gan_tf.errors import UsageError

MODES = {b"RGB ": "RGB", b"GRAY": "L", b"CMYK": "CMYK"}  # Pillow's mode of a profile's colour space
SAME = 2  # levels; profiles that change no colour by more are sRGB, whose tables are rounded in many ways


def parse_colour(background):
    """Converts a colour such as "white" or "#rrggbb" to (r, g, b), each 0..255. Raises UsageError if it is unknown."""
    try:
        return ImageColor.getrgb(background)[:3]
    except ValueError:
        raise UsageError(f'--background must be a colour such as "white" or "#rrggbb", got "{background}"') from None


def to_rgb(image, colour, profile=None):
    """Converts an 8-bit Pillow image to RGB: (image, its colours were converted, its profile is broken).

    Args:
        colour: (r, g, b) under transparent parts; None: the image becomes RGBA.
        profile: bytes of an ICC profile.

    Raises:
        UsageError: Pillow was built without LittleCMS: the same images must not have other colours on another machine.
    """
    alpha, converted, broken = None, False, False
    if image.has_transparency_data:
        grey = image.mode in ("1", "L", "LA", "La")
        # Pillow converts premultiplied grey to LA only.
        image = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
        alpha = image.getchannel("A")
        image = image.getchannel("R") if grey else image.convert("RGB")
    elif image.mode not in ("L", "RGB", "CMYK", "LAB"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    if profile or image.mode == "LAB":
        if not features.check("littlecms2"):
            raise UsageError(
                "the images have colour profiles, but this Pillow was built without LittleCMS, which converts them; "
                "install one with it: pip install --force-reinstall --only-binary :all: pillow"
            )
        try:
            image, converted = _to_srgb(image, profile)
        except (ImageCms.PyCMSError, OSError, TypeError, ValueError):  # reads no file: bytes in memory
            broken = True
    image = image.convert("RGB")
    if alpha is not None:
        image.putalpha(alpha)
        if colour is not None:
            image = Image.alpha_composite(Image.new("RGBA", image.size, (*colour, 255)), image).convert("RGB")
    return image.convert("RGBA") if colour is None else image, converted, broken


def _to_srgb(image, profile):
    """Returns (an image L, RGB, CMYK or LAB as RGB, True if a profile changed its colours; LAB needs none)."""
    if image.mode == "LAB":
        return _transform(None, "LAB").apply(image), True
    mode = MODES.get(profile[16:20])
    if mode is None or (mode != image.mode and "CMYK" in (mode, image.mode)) or (mode, image.mode) == ("L", "RGB"):
        raise ValueError("a profile for other pixels")
    if (transform := _transform(profile, mode)) is None:
        return image.convert("RGB"), False
    return transform.apply(image.convert(mode)), True


@functools.lru_cache(maxsize=16)  # images of one camera or program have equal profiles
def _transform(profile, mode):
    """Returns the ImageCms transform from a profile to sRGB, which several threads may use; None if that is sRGB."""
    source, srgb = io.BytesIO(profile) if profile else ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    intent, flags = ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Flags.BLACKPOINTCOMPENSATION
    transform = ImageCms.buildTransform(source, srgb, mode, "RGB", intent, flags=flags)
    if mode not in ("L", "RGB"):
        return transform
    # By its effect: the name in a profile is often missing or wrong.
    levels = np.arange(0, 256, 15, np.uint8)
    grid = np.stack(np.meshgrid(*[levels] * (1 if mode == "L" else 3), indexing="ij"), -1).reshape(1, -1, len(mode))
    colours = Image.fromarray(grid[..., 0] if mode == "L" else grid)
    change = np.asarray(transform.apply(colours)).astype(int) - np.asarray(colours.convert("RGB"))
    return None if np.abs(change).max() <= SAME else transform
