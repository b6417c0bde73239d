"""The files of the face sets: where they must lie, how they are checked and read.

They are read in place. Prepared by TensorFlow Datasets they would be written a second time, in one go, so that a kill
would cost all of it. Whatever holds the pictures, a folder, a zip or a tar, names and order are the same: a run goes on
with the same set in another form.
"""

import dataclasses
import os
import re
import tarfile
from pathlib import Path, PurePosixPath

from gan_tf.data.digests import file_stamp
from gan_tf.data.images import MAX_FILE_BYTES, UnreadableImage
from gan_tf.data.sources import FolderSource, ImageSource, ZipSource, classes_of, pick_images, safe_name
from gan_tf.errors import UsageError
from gan_tf.io.files import printable
from gan_tf.io.npz import DAMAGED
from gan_tf_datasets.few_shot.archives import natural

# Types of entries that tell of the entry behind them, in words: long names, and what pax adds.
HEADERS = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)
MOST_WORDS = 1 << 16  # bytes of such an entry


@dataclasses.dataclass(frozen=True)
class FaceSet:
    """One set.

    Attributes:
        count: pictures.
        stems: names under which publishers and packers hand it on, without .zip or .tar; ours first.
        inner: folder that holds the pictures where the whole has other pictures too.
        get: what to download, from where.
    """

    name: str
    count: int
    stems: tuple
    inner: str
    get: str


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


def find(face_set, folder):
    """Returns the path of a set's folder, .zip or .tar below `folder`, None if there is none."""
    for stem in face_set.stems:
        for suffix in ("", ".zip", ".tar"):
            path = Path(folder) / f"{stem}{suffix}"
            if path.is_dir() if not suffix else path.is_file():
                return path
    return None


def instructions(face_set, folder):
    """One line: what to download, and where to put it."""
    *others, last = face_set.stems
    return (
        f"download {face_set.get}; put the folder, or a zip or an uncompressed tar of it, into {folder}, called "
        f"{', '.join(others)}{' or ' if others else ''}{last}"
    )


def open_faces(face_set, folder):
    """Opens a set from what the user has put into `folder`.

    Returns:
        FaceSource; or None where there is nothing of it.

    Raises:
        UsageError: damaged or unsafe archive, or a count other than the set's.
    """
    path = find(face_set, folder)
    if path is None:
        return None
    kinds = {".zip": ZipSource, ".tar": TarSource}
    return FaceSource(face_set, FolderSource(path) if path.is_dir() else kinds[path.suffix](path))


class FaceSource(ImageSource):
    """The pictures of a face set in an unpacked folder or an archive, without classes: sub-folders mean nothing here.

    Args:
        face_set: FaceSet.
        files: source of all pictures that there are.
    """

    def __init__(self, face_set, files):
        within = [i for i, name in enumerate(files.names) if face_set.inner in PurePosixPath(name).parts]
        rows = within or range(len(files))
        if len(rows) != face_set.count:
            raise UsageError(
                f"{files.where} holds {len(rows)} pictures but the set {face_set.name} has {face_set.count}: download "
                f"it again, or give --dataset the path itself"
            )
        self.files = files
        names = {i: PurePosixPath(files.names[i]).name for i in rows}
        if len(set(names.values())) < len(names):
            names = {i: files.names[i] for i in rows}
        self.rows = sorted(rows, key=lambda i: natural(names[i]))
        super().__init__(face_set.name, [names[i] for i in self.rows], where=files.where)

    def read(self, i):
        """A picture, encoded; one that cannot be read means a bad download, not a picture to go without.

        Raises:
            UsageError: see above.
        """
        try:
            return self.files.read(self.rows[i])
        except UnreadableImage as error:
            raise UsageError(f"{self.where} is damaged ({self.names[i]}: {error}): download it again") from error

    def stamps(self):
        stamps = self.files.stamps()
        return [stamps[i] for i in self.rows]


class Member(tarfile.TarInfo):
    """An entry of a tar that leads no reader backwards, and whose words are few and quickly looked through."""

    def _proc_member(self, archive):  # where tarfile says that a sub-class may step in
        worded = self.type in HEADERS
        if self.size < 0 or (worded and self.size > MOST_WORDS):
            raise tarfile.ReadError("an entry of an impossible size")
        if worded:
            begin = archive.fileobj.tell()
            if re.search(rb"\d{64}", archive.fileobj.read(self.size)):  # tarfile's expressions take hours for more
                raise tarfile.ReadError("an impossible number")
            archive.fileobj.seek(begin)
        return super()._proc_member(archive)


class TarSource(ImageSource):
    """Pictures in an uncompressed tar archive, read in place: nothing is unpacked."""

    def __init__(self, path):
        try:
            with tarfile.open(path, "r:", tarinfo=Member) as archive:
                members = list(_entries(archive))
        except (tarfile.TarError, *DAMAGED) as error:
            raise UsageError(
                f"{path} is not a whole, uncompressed tar archive ({printable(error)}); download it again"
            ) from None
        # Plain files only: a link or a device in an archive of pictures is none of ours.
        plain = {safe_name(member.name, path): member for member in members if member.type in tarfile.REGULAR_TYPES}
        names, ignored = pick_images(plain, path)
        self.members = [plain[name] for name in names]
        super().__init__(Path(path).stem, names, *classes_of(names), path, ignored)

    def read(self, i):
        member = self.members[i]
        if member.size > MAX_FILE_BYTES or member.issparse():
            raise UnreadableImage(f"the file is sparse, or larger than {MAX_FILE_BYTES >> 20} MB")
        try:
            with open(self.where, "rb") as file:  # its own handle for every thread
                if member.offset_data + member.size > os.fstat(file.fileno()).st_size:
                    raise UnreadableImage("the archive ends before it")
                file.seek(member.offset_data)
                data = file.read(member.size)
        except OSError as error:
            raise UnreadableImage(error.strerror or str(error)) from None
        return data

    def stamps(self):
        stamp = file_stamp(self.where)
        return [f"{stamp}#{i}" for i in range(len(self))]


def _entries(archive):
    """Yields the entries of a tarfile.TarFile, as long as each lies behind the one before."""
    reached = -1
    for member in archive:
        if member.size < 0 or archive.offset <= reached:
            raise tarfile.ReadError("entries that lead backwards")
        reached = archive.offset
        yield member
