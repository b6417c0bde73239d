"""Files of the face datasets: location, content checks, reading.

They are read in place: TensorFlow Datasets would write them a second time, and a kill would lose all of its work. Names
and order are the same for a folder, a zip and a tar, so that a run continues with the same dataset in another form.
"""

import dataclasses
import os
import re
import tarfile
from pathlib import Path, PurePosixPath

from gan_tf.data.images import UnreadableImage
from gan_tf.data.listing import natural_key, safe_name
from gan_tf.data.sources import FileSource, FolderSource, ImageSource, ZipSource, check_file_size
from gan_tf.errors import UsageError
from gan_tf.io.arrays import DAMAGED
from gan_tf.io.content import reason_of
from gan_tf.io.files import raise_fault

# Entries of a tar that extend the header of the next one: long names, and pax.
EXTENSIONS = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE)
EXTENSIONS += (tarfile.SOLARIS_XHDTYPE,)
MAX_EXTENSION_BYTES = 1 << 16


@dataclasses.dataclass(frozen=True)
class FaceSet:
    """One face dataset."""

    name: str
    count: int  # images
    stems: tuple  # names of its folder or archive, without .zip or .tar: the name above, then the published ones
    inner: str  # only images in folders of this name are read, if there are any
    get: str  # instructions for the download


FACES = {
    "celeba_hq": FaceSet(
        "celeba_hq",
        30_000,
        ("celeba_hq", "CelebAMask-HQ", "celeba_hq_256", "data256x256"),
        "CelebA-HQ-img",
        "CelebAMask-HQ.zip from https://github.com/switchablenorms/CelebAMask-HQ, or data256x256 made as "
        "https://github.com/tkarras/progressive_growing_of_gans says (for non-commercial research, see "
        "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html)",
    ),
    "ffhq": FaceSet(
        "ffhq",
        70_000,
        ("ffhq", "thumbnails128x128"),
        "thumbnails128x128",
        "the folder thumbnails128x128 from https://github.com/NVlabs/ffhq-dataset (CC BY-NC-SA 4.0)",
    ),
}


def instructions(face_set, folder):
    """Returns one line with the file to download and the folder for it."""
    *others, last = face_set.stems
    return (
        f"download {face_set.get}; put the folder, or a zip or an uncompressed tar of it, into {folder}, called "
        f"{', '.join(others)}{' or ' if others else ''}{last}"
    )


def open_faces(face_set, folder):
    """Opens a face dataset from the user's files in `folder`, as a FaceSource; None if there are none.

    Raises:
        UsageError: damaged or unsafe archive, or a wrong number of images.
    """
    kinds = {"": FolderSource, ".zip": ZipSource, ".tar": TarSource}
    for stem in face_set.stems:
        for suffix, kind in kinds.items():
            path = Path(folder) / f"{stem}{suffix}"
            if path.is_file() if suffix else path.is_dir():
                return FaceSource(face_set, kind(path))
    return None


class FaceSource(ImageSource):
    """The images of a face dataset, without classes: sub-folders are ignored.

    Args:
        face_set: FaceSet.
        files: source of all images in the folder or archive.
    """

    def __init__(self, face_set, files):
        inner = [i for i, name in enumerate(files.names) if face_set.inner in PurePosixPath(name).parts]
        rows = inner or range(len(files))
        if len(rows) != face_set.count:
            raise UsageError(
                f"{files.where} holds {len(rows)} images but the dataset {face_set.name} has {face_set.count}: "
                f"download it again, or give --dataset the path itself"
            )
        self.files = files
        names = {i: PurePosixPath(files.names[i]).name for i in rows}
        if len(set(names.values())) < len(names):
            names = {i: files.names[i] for i in rows}
        self.rows = sorted(rows, key=lambda i: natural_key(names[i]))
        super().__init__(face_set.name, [names[i] for i in self.rows], where=files.where)

    def read(self, i):
        """Returns an encoded image.

        Raises:
            UsageError: it cannot be read. The image is not skipped, since the download is damaged.
        """
        try:
            return self.files.read(self.rows[i])
        except UnreadableImage as error:
            raise UsageError(f"{self.where} is damaged ({self.names[i]}: {error}): download it again") from error

    def stamps(self):
        stamps = self.files.stamps()
        return [stamps[i] for i in self.rows]


class BoundedTarInfo(tarfile.TarInfo):
    """Refuses large extended headers, and long numbers in them, which tarfile before Python 3.11.10 reads for hours."""

    def _proc_member(self, archive):  # tarfile's documented hook for subclasses
        if self.type in EXTENSIONS:
            start = archive.fileobj.tell()
            if not 0 <= self.size <= MAX_EXTENSION_BYTES or re.search(rb"\d{64}", archive.fileobj.read(self.size)):
                raise tarfile.ReadError("an impossible extended header")
            archive.fileobj.seek(start)
        return super()._proc_member(archive)


class TarSource(FileSource):
    """Images in an uncompressed tar archive, read without unpacking it."""

    def __init__(self, path):
        try:
            with tarfile.open(path, "r:", tarinfo=BoundedTarInfo) as archive:
                members = list(_entries(archive))
        except (tarfile.TarError, *DAMAGED) as error:
            raise UsageError(
                f"{path} is not a complete, uncompressed tar archive ({reason_of(error, path)}); download it again"
            ) from None
        self.path = path
        self.members = {safe_name(entry.name, path): entry for entry in members if entry.type in tarfile.REGULAR_TYPES}
        super().__init__(Path(path).stem, list(self.members), path)

    def content(self, path, most):
        member = self.members[path]
        check_file_size(member.size, most)
        if member.issparse():
            raise UnreadableImage("sparse file")
        try:
            with open(self.path, "rb") as file:  # one handle per thread
                if member.offset_data + member.size > os.fstat(file.fileno()).st_size:
                    raise UnreadableImage("the archive ends before it")
                file.seek(member.offset_data)
                return file.read(member.size)
        except OSError as error:
            raise_fault(error, self.path)
            raise UnreadableImage(error.strerror or str(error)) from None


def _entries(archive):
    """Yields the entries of a tarfile.TarFile; raises ReadError for a negative size, which would make it loop."""
    position = -1
    for member in archive:
        if member.size < 0 or archive.offset <= position:
            raise tarfile.ReadError("an entry of a negative size")
        position = archive.offset
        yield member
