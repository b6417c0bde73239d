"""Converts images with an ICC profile to sRGB."""

import functools
import io

import numpy as np
from PIL import Image, features

from gan_tf.errors import UsageError

MODES = {b"RGB ": "RGB", b"GRAY": "L", b"CMYK": "CMYK"}  # Pillow's mode of a profile's colour space
SAME = 2  # levels; profiles that change no colour by more are sRGB, whose tables are rounded in many ways


class BrokenProfile(Exception):
    """A profile that cannot be read, or one for other kinds of pixels."""


def to_srgb(image, profile):
    """Returns (an image RGB, True if a profile changed its colours; False if the colours are sRGB already).

    Args:
        image: Pillow image of mode L, RGB, CMYK or LAB, without transparency.
        profile: bytes of an ICC profile. LAB needs none.

    Raises:
        BrokenProfile: the image can be used without the profile.
        UsageError: Pillow was built without LittleCMS: the same images must not have other colours on another machine.
    """
    if not features.check("littlecms2"):
        raise UsageError(
            "the images have colour profiles, but this Pillow was built without LittleCMS, which converts them; "
            "install one with it: pip install --force-reinstall --only-binary :all: pillow"
        )
    if image.mode == "LAB":
        return _transform(None, "LAB").apply(image), True
    mode = MODES.get(profile[16:20])
    if mode is None or (mode != image.mode and "CMYK" in (mode, image.mode)) or (mode, image.mode) == ("L", "RGB"):
        raise BrokenProfile
    if (transform := _transform(profile, mode)) is None:
        return image.convert("RGB"), False
    return transform.apply(image.convert(mode)), True


@functools.lru_cache(maxsize=16)  # images of one camera or program have equal profiles
def _transform(profile, mode):
    """Returns the ImageCms transform from a profile to sRGB, which several threads may use; None if that is sRGB.

    Raises BrokenProfile.
    """
    from PIL import ImageCms

    flags = ImageCms.Flags.BLACKPOINTCOMPENSATION
    try:
        source = io.BytesIO(profile) if profile else ImageCms.createProfile("LAB")
        transform = ImageCms.buildTransform(
            source, _srgb(), mode, "RGB", ImageCms.Intent.RELATIVE_COLORIMETRIC, flags=flags
        )
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        raise BrokenProfile from None
    if mode not in ("L", "RGB"):
        return transform
    # By its effect: the name in a profile is often missing or wrong.
    levels = np.arange(0, 256, 15, np.uint8)
    grid = np.stack(np.meshgrid(*[levels] * (1 if mode == "L" else 3), indexing="ij"), -1).reshape(1, -1, len(mode))
    colours = Image.fromarray(grid[..., 0] if mode == "L" else grid)
    change = np.asarray(transform.apply(colours)).astype(int) - np.asarray(colours.convert("RGB"))
    return None if np.abs(change).max() <= SAME else transform


@functools.cache
def _srgb():
    from PIL import ImageCms

    return ImageCms.createProfile("sRGB")
