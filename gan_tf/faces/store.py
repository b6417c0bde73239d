"""Faces found so far, on the disk beside the result, so that a killed search goes on where it was.

The folder `OUT.partial` holds `settings.json`: what the faces depend on; `images.bin`: rows of uint8 [S, S, 3];
`faces.bin`: a FACE record for each row; `progress.json`: how many photographs are done, how many faces they gave and
how many were left out at an edge, and which photographs were unreadable. Whatever stands behind what `progress.json`
vouches for is cut off and made again.
"""

import contextlib
import json
import os
import shutil
import time
from pathlib import Path

import numpy as np

from gan_tf.errors import UsageError
from gan_tf.faces.detect import FACE
from gan_tf.io.files import take_lock, write_atomically

SAVE_SECONDS = 2  # between two records of progress: what a kill costs


class Store:
    """Owns the files of one search.

    Args:
        out: where the result will stand.
        size: S, pixels of a face.
        settings: {name: value} that the faces depend on; names are said to the user.
        anew: drop what a search with other settings left behind, rather than refuse.

    Raises:
        UsageError: a search with other settings left its work there, or one is going on.
    """

    def __init__(self, out, size, settings, anew=False):
        self.folder = Path(out).with_name(f"{Path(out).name}.partial")
        self.shape = (size, size, 3)
        self.photos, self.at_edge, self.unreadable = 0, 0, []
        self._faces = 0
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = self._take_lock(out)
        try:
            self._continue(settings, anew)
        except BaseException:
            self.close()
            raise

    def _take_lock(self, out):
        lock = open(self.folder / "lock", "ab")  # noqa: SIM115  held until `close`
        try:
            take_lock(lock, wait=False)
        except OSError:
            lock.close()
            raise UsageError(f"another gan-tf crop-faces is at work on {out}; wait for it, or stop it") from None
        return lock

    def _continue(self, settings, anew):
        path = self.folder / "settings.json"
        known = None
        with contextlib.suppress(OSError, ValueError):
            known = json.loads(path.read_text())
        if known is not None and known != settings:
            if not anew:
                raise UsageError(_differs(self.folder, known, settings))
            known = None
        if known is None:
            (self.folder / "progress.json").unlink(missing_ok=True)
            write_atomically(path, json.dumps(settings).encode())
        self._read_progress()
        self._images = _cut(self.folder / "images.bin", self._faces * int(np.prod(self.shape)))
        self._records = _cut(self.folder / "faces.bin", self._faces * FACE.itemsize)
        self._saved = time.monotonic()

    def _read_progress(self):
        row = int(np.prod(self.shape))
        with contextlib.suppress(OSError, ValueError):
            state = json.loads((self.folder / "progress.json").read_text())
            images, records = (self.folder / name for name in ("images.bin", "faces.bin"))
            if (
                images.stat().st_size >= state["faces"] * row
                and records.stat().st_size >= state["faces"] * FACE.itemsize
            ):
                self.photos, self._faces, self.at_edge = state["photos"], state["faces"], state["at_edge"]
                self.unreadable = [tuple(item) for item in state["unreadable"]]

    def __len__(self):
        """Faces so far."""
        return self._faces

    def add(self, photos, faces, images, unreadable=(), at_edge=0):
        """Appends what the next photographs gave.

        Args:
            photos: how many they were.
            faces: FACE array; `photo` counts from the source's first.
            images: uint8 arrays [S, S, 3], one for each face.
            unreadable: list of (number of the photograph, reason).
            at_edge: how many faces were left out since they are too near to an edge.
        """
        for image in images:
            self._images.write(np.ascontiguousarray(image).data)
        self._records.write(faces.tobytes())
        self.photos += photos
        self._faces += len(faces)
        self.unreadable += unreadable
        self.at_edge += at_edge
        if time.monotonic() - self._saved > SAVE_SECONDS:
            self.save()

    def save(self):
        """Puts everything so far on the disk, and then says so in `progress.json`."""
        for file in (self._images, self._records):
            file.flush()
            os.fsync(file.fileno())
        state = {name: getattr(self, name) for name in ("photos", "at_edge", "unreadable")} | {"faces": self._faces}
        write_atomically(self.folder / "progress.json", json.dumps(state).encode())
        self._saved = time.monotonic()

    def faces(self):
        """FACE array of what was saved."""
        return np.fromfile(self.folder / "faces.bin", FACE, self._faces)

    def images(self):
        """uint8 [N, S, S, 3], read from the disk when asked for; at least one face."""
        return np.memmap(self.folder / "images.bin", np.uint8, "r", 0, (self._faces, *self.shape))

    def close(self):
        """Ends the work on the files, and lets others at them."""
        for name in ("_images", "_records", "_lock"):
            if hasattr(self, name):
                getattr(self, name).close()

    def remove(self):
        """Deletes the folder, once the result stands."""
        self.close()
        shutil.rmtree(self.folder)


def _differs(folder, known, settings):
    names = [name for name in settings if known.get(name) != settings[name]]
    told = [f"{name} was {known.get(name)}, now {settings[name]}" for name in names if name.startswith("--")]
    told += [f"other {name}" for name in names if not name.startswith("--")]
    return (
        f"{folder} is left of a search with other settings ({'; '.join(told)}); "
        "repeat its command to finish it, or give --overwrite to begin anew"
    )


def _cut(path, size):
    """Opens a file for appending after its first `size` bytes; the rest is dropped."""
    file = open(path, "r+b" if path.exists() else "w+b")  # noqa: SIM115  the caller closes it
    file.truncate(size)
    file.seek(size)
    return file
