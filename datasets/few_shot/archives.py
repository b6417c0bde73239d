"""Zip archives of the few-shot datasets: download, checksums, content.

A zip that the user has put into the downloads folder is not downloaded. Its SHA-256 is compared with checksums.tsv next
to this file. For an archive that is not listed there, the checksum of the first complete zip with the right number of
images is recorded under GAN_TF_CACHE, and later ones must be equal to it.
"""

import dataclasses
from pathlib import Path

from gan_tf.data.images import UnreadableImage
from gan_tf.data.listing import natural_key
from gan_tf.data.sources import ZipSource
from gan_tf.errors import UsageError
from gan_tf.io.files import cache_root, sha256_of
from gan_tf.pretrained.downloads import checksums_path, fetch, read_checksums, record_checksum, require_checksum

SITE = "https://data-efficient-gans.mit.edu/datasets/"


@dataclasses.dataclass(frozen=True)
class Archive:
    """One dataset: its zip on SITE and the number of images in it."""

    name: str
    file: str
    count: int

    @property
    def url(self):
        return SITE + self.file

    @property
    def path(self):
        """Path of the zip, whether downloaded or put there by hand."""
        return cache_root() / "downloads" / self.file


HUNDRED_SHOT = ("panda", "obama", "grumpy_cat", "bridge_of_sighs", "medici_fountain", "temple_of_heaven", "wuzhen")
ARCHIVES = {
    **{name: Archive(name, f"100-shot-{name}.zip", 100) for name in HUNDRED_SHOT},
    "animal_face_cat": Archive("animal_face_cat", "AnimalFace-cat.zip", 160),
    "animal_face_dog": Archive("animal_face_dog", "AnimalFace-dog.zip", 389),
}


def obtain(archive, *, offline=False, log=print):
    """Downloads the archive if it is missing, checks it, and returns its SHA-256 as hex.

    Raises:
        UsageError: it cannot be downloaded, is damaged or unsafe, has a wrong number of images, or differs from the
            recorded checksum.
    """
    if not archive.path.exists():
        fetch(archive.url, archive.path, lambda path: check(archive, path), offline=offline, log=log)
    return check(archive, archive.path, log)


def check(archive, path, log=None):
    """Compares a zip with the recorded checksum. Without a record, checks its content and records it.

    Args:
        path: the zip; may be a temporary file.
        log: called with a line of text when a checksum is recorded; None to record nothing.

    Returns:
        SHA-256 of the zip, as hex.

    Raises:
        UsageError: wrong checksum, damaged or unsafe zip, or a wrong number of images.
    """
    digest = sha256_of(path)
    recorded = _shipped_checksums().get(archive.file) or read_checksums(checksums_path()).get(archive.file)
    if recorded is None:
        read_images(archive, path)
        if log is not None:
            record_checksum(archive.url, path, digest, archive.file, log)
    require_checksum(archive.path, digest, recorded)
    return digest


def read_images(archive, path=None):
    """Reads all images of a zip, in any folders, in the order of the numbers in their names.

    Returns:
        list of (path in the zip, encoded bytes).

    Raises:
        UsageError: damaged or unsafe zip, or a wrong number of images.
    """
    path = path or archive.path
    source = ZipSource(path)
    if len(source) != archive.count:
        raise UsageError(
            f"{archive.path} holds {len(source)} images but the dataset {archive.name} has {archive.count}: delete the "
            f"file, or use it under its own path"
        )
    order = sorted(range(len(source)), key=lambda i: natural_key(source.names[i]))
    try:
        return [(source.names[i], source.read(i)) for i in order]
    except UnreadableImage as error:
        raise UsageError(f"{path} is damaged ({error}): delete it to download it again") from error


def _shipped_checksums():
    return read_checksums(Path(__file__).with_name("checksums.tsv"))
