"""Small encoded images for tests, in folders, zip and tar archives."""

import io
import tarfile
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


def noise_png(seed):
    """Returns 16x16 pixels of noise as the bytes of a PNG file."""
    return encode(Image.fromarray(np.random.default_rng(seed).integers(0, 256, (16, 16, 3), np.uint8)))


def numbered(count, folder="", seed=0):
    """Returns {name: bytes} of noise images with numbers as names."""
    return {f"{folder}{i}.png": noise_png(seed + i) for i in range(count)}


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
    path.write_bytes(zip_bytes(files.items()))
    return path


def zip_bytes(members, packing=zipfile.ZIP_STORED):
    """Returns a zip archive of [(name, content)]."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", packing) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, packing)
    return file.getvalue()


def tar_bytes(files, mode="w", links=()):
    """Returns {name: bytes} and symbolic links [(name, target)] as a tar archive."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for name, target in links:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
    return file.getvalue()
