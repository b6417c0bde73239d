"""Zip archives for tests of the datasets."""

import zipfile

import numpy as np
from PIL import Image

from tests.data.encoded import encode


def png(seed, side=16):
    """Returns noise as the bytes of a PNG file."""
    return encode(Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)))


def write_zip(path, count, folder="", seed=0, extra=()):
    """Writes a zip of `count` images in `folder`, and `extra` entries [(name, bytes)]. Returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(count):
            archive.writestr(f"{folder}{i}.png", png(seed + i))
        for name, data in extra:
            archive.writestr(name, data)
    return path
