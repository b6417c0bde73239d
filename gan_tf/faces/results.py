"""Output of a face search: partial results, `.npz` or PNG files, contact sheet, report."""

import contextlib
import csv
import functools
import io
import json
import os
import shutil
import zipfile
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from gan_tf.data.cache import stored_object
from gan_tf.data.listing import select_rows, walk
from gan_tf.errors import UsageError
from gan_tf.io.arrays import DAMAGED, npz_writer
from gan_tf.io.files import list_folder, part_file, raise_fault, remove_parts, write_atomically
from gan_tf.io.image_files import grid, save_png
from gan_tf.io.json_text import json_text
from gan_tf.io.locks import take_lock
from gan_tf.io.progress import Progress, map_in_order

# One face: index of the photograph; x1, y1, x2, y2 of its box; MTCNN's score, 0 to 1; (x, y) of left eye, right eye,
# nose, left and right corner of the mouth, where left means left in the image. Pixels from the left and upper edge: the
# centre of the first pixel is (0.5, 0.5). A box may reach over an edge.
FACE = np.dtype([("photo", "<i8"), ("box", "<f4", 4), ("score", "<f4"), ("landmarks", "<f4", (5, 2))])
TABLE = "faces.csv"  # in a folder of faces
SHEET, REPORT = "-sheet.png", "-report.txt"  # endings of the files next to it
FINISHED, REPLACED = "finished", "replaced"  # folders in that of the partial results
LANDMARKS = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
SHEET_FACES, SHEET_PIXELS = 100, 128  # at most, on the contact sheet: faces, and pixels of a face


class PartialResult:
    """Faces found so far, in the folder `OUT.partial`, so that a killed search continues.

    Each window (a group of consecutive photographs) is a file `window-<number>.npz`, written atomically.
    `settings.json` holds the key of the search. The object is a sequence of the faces' crops, uint8 [S, S, 3].

    Args:
        out: path of the result.
        key: dict of `search.search_key`.
        overwrite: delete partial results with another key instead of refusing them.

    Attributes:
        photos: photographs searched so far.
        faces: FACE array.
        unreadable: [(index of the photograph, reason)].
        at_edge: faces left out because they are too near to an edge.

    Raises:
        UsageError: there are partial results with another key, or another process is writing them.
    """

    def __init__(self, out, key, overwrite=False):
        self.folder = partial_folder(out)
        self.photos, self.at_edge, self.unreadable = 0, 0, []
        self.faces = np.empty(0, FACE)
        self._windows = 0
        self._rows = []  # of each face: its window, and its index there
        self._window_images = functools.lru_cache(maxsize=8)(self._load_images)
        self.folder.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            try:
                take_lock(stack.enter_context(open(self.folder / "lock", "ab")))
            except BlockingIOError:
                raise UsageError(f"another gan-tf crop-faces is writing {out}; wait for it, or stop it") from None
            self._check_key(key, overwrite)
            self._lock = stack.pop_all()  # held until `close`
        while self._window_path(self._windows).exists():
            try:
                with np.load(self._window_path(self._windows), allow_pickle=False) as window:
                    faces, facts = window["faces"], json.loads(str(window["facts"]))
            except DAMAGED as error:
                raise_fault(error, self.folder)
                break  # the search continues from here, and writes this window and all later ones again
            self._append(faces, **facts)

    def _check_key(self, key, overwrite):
        """Records the key of a new search; raises UsageError, or deletes the windows, if there is another key."""
        path = self.folder / "settings.json"
        earlier = stored_object(path)
        if earlier == key:
            return
        if earlier and not overwrite:
            changes = "; ".join(
                f"{name} was {earlier.get(name)}, now {value}" if name.startswith("--") else f"other {name}"
                for name, value in key.items()
                if earlier.get(name) != value
            )
            raise UsageError(
                f"{self.folder} holds a search with other settings ({changes}); repeat its command to finish it, or "
                "give --overwrite to start again"
            )
        self._remove_windows()
        write_atomically(path, json_text(key).encode())

    def _window_path(self, number):
        return self.folder / f"window-{number:06d}.npz"

    def _append(self, faces, photos, unreadable, at_edge):
        self._rows += [(self._windows, row) for row in range(len(faces))]
        self._windows += 1
        self.faces = np.concatenate([self.faces, faces])
        self.photos += photos
        self.unreadable += [tuple(item) for item in unreadable]
        self.at_edge += at_edge

    def add(self, photos, faces, images, unreadable=(), at_edge=0):
        """Saves the next window: number of photographs, FACE array, crops, and the attributes of the same names."""
        facts = {"photos": photos, "unreadable": list(unreadable), "at_edge": at_edge}
        content = io.BytesIO()
        np.savez(content, faces=faces, images=np.array(images, np.uint8), facts=json_text(facts))
        write_atomically(self._window_path(self._windows), content.getvalue())
        self._append(faces, **facts)

    def __len__(self):
        return len(self.faces)

    def __getitem__(self, i):
        window, row = self._rows[i]
        return self._window_images(window)[row]

    def _load_images(self, window):
        with np.load(self._window_path(window), allow_pickle=False) as arrays:
            return arrays["images"]

    def close(self):
        """Releases the lock."""
        self._lock.close()

    def _remove_windows(self):
        for window in list_folder(self.folder, "window-[0-9]*.npz"):
            window.unlink()

    def remove(self):
        """Deletes the files that a search writes into the folder, and the folder if it is empty then."""
        self.close()
        self._remove_windows()
        for name in (FINISHED, REPLACED):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        for name in ("settings.json", "lock"):
            (self.folder / name).unlink(missing_ok=True)
        remove_parts(self.folder, r"settings\.json|finished\.npz|window-\d+\.npz")
        with contextlib.suppress(OSError):  # reads no file: not empty, it has files of the user
            self.folder.rmdir()


def partial_folder(out):
    """Returns the folder of the partial results for the output `out`."""
    return Path(out).with_name(f"{Path(out).name}.partial")


def is_npz(out):
    """Returns True if the result is one .npz file, False if it is a folder."""
    return Path(out).suffix.lower() == ".npz"


def companion_path(out, ending):
    """Returns the path of a file next to the result: faces.npz -> faces-sheet.png for "-sheet.png"."""
    out = Path(out)
    return out.with_name((out.stem if is_npz(out) else out.name) + ending)


def classes_of_faces(source, faces):
    """Returns (labels int32 [N], names) of the classes with faces; (None, ()) if there are fewer than two."""
    present, numbers = np.unique(source.labels[faces["photo"]], return_inverse=True)
    if len(present) < 2:
        return None, ()
    return numbers.astype(np.int32), tuple(source.class_names[label] for label in present)


def write_npz(out, folder, source, faces, images, check):
    """Writes the faces as one compressed `.npz`. The same faces always give the same bytes.

    Arrays: images uint8 [N, S, S, 3]; names [N], of the photographs; boxes float32 [N, 4] and landmarks float32
    [N, 5, 2] in pixels of the photographs, see FACE; scores float32 [N]; with classes also labels int32 [N] and
    class_names [K].

    Args:
        out: path of the file, replaced once the new one is complete.
        folder: for the incomplete file; on the same disk.
        source, faces: ImageSource and FACE array.
        images: sequence of uint8 [S, S, 3].
        check: called after each face; an exception from it ends the writing.
    """
    names = np.array([source.names[i] for i in faces["photo"]])
    arrays = {"names": names, "boxes": faces["box"], "scores": faces["score"], "landmarks": faces["landmarks"]}
    labels, class_names = classes_of_faces(source, faces)
    if class_names:
        arrays |= {"labels": labels, "class_names": np.array(class_names)}
    new = Path(folder) / "finished.npz"
    shape, progress = (len(images), *images[0].shape), Progress(len(images), "packed", "faces")
    with part_file(new) as file, npz_writer(file, shape, arrays, zipfile.ZIP_DEFLATED) as write, progress:
        for i in range(len(images)):
            write(images[i])
            progress.advance()
            check()
    os.replace(new, out)


def write_folder(out, folder, source, faces, images, check):
    """Writes each face as a PNG named after its photograph, in a sub-folder per class, and the table faces.csv.

    For the arguments see `write_npz`. An older result at `out` is replaced once the new one is complete.
    """
    files = file_names(source, faces)
    new = Path(folder) / FINISHED
    shutil.rmtree(new, ignore_errors=True)
    for parent in {Path(new, file).parent for file in files} | {new}:
        parent.mkdir(parents=True, exist_ok=True)
    with Progress(len(files), "written", "faces") as progress:
        for _ in map_in_order(lambda i: save_png(new / files[i], images[i], compress_level=1), range(len(files))):
            progress.advance()
            check()
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    landmarks = [f"{name}_{axis}" for name in LANDMARKS for axis in "xy"]
    rows.writerow(["file", "photograph", "score", "x1", "y1", "x2", "y2", *landmarks])
    for file, face in zip(files, faces, strict=True):
        numbers = [f"{value:.2f}" for value in (*face["box"], *face["landmarks"].reshape(-1))]
        rows.writerow([file, source.names[face["photo"]], f"{face['score']:.4f}", *numbers])
    write_atomically(new / TABLE, text.getvalue().encode())
    if Path(out).exists():
        os.replace(out, Path(folder) / REPLACED)
    os.replace(new, out)


def file_names(source, faces):
    """Returns N paths CLASS/PHOTOGRAPH.png, with -2, -3, ... for further faces of one; unique if case is ignored."""
    labels, class_names = classes_of_faces(source, faces)
    taken, count, names = set(), {}, []
    for k, i in enumerate(faces["photo"]):
        parts = list(PurePosixPath(source.names[i]).with_suffix("").parts)
        folder = class_names[labels[k]] if class_names else ""
        if class_names:
            parts.remove(folder)
        stem = str(PurePosixPath(folder, "-".join(parts)))
        count[i] = count.get(i, 0) + 1
        name = stem if count[i] == 1 else f"{stem}-{count[i]}"
        again = 2
        while name.lower() in taken:
            name, again = f"{stem}-{count[i]}-{again}", again + 1
        taken.add(name.lower())
        names.append(f"{name}.png")
    return names


def check_replaceable(out):
    """Raises UsageError if a folder holds files other than the faces written by an earlier search."""
    out = Path(out)
    present = set(walk(out, hidden=True))
    written = set()
    if TABLE in present:
        with open(out / TABLE, newline="", encoding="utf-8") as file:
            written = {TABLE} | {row[0] for row in csv.reader(file)}
    if others := sorted(present - written):
        foreign = f"files that are not faces of an earlier search ({others[0]})"
        raise UsageError(f"OUT {out} holds {foreign}; move them, or give another OUT")


def write_sheet(path, images):
    """Writes a contact sheet of up to SHEET_FACES faces at even distances, row by row."""
    images = [Image.fromarray(images[i]) for i in select_rows(len(images), SHEET_FACES)]
    side = min(images[0].width, SHEET_PIXELS)
    small = np.stack([np.asarray(image.resize((side, side), Image.Resampling.LANCZOS)) for image in images])
    save_png(path, grid(small))


def write_report(path, summary, source, without, unreadable):
    """Writes the summary and lists of all photographs without a face and all unreadable ones, as text."""
    lines = [summary, ""]
    lines += [f"Photographs without a face: {len(without)}", *(f"  {source.names[i]}" for i in without), ""]
    lines += [f"Unreadable: {len(unreadable)}", *(f"  {source.names[i]}: {reason}" for i, reason in unreadable), ""]
    write_atomically(path, "\n".join(lines).encode())
