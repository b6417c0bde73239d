"""Converted sets under GAN_TF_CACHE, which survive a kill half-way.

An entry of `data/` is a folder: `images.bin`, rows of uint8 [R, R, 3] one after the other; `facts.bin`, one record of
`doctor.FACTS` for each row; `entry.json`. While it is being made it is called `<key>.partial` and `progress.json` tells
how many source pictures are done and how many rows they became; everything behind that is cut off and made again.
"""

import contextlib
import json
import math
import os
import shutil
from pathlib import Path

import numpy as np

from gan_tf.errors import UsageError
from gan_tf.io.files import write_atomically

FLUSH_BYTES = 64 << 20  # converted between two records of progress: what a kill costs at most


def check_space(folder, need_bytes):
    """Raises UsageError if the disk under `folder` has fewer than `need_bytes` free bytes."""
    folder = Path(folder)
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if need_bytes > free:
        raise UsageError(
            f"converting this data set needs {size_text(need_bytes)} but {folder} has {size_text(free)} free; "
            f"set GAN_TF_CACHE to a folder on a larger disk, or use --limit"
        )


def size_text(count):
    """A number of bytes for people: "13.8 GB", "31 MB"."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{math.ceil(count / 1e6)} MB"


class Entry:
    """One converted set on disk, finished or not.

    Args:
        folder: where it stands when it is finished.
        shape: (R, R, 3) of a row.
        facts: dtype of the record that goes with each row.
    """

    def __init__(self, folder, shape, facts):
        self.folder = Path(folder)
        self.partial = self.folder.with_name(f"{self.folder.name}.partial")
        self.lock = self.folder.with_name(f"{self.folder.name}.lock")
        self.shape = tuple(shape)
        self.row_bytes = int(np.prod(self.shape))
        self.facts = np.dtype(facts)

    @property
    def finished(self):
        return (self.folder / "entry.json").exists()

    def load(self, in_memory):
        """Returns (images uint8 [N, R, R, 3], facts [N], unreadable [(i, reason)]) of a finished entry.

        Args:
            in_memory: read the images into an array; otherwise map the file.
        """
        entry = json.loads((self.folder / "entry.json").read_text())
        path, shape = self.folder / "images.bin", (entry["kept"], *self.shape)
        if path.stat().st_size != entry["kept"] * self.row_bytes:
            raise UsageError(f"{self.folder} is damaged; delete this folder and start again")
        if in_memory or not entry["kept"]:  # an empty file cannot be mapped
            images = np.fromfile(path, np.uint8).reshape(shape)
        else:
            images = np.memmap(path, np.uint8, "r", 0, shape)
        facts = np.fromfile(self.folder / "facts.bin", self.facts)
        return images, facts, [tuple(item) for item in entry["unreadable"]]

    def progress(self):
        """{"done": source pictures, "kept": rows, "unreadable": [[i, reason]]} of a conversion cut short, or zeros."""
        with contextlib.suppress(OSError, ValueError):
            state = json.loads((self.partial / "progress.json").read_text())
            if (self.partial / "images.bin").stat().st_size >= state["kept"] * self.row_bytes and (
                self.partial / "facts.bin"
            ).stat().st_size >= state["kept"] * self.facts.itemsize:
                return state
        return {"done": 0, "kept": 0, "unreadable": []}

    @contextlib.contextmanager
    def writer(self):
        """Yields a Writer that goes on behind `progress()`; a block that ends without an error finishes the entry."""
        state = self.progress()
        self.partial.mkdir(parents=True, exist_ok=True)
        with (
            _cut(self.partial / "images.bin", state["kept"] * self.row_bytes) as images,
            _cut(self.partial / "facts.bin", state["kept"] * self.facts.itemsize) as facts,
        ):
            writer = Writer(self, state, images, facts)
            yield writer
            writer.record("entry.json")
        os.replace(self.partial, self.folder)

    def fill(self, results):
        """Appends rows and finishes the entry.

        Args:
            results: yields (i, pixels, fact, reason) for the source pictures from number `progress()["done"]` on;
                `pixels` is None where the picture is unreadable for `reason`.
        """
        with self.writer() as writer:
            unrecorded = 0
            for i, pixels, fact, reason in results:
                if pixels is None:
                    writer.skip(i, reason)
                    continue
                writer.add(pixels[None], [fact])
                unrecorded += self.row_bytes
                if unrecorded >= FLUSH_BYTES:
                    writer.record()
                    unrecorded = 0


class Writer:
    """Appends to an unfinished entry; made by `Entry.writer`."""

    def __init__(self, entry, state, images, facts):
        self.entry = entry
        self.state = state
        self.images = images
        self.facts = facts

    @property
    def kept(self):
        """Rows of the entry so far."""
        return self.state["kept"]

    def add(self, pixels, facts):
        """Appends rows: uint8 [n, R, R, 3] and their n records, of as many source pictures."""
        self.images.write(np.ascontiguousarray(pixels).data)
        self.facts.write(np.array(facts, self.entry.facts).tobytes())
        self.state["done"] += len(pixels)
        self.state["kept"] += len(pixels)

    def skip(self, i, reason):
        """Notes that source picture i is unreadable."""
        self.state["done"] += 1
        self.state["unreadable"].append([i, reason])

    def record(self, name="progress.json"):
        """Writes how far it is after the content that this vouches for is on the disk."""
        for file in (self.images, self.facts):
            file.flush()
            os.fsync(file.fileno())
        write_atomically(self.entry.partial / name, json.dumps(self.state).encode())


def _cut(path, size):
    """Opens a file for appending after its first `size` bytes; the rest is dropped."""
    file = open(path, "r+b" if path.exists() else "w+b")  # noqa: SIM115  the caller closes it
    file.truncate(size)
    file.seek(size)
    return file


def read_rows(images, index):
    """Returns `images[index]` as uint8 [n, R, R, 3].

    Rows of a memory map are read from its file instead: that is one request for each row rather than one page fault
    for each 4 KB, and the pages count as the system's cache, not as memory of this process.

    Args:
        images: uint8 [N, R, R, 3], array or memory map in C order.
        index: int [n].
    """
    if not isinstance(images, np.memmap):
        return images[index]
    rows = np.empty((len(index), *images.shape[1:]), np.uint8)
    with open(images.filename, "rb", buffering=0) as file:
        for row, i in zip(rows, index, strict=True):
            file.seek(images.offset + int(i) * row.nbytes)
            if file.readinto(row.data) != row.nbytes:
                raise OSError(f"{images.filename} ends before image {i}; delete its folder and start again")
    return rows
