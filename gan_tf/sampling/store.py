"""Where generated images go: a folder or a zip of PNG files, or an `.npz`; a job that was killed goes on where it was.

A job writes into a folder: the one asked for, or one beside the file asked for until that is packed. In it a journal
tells what the job is, and which batches are on the disk. A job goes on only if all is as it was that its bytes depend
on, and then makes the same batches: the rounding of an image may depend on the size of its batch. The journal is
removed with the last step, so that a finished job is made anew when it is asked for again, and a kill before it leaves
nothing that the next start does not use or remove.

    pictures/unfinished.jsonl              {"seeds": ..., "weights": ...} and a line for each batch that is whole
    pictures/seed-000000.png
    samples.zip.unfinished/seed-000000.png
    samples.npz.unfinished/images.raw      uint8, row by row
"""

import contextlib
import os
import re
import shutil
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from gan_tf.errors import UsageError
from gan_tf.io import image_files
from gan_tf.io.files import naming_file, part_file, remove_parts
from gan_tf.sampling.journal import Journal

PACKED = (".zip", ".npz")
# What is surely not meant as the name of a folder; v1.2 is.
OTHER_FILES = (".npy", ".tar", ".gz", ".tgz", ".7z", ".rar", ".h5", ".png", ".jpg", ".jpeg", ".webp", ".gif", ".mp4")
JOURNAL = "unfinished.jsonl"
RAW = "images.raw"
FAST_COMPRESSION = 1  # of PNG files: any more would take longer than making the images
COPY_BYTES = 1 << 24
PICTURE = re.compile(r"seed-(\d{6,})\.png")


def name_of(seed):
    """File name of one seed's image."""
    return f"seed-{seed:06d}.png"


def kind_of(out):
    """ ".zip" or ".npz" by a path's suffix, "" for a folder."""
    suffix = out.suffix.lower()
    return suffix if suffix in PACKED and not out.is_dir() else ""


def check_out(out):
    """Refuses a file of another kind than zip and `.npz`.

    Raises:
        UsageError: so it is.
    """
    if out.suffix.lower() in OTHER_FILES and not out.is_dir():
        raise UsageError(f"--out {out}: images do not go into a {out.suffix}; give a folder, a .zip or an .npz")


class Store:
    """The images of one job on their way to the disk; a context that holds the journal.

    Args:
        out: pathlib.Path of a folder, a .zip or an .npz (array "images" uint8 [N, R, R, 3], "seeds" int64 [N]).
        seeds: of the images, in order.
        batch_size: images that are written at once.
        resolution: R.
        job: dict for JSON: all else that the bytes depend on; its own "about", where `about` follows from that.
        about: {seed: words} to be kept inside the PNG files; of an .npz, in its array "about".

    Attributes:
        before: images that an earlier process left whole.
        foreign: names of pictures of other seeds in the folder, sorted; they stay.

    Raises:
        UsageError: another process writes there, or an unfinished job of other settings lies there.
        OSError: it cannot be written.
    """

    def __init__(self, out, seeds, batch_size, resolution, job, about=None):
        self.out, self.seeds, self.batch_size = out, seeds, batch_size
        self.about = about or {}
        self.shape = (resolution, resolution, 3)
        self.kind = kind_of(out)
        self.folder = out.with_name(out.name + ".unfinished") if self.kind else out
        self._number = {seed: i for i, seed in enumerate(seeds[::batch_size])}  # of a batch, by its first seed
        self.job = {"format": 1, "seeds": seeds, "batch_size": batch_size, "about": list(self.about.items()), **job}

    def __enter__(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            self._journal = stack.enter_context(Journal(self.folder / JOURNAL, self.job, self.out, self.folder))
            self._done = max((part for part in self._journal.done if isinstance(part, int)), default=0)  # batches
            for part in self.folder.glob("seed-*.part"):  # what a killed process was writing
                part.unlink()
            if self.kind:
                remove_parts(self.out)
            if self.kind == ".npz":
                self._raw = stack.enter_context(self._open_raw())
            self._pool = stack.enter_context(ThreadPoolExecutor())
            self._stack = stack.pop_all()
        self.before = sum(len(self._batch(i)) for i in range(self._batches) if not self._lacks(i))
        self.foreign = [] if self.kind else self._other_pictures()
        return self

    def __exit__(self, *error):
        self._stack.close()

    @property
    def lacking(self):
        """Lists of seeds that are to be made, a batch each."""
        return [self._batch(i) for i in range(self._batches) if self._lacks(i)]

    def write(self, seeds, images):
        """Writes one batch of `lacking`, uint8 [n, R, R, 3], in the order of `lacking`."""
        index = self._number[seeds[0]]
        if self.kind == ".npz":
            with naming_file(self.folder / RAW):
                self._raw.seek(index * self.batch_size * images[0].nbytes)
                self._raw.write(np.ascontiguousarray(images).data)
                self._raw.flush()
                os.fsync(self._raw.fileno())
        else:
            list(self._pool.map(self._write_png, seeds, images))
        if index >= self._done:
            self._done = index + 1
            self._journal.add(self._done)

    def image(self, i):
        """Image number i, uint8 [R, R, 3]; before `finish`."""
        if self.kind == ".npz":
            return np.memmap(self.folder / RAW, np.uint8, "r", shape=(len(self.seeds), *self.shape))[i]
        return image_files.read_png(self.folder / name_of(self.seeds[i]))

    def finish(self):
        """Packs what is to be packed, removes what that was made of, and then the journal."""
        if self.kind == ".npz":
            self._pack_arrays()
        elif self.kind == ".zip":
            self._pack_files()
        if self.kind == ".npz":
            self._raw.close()
        if self.kind:
            for path in self.folder.iterdir():
                if path.name != JOURNAL:
                    path.unlink()
        self._journal.remove()  # last: until then the same command goes on here
        self._stack.close()
        if self.kind:
            self.folder.rmdir()

    @property
    def _batches(self):
        return -(-len(self.seeds) // self.batch_size)

    def _batch(self, i):
        return self.seeds[i * self.batch_size : (i + 1) * self.batch_size]

    def _lacks(self, i):
        """True if batch i is not whole on the disk."""
        if i >= self._done:
            return True
        return self.kind != ".npz" and not all((self.folder / name_of(seed)).exists() for seed in self._batch(i))

    def _other_pictures(self):
        own = set(map(name_of, self.seeds))
        return sorted(name for name in os.listdir(self.folder) if PICTURE.fullmatch(name) and name not in own)

    def _open_raw(self):
        path = self.folder / RAW
        path.touch()
        if not self._done:
            os.truncate(path, 0)
        rows = path.stat().st_size // int(np.prod(self.shape))
        self._done = min(self._done, self._batches if rows >= len(self.seeds) else rows // self.batch_size)
        return open(path, "r+b")

    def _write_png(self, seed, image):
        image_files.save_png(self.folder / name_of(seed), image, FAST_COMPRESSION, self.about.get(seed))

    def _pack_files(self):
        with part_file(self.out) as file, zipfile.ZipFile(file, "w") as archive:
            for seed in self.seeds:
                entry = zipfile.ZipInfo(name_of(seed))  # of 1980, so that the same images are the same bytes
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, (self.folder / name_of(seed)).read_bytes())

    def _pack_arrays(self):
        others = {"seeds": np.array(self.seeds, np.int64)}
        if self.about:
            others["about"] = np.array([self.about[seed] for seed in self.seeds])
        with part_file(self.out) as file, zipfile.ZipFile(file, "w") as archive:
            with archive.open("images.npy", "w", force_zip64=True) as entry, open(self.folder / RAW, "rb") as raw:
                shape = (len(self.seeds), *self.shape)
                header = {"descr": "|u1", "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(entry, header)
                shutil.copyfileobj(raw, entry, COPY_BYTES)
            for name, array in others.items():
                with archive.open(f"{name}.npy", "w") as entry:
                    np.lib.format.write_array(entry, array, allow_pickle=False)
