"""The zip archives of the few-shot sets: where they are, how they are checked and read.

A zip that the user has put into the downloads folder is used instead of the network. The SHA-256 of an archive stands
in checksums.tsv beside this file; where it does not, the first archive that is whole and holds the right number of
pictures is recorded under GAN_TF_CACHE, and every later one must be equal to it.
"""

import dataclasses
import re
from pathlib import Path

from gan_tf.data.images import UnreadableImage
from gan_tf.data.sources import ZipSource
from gan_tf.errors import UsageError
from gan_tf.io.files import cache_root, sha256_of
from gan_tf.pretrained.downloads import checksums_path, fetch, read_checksums, record_checksum, require_checksum

SITE = "https://data-efficient-gans.mit.edu/datasets/"


@dataclasses.dataclass(frozen=True)
class Archive:
    """One set: its zip on SITE and the number of pictures in it."""

    name: str
    file: str
    count: int

    @property
    def url(self):
        return SITE + self.file

    @property
    def path(self):
        """Where the zip is kept, whether fetched or put there by hand."""
        return cache_root() / "downloads" / self.file


ARCHIVES = {
    **{
        name: Archive(name, f"100-shot-{name}.zip", 100)
        for name in (
            "panda",
            "obama",
            "grumpy_cat",
            "bridge_of_sighs",
            "medici_fountain",
            "temple_of_heaven",
            "wuzhen",
        )
    },
    "animal_face_cat": Archive("animal_face_cat", "AnimalFace-cat.zip", 160),
    "animal_face_dog": Archive("animal_face_dog", "AnimalFace-dog.zip", 389),
}


def obtain(archive, *, offline=False, log=print):
    """Makes sure that the archive is in the downloads folder and is the right one.

    Returns:
        SHA-256 hex of the zip.

    Raises:
        UsageError: it cannot be fetched, is damaged or unsafe, holds another number of pictures, or differs from the
            one recorded.
    """
    if not archive.path.exists():
        fetch(archive.url, archive.path, offline=offline, log=log, check=lambda path: check(archive, path))
    return check(archive, archive.path, log)


def check(archive, path, log=None):
    """Compares a zip with the recorded checksum; without a record, checks its content and records it.

    Args:
        path: the zip; need not be at its final place.
        say: called with a line when a checksum is recorded; None leaves the record alone.

    Returns:
        SHA-256 hex.
    """
    digest = sha256_of(path)
    known = _shipped().get(archive.file) or _recorded().get(archive.file)
    if known is None:
        pictures(archive, path)
        if log is not None:
            record_checksum(archive.url, path, digest, archive.file, log)
    require_checksum(archive.path, digest, known)
    return digest


def pictures(archive, path=None):
    """Reads all pictures of a zip, flat or nested, in the order of the numbers in their names.

    Returns:
        list of (path in the zip, encoded bytes).

    Raises:
        UsageError: damaged or unsafe zip, or a count other than the set's.
    """
    path = path or archive.path
    source = ZipSource(path)
    if len(source) != archive.count:
        raise UsageError(
            f"{archive.path} holds {len(source)} images but the set {archive.name} has {archive.count}: delete the "
            f"file, or use it under its own path"
        )
    order = sorted(range(len(source)), key=lambda i: natural(source.names[i]))
    try:
        return [(source.names[i], source.read(i)) for i in order]
    except UnreadableImage as error:
        raise UsageError(f"{path} is damaged ({error}): delete it to fetch it again") from error


def natural(name):
    """Sort key that puts 2.png before 10.png."""
    return [int(part) if part.isdigit() else part for part in re.split(r"([0-9]+)", name)]


def _shipped():
    """{file: SHA-256} of the archives that were known when this was released."""
    return read_checksums(Path(__file__).with_name("checksums.tsv"))


def _recorded():
    """{file: SHA-256} of the archives that this machine has seen first."""
    return read_checksums(checksums_path())
