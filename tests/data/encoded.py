"""Small encoded images for tests, in folders and zip archives."""

import io
import zipfile

import numpy as np
from PIL import Image


def encode(image, kind="PNG", **options):
    """Returns a Pillow image as the bytes of a file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def encoded(seed, size=(12, 10), kind="PNG", **options):
    """Returns a smooth image, different for each seed, as the bytes of a file."""
    coarse = np.random.default_rng(seed).integers(0, 256, (3, 3, 3), np.uint8)
    return encode(Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC), kind, **options)


def write(folder, files):
    """Writes {relative path: bytes} into a folder and returns the folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def write_zip(path, files):
    """Writes {name: bytes} as a zip archive and returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path
