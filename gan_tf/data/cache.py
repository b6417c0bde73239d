"""Converted image sets on the disk, resumable after a kill.

A finished entry is a folder with `images.bin` (rows of uint8 [H, W, C]), `facts.bin` (one record per row) and
`entry.json`. While it is written, the folder is called `<key>.partial` and `progress.json` records the numbers of
source images done and of rows made from them. A restart truncates the files to that state.
"""

import contextlib
import json
import math
import os
import shutil
from pathlib import Path

import numpy as np

from gan_tf.errors import UsageError
from gan_tf.io.files import naming, raise_fault, write_atomically
from gan_tf.io.json_text import json_object, json_text

FLUSH_BYTES = 64 << 20  # of rows between two writes of progress.json; a kill loses at most these
CACHE_REMEDY = "set GAN_TF_CACHE to a folder on a larger disk, or use --limit"


def check_space(folder, need_bytes, subject="converting this dataset", remedy=CACHE_REMEDY):
    """Raises UsageError if the disk of `folder` has fewer than `need_bytes` free bytes."""
    folder = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(folder).free
    if need_bytes > free:
        raise UsageError(f"{subject} needs {bytes_text(need_bytes)} but {folder} has {bytes_text(free)} free; {remedy}")


def bytes_text(count):
    """Formats a number of bytes: "13.8 GB", "31 MB"."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{math.ceil(count / 1e6)} MB"


def stored_object(path):
    """Returns the object in a JSON file; {} if there is no such file or it is damaged, so that it is made again."""
    try:
        return json_object(path.read_bytes())
    except (OSError, ValueError) as error:
        raise_fault(error, path)
        return {}


class CacheEntry:
    """One converted set on the disk, finished or partial.

    Args:
        folder: path of the finished entry.
        shape: (H, W, C) of a row.
        facts: dtype of the record of each row.
    """

    def __init__(self, folder, shape, facts):
        self.folder = Path(folder)
        self.own = ""  # part of the partial folder's name, from `locks.locked`; only the one with "" can be continued
        self.shape, self.facts = tuple(shape), np.dtype(facts)
        self.row_bytes = math.prod(shape)

    @property
    def partial(self):
        return self.folder.with_name(f"{self.folder.name}{self.own}.partial")

    @property
    def finished(self):
        return (self.folder / "entry.json").exists()

    def load(self, in_memory):
        """Loads a finished entry, with the images in an array if `in_memory`, otherwise as a memory map.

        Returns:
            (images uint8 [N, H, W, C], facts [N], unreadable [(index in the source, reason)]).

        Raises:
            UsageError: a file has the wrong size.
        """
        with naming(self.folder):
            entry = json.loads((self.folder / "entry.json").read_text(encoding="utf-8"))
            facts = (self.folder / "facts.bin").read_bytes()  # not np.fromfile, which ignores errors of reading
        path, shape = self.folder / "images.bin", (entry["kept"], *self.shape)
        if path.stat().st_size != math.prod(shape) or len(facts) != entry["kept"] * self.facts.itemsize:
            raise UsageError(f"{self.folder} is damaged; delete this folder and start again")
        facts, images = np.frombuffer(facts, self.facts), np.empty(shape, np.uint8)
        if entry["kept"]:  # an empty file cannot be mapped
            images = np.memmap(path, np.uint8, "r", 0, shape)
            images = read_rows(images, np.arange(len(images))) if in_memory else images
        return images, facts, [tuple(item) for item in entry["unreadable"]]

    def progress(self):
        """Returns the recorded {"done": source images, "kept": rows, "unreadable": [[i, reason]]}.

        Returns zeros without a readable record, or if a file is shorter than its recorded rows: the entry starts again.
        """
        try:
            state = json.loads((self.partial / "progress.json").read_text(encoding="utf-8"))
            files = (("images.bin", self.row_bytes), ("facts.bin", self.facts.itemsize))
            if all((self.partial / name).stat().st_size >= state["kept"] * size for name, size in files):
                return state
        except (OSError, ValueError) as error:
            raise_fault(error, self.partial)
        return {"done": 0, "kept": 0, "unreadable": []}

    @contextlib.contextmanager
    def writing(self):
        """Opens a partial entry after its recorded progress, to `add`, `skip` and `record`; then marks it finished."""
        self.state = self.progress()
        self.partial.mkdir(parents=True, exist_ok=True)
        try:
            with open(self.partial / "images.bin", "ab") as images, open(self.partial / "facts.bin", "ab") as facts:
                images.truncate(self.state["kept"] * self.row_bytes)  # drops rows written after the last record
                facts.truncate(self.state["kept"] * self.facts.itemsize)
                self._files = images, facts
                yield
                self.record("entry.json")
            if not self.finished:  # else another process made it, on a file system without locks
                os.replace(self.partial, self.folder)
        finally:
            if self.own:
                shutil.rmtree(self.partial, ignore_errors=True)

    def add(self, pixels, facts):
        """Appends uint8 [n, H, W, C] and n records, made from n source images."""
        self._files[0].write(np.ascontiguousarray(pixels).data)
        self._files[1].write(np.array(facts, self.facts).tobytes())
        self.state["done"] += len(pixels)
        self.state["kept"] += len(pixels)

    def skip(self, i, reason):
        """Adds source image i to the unreadable ones."""
        self.state["done"] += 1
        self.state["unreadable"].append([i, reason])

    def record(self, name="progress.json"):
        """Flushes the rows to the disk, then writes the state to the file `name`."""
        for file in self._files:
            file.flush()
            os.fsync(file.fileno())
        write_atomically(self.partial / name, json_text(self.state).encode())


def read_rows(images, index):
    """Returns `images[index]` as uint8 [n, H, W, C], for an integer array `index` [n].

    Rows of a memory map are read from its file: one request per row is faster than a page fault per 4 KB, the pages
    count as the system's cache, not as memory of this process, and a failing disk raises an error instead of SIGBUS.
    """
    if not isinstance(images, np.memmap):
        return images[index]
    rows = np.empty((len(index), *images.shape[1:]), np.uint8)
    with naming(images.filename), open(images.filename, "rb", buffering=0) as file:
        for row, i in zip(rows, index, strict=True):
            file.seek(images.offset + int(i) * row.nbytes)
            if file.readinto(row.data) != row.nbytes:
                remedy = "if it is in the cache, delete its folder; then start again"
                raise UsageError(f"{images.filename} ends before image {i}, so it was cut short: {remedy}")
    return rows
