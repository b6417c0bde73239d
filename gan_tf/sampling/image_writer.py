"""Writes generated images to a folder or .zip of PNG files, or to an .npz file.

A folder is filled image by image. If the process is killed, the same command continues with the missing images;
`unfinished.json` in the folder records the settings until all images are written. A .zip or .npz appears under its name
only when it is complete, and is written again from the start.
"""

import contextlib
import json
import os
import re
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from gan_tf.errors import UsageError
from gan_tf.io import image_files
from gan_tf.io.arrays import npz_writer
from gan_tf.io.files import part_file, remove_parts, write_atomically
from gan_tf.io.json_text import json_text

ARCHIVES = (".zip", ".npz")
# Suffixes that mean a file. Any other, as in "v1.2", may be part of the name of a folder.
OTHER_FILES = (".npy", ".tar", ".gz", ".tgz", ".7z", ".rar", ".h5", ".png", ".jpg", ".jpeg", ".webp", ".gif", ".mp4")
UNFINISHED = "unfinished.json"
PNG_COMPRESSION = 1  # higher levels take longer than generating the images
PNG_NAME = re.compile(r"seed-(\d{6,})\.png")


def png_name(seed):
    """Returns the file name of one seed's image."""
    return f"seed-{seed:06d}.png"


def archive_suffix(out):
    """Returns ".zip" or ".npz" by the suffix of a path, "" for a folder; raises UsageError for another kind of file."""
    suffix = out.suffix.lower()
    if out.is_dir() or suffix not in (*ARCHIVES, *OTHER_FILES):
        return ""
    if suffix in OTHER_FILES:
        raise UsageError(f"--out {out}: images cannot be written to a {suffix}; give a folder, a .zip or an .npz")
    return suffix


def missing_seeds(out, seeds, batch_size, settings, overwrite=False):
    """Prepares a folder for the images of `seeds`, and returns the seeds whose images must still be generated.

    Complete batches of the same unfinished command are kept; others are generated again as a whole, because the
    rounding of an image can depend on its batch. Other images of these seeds are deleted.

    Args:
        settings: dict for JSON with all else that determines the images.
        overwrite: also delete unfinished images made with other settings.

    Raises:
        UsageError: the folder holds such images, or a damaged record of them, and `overwrite` is False.
    """
    out.mkdir(parents=True, exist_ok=True)
    remove_parts(out, rf"{PNG_NAME.pattern}|{re.escape(UNFINISHED)}")
    settings = json.loads(json_text({"--seeds or --count": seeds, "--batch-size": batch_size, **settings}))
    record, earlier = out / UNFINISHED, None
    if record.exists():
        try:
            earlier = dict(json.loads(record.read_bytes()))
        except (ValueError, TypeError) as error:
            if not overwrite:
                raise UsageError(f"{record} is damaged; give --overwrite to generate all images again") from error
    if earlier and earlier != settings and not overwrite:
        changed = [name for name in {**earlier, **settings} if earlier.get(name) != settings.get(name)]
        raise UsageError(
            f"--out {out} holds unfinished images made with other settings ({', '.join(changed)}); finish them with "
            "the earlier command, or give --overwrite or another --out"
        )
    if earlier != settings:
        for seed in seeds:
            (out / png_name(seed)).unlink(missing_ok=True)
        write_atomically(record, json_text(settings).encode())
    names = set(os.listdir(out))
    batches = [seeds[first : first + batch_size] for first in range(0, len(seeds), batch_size)]
    return [seed for batch in batches if not names.issuperset(map(png_name, batch)) for seed in batch]


def images_of_other_seeds(out, seeds):
    """Returns the sorted file names of images in a folder whose seeds are not in `seeds`."""
    names = set(map(png_name, seeds))
    return sorted(name for name in os.listdir(out) if PNG_NAME.fullmatch(name) and name not in names)


def image_writer(out, seeds, image_shape, descriptions=None):
    """Opens an output: a context manager that yields a function write(seeds, images uint8 [n, H, W, C]).

    Args:
        out: pathlib.Path of a folder prepared by `missing_seeds`, a .zip, or an .npz with the arrays "images" uint8
            [N, H, W, C] and "seeds" int64 [N].
        seeds: of all images, in order. An archive must be given every image in this order, a folder any of them.
        image_shape: (H, W, C).
        descriptions: {seed: text} for the PNG files; in an .npz the array "about".
    """
    writer = {".zip": _zip_writer, ".npz": _npz_writer, "": _folder_writer}[archive_suffix(out)]
    return writer(out, seeds, image_shape, descriptions or {})


@contextlib.contextmanager
def _folder_writer(out, seeds, image_shape, descriptions):
    def save(seed, image):
        image_files.save_png(out / png_name(seed), image, PNG_COMPRESSION, descriptions.get(seed))

    with ThreadPoolExecutor() as pool:
        yield lambda batch, images: list(pool.map(save, batch, images))
    (out / UNFINISHED).unlink(missing_ok=True)


@contextlib.contextmanager
def _zip_writer(out, seeds, image_shape, descriptions):
    remove_parts(out.parent, re.escape(out.name))
    with part_file(out) as file, zipfile.ZipFile(file, "w") as archive, ThreadPoolExecutor() as pool:

        def encode(seed, image):
            return image_files.png_bytes(image, PNG_COMPRESSION, descriptions.get(seed))

        def write(batch, images):
            for seed, png in zip(batch, pool.map(encode, batch, images), strict=True):
                entry = zipfile.ZipInfo(png_name(seed))  # dated 1980, so that the same images give the same bytes
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, png)

        yield write


@contextlib.contextmanager
def _npz_writer(out, seeds, image_shape, descriptions):
    remove_parts(out.parent, re.escape(out.name))
    arrays = {"seeds": np.array(seeds, np.int64)}
    if descriptions:
        arrays["about"] = np.array([descriptions[seed] for seed in seeds])
    with part_file(out) as file, npz_writer(file, (len(seeds), *image_shape), arrays) as write:
        yield lambda batch, images: write(images)
