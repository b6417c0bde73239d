"""Numbered images, alone and in zip archives, for tests of the datasets."""

import numpy as np
from PIL import Image

from tests.data import encoded


def png(seed, side=16):
    """Returns noise as the bytes of a PNG file."""
    return encoded.encode(Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)))


def write_zip(path, count, folder="", seed=0, extra=None):
    """Writes a zip of `count` images in `folder`, and of {name: bytes} `extra`. Returns its path."""
    return encoded.write_zip(path, {f"{folder}{i}.png": png(seed + i) for i in range(count)} | (extra or {}))
