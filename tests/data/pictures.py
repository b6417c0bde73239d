"""Small pictures on the disk, for tests of what reads them."""

import io

import numpy as np
from PIL import Image


def encoded(seed, size=(12, 10), kind="PNG", **options):
    """A smooth picture of its own for every seed, encoded: bytes."""
    coarse = np.random.default_rng(seed).integers(0, 256, (3, 3, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(file, kind, **options)
    return file.getvalue()


def write(folder, files):
    """Writes {relative path: bytes} below a folder and returns the folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder
