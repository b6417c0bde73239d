"""Small encoded images for tests, in folders, zip and tar archives."""

import io
import struct
import tarfile
import zipfile
import zlib

import numpy as np
from PIL import Image


def encode(image, kind="PNG", **options):
    """Returns a Pillow image as the bytes of a file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def smooth(seed, size):
    """Returns a smooth Pillow image, different for each seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (3, 3, 3), np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def encoded(seed, size=(12, 10), kind="PNG", **options):
    """Returns a smooth image as the bytes of a file."""
    return encode(smooth(seed, size), kind, **options)


def png_chunk(kind, body, checksum=None):
    """Returns a chunk of a PNG file; `checksum` replaces the right one."""
    checksum = zlib.crc32(kind + body) if checksum is None else checksum
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)


def icc(space, tags):
    """Returns an ICC profile of a colour space such as b"RGB " from its tags {name: content}."""
    table, body = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        table += struct.pack(">4sII", name, 132 + 12 * len(tags) + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    size, pcs = 128 + len(table) + len(body), b"Lab " if b"A2B0" in tags else b"XYZ "
    start = struct.pack(">I4xI4s4s4s12x4s28x3i48x", size, 0x02400000, b"mntr", space, pcs, b"acsp", 63190, 65536, 54061)
    return start + table + body


def rgb_icc(red, green, blue, gamma):
    """Returns an ICC profile from the (X, Y, Z) of the primaries and the gamma of all of them."""
    curve = b"curv" + struct.pack(">4xIH", 1, round(gamma * 256))
    tags = {name + b"TRC": curve for name in (b"r", b"g", b"b")}
    for name, values in ((b"r", red), (b"g", green), (b"b", blue)):
        tags[name + b"XYZ"] = b"XYZ " + struct.pack(">4x3i", *(round(value * 65536) for value in values))
    return icc(b"RGB ", tags)


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
