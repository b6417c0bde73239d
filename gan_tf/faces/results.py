"""What a finished search leaves: an `.npz` or a folder of PNG files, a contact sheet, a report."""

import concurrent.futures
import csv
import io
import os
import shutil
import zipfile
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from gan_tf.data.prepare import chosen
from gan_tf.errors import UsageError
from gan_tf.io.files import part_file, write_atomically
from gan_tf.io.image_files import grid, save_png
from gan_tf.io.progress import Progress

FACTS = "faces.csv"  # in a folder of faces
LANDMARKS = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
CHUNK_BYTES = 16 << 20  # of faces copied at once
SHEET_FACES = 100  # at most, on the contact sheet
SHEET_PIXELS = 128  # at most, of a face there
FAST_COMPRESSION = 1  # of PNG files


def is_npz(out):
    """Whether the result is one file, and not a folder."""
    return Path(out).suffix.lower() == ".npz"


def beside(out, ending):
    """The path of a file that belongs to the result: faces.npz -> faces-sheet.png for "-sheet.png"."""
    out = Path(out)
    return out.with_name((out.stem if is_npz(out) else out.name) + ending)


def classes_of_faces(source, faces):
    """(labels int32 [N], class names) of faces; classes without a face are left out; None and () without classes."""
    labels = source.labels[faces["photo"]]
    present, numbers = np.unique(labels, return_inverse=True)
    if len(present) < 2:
        return None, ()
    return numbers.astype(np.int32), tuple(source.class_names[label] for label in present)


def write_npz(out, folder, source, faces, images, check):
    """Writes the faces as one compressed `.npz`, in a way that gives the same bytes whenever it is written.

    Arrays: images uint8 [N, S, S, 3]; names [N], the photographs' names; boxes float32 [N, 4] and landmarks float32
    [N, 5, 2] in the photographs' pixels, see detect.FACE; scores float32 [N]; with classes also labels int32 [N] and
    class_names [K].

    Args:
        out: path of the file, replaced at once when it is whole.
        folder: where it stands until then, on the same disk.
        source, faces, images: what was searched and found.
        check: called now and then; what it raises ends the writing.
    """
    arrays = {
        "names": np.array([source.names[i] for i in faces["photo"]]),
        "boxes": faces["box"],
        "scores": faces["score"],
        "landmarks": faces["landmarks"],
    }
    labels, class_names = classes_of_faces(source, faces)
    if class_names:
        arrays |= {"labels": labels, "class_names": np.array(class_names)}
    part = Path(folder) / "finished.npz"
    with open(part, "wb") as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            with _member(archive, "images") as member:
                _write_images(member, images, check)
            for name, array in arrays.items():
                with _member(archive, name) as member:
                    np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, out)


def _member(archive, name):
    entry = zipfile.ZipInfo(f"{name}.npy")  # its date is 1980, not today
    entry.compress_type = zipfile.ZIP_DEFLATED
    return archive.open(entry, "w", force_zip64=True)


def _write_images(member, images, check):
    header = {"descr": "|u1", "fortran_order": False, "shape": images.shape}
    np.lib.format.write_array_header_1_0(member, header)
    count = max(1, CHUNK_BYTES // images[0].nbytes)
    with Progress(len(images), "packed", "faces") as progress:
        for start in range(0, len(images), count):
            some = np.ascontiguousarray(images[start : start + count])
            member.write(some.data)
            progress.advance(len(some))
            check()


def write_folder(out, folder, source, faces, images, check):
    """Writes each face as a PNG named after its photograph, in a sub-folder for each class, and all facts as faces.csv.

    Args: see `write_npz`; an older result at `out` is replaced when the new one is whole.
    """
    files = file_names(source, faces)
    new = Path(folder) / "finished"
    shutil.rmtree(new, ignore_errors=True)
    for parent in {Path(new, file).parent for file in files} | {new}:
        parent.mkdir(parents=True, exist_ok=True)
    with concurrent.futures.ThreadPoolExecutor() as pool, Progress(len(files), "written", "faces") as progress:
        for start in range(0, len(files), SHEET_FACES):
            some = range(start, min(start + SHEET_FACES, len(files)))
            for _ in pool.map(lambda i: save_png(new / files[i], images[i], FAST_COMPRESSION), some):
                progress.advance()
            check()
    write_atomically(new / FACTS, facts_table(source, faces, files).encode())
    old = Path(folder) / "replaced"
    if Path(out).exists():
        os.replace(out, old)
    os.replace(new, out)


def file_names(source, faces):
    """N paths below the result's folder: CLASS/PHOTOGRAPH.png, -2.png for a second face; unique whatever the case."""
    labels, class_names = classes_of_faces(source, faces)
    taken, count, names = set(), {}, []
    for k, i in enumerate(faces["photo"]):
        parts = list(PurePosixPath(source.names[i]).with_suffix("").parts)
        folder = ""
        if class_names:
            folder = class_names[labels[k]]
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


def facts_table(source, faces, files):
    """faces.csv: a line for each face, with its photograph and place there, in pixels."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    places = [f"{name}_{axis}" for name in LANDMARKS for axis in "xy"]
    rows.writerow(["file", "photograph", "score", "x1", "y1", "x2", "y2", *places])
    for file, face in zip(files, faces, strict=True):
        numbers = [f"{value:.2f}" for value in (*face["box"], *face["landmarks"].reshape(-1))]
        rows.writerow([file, source.names[face["photo"]], f"{face['score']:.4f}", *numbers])
    return text.getvalue()


def check_replaceable(out):
    """Raises UsageError where a folder holds anything besides the faces that an earlier search wrote there."""
    out = Path(out)
    present = {path.relative_to(out).as_posix() for path in out.rglob("*") if not path.is_dir()}
    if not present:
        return
    ours = {FACTS}
    if FACTS in present:
        with open(out / FACTS, newline="") as file:
            ours |= {row[0] for row in csv.reader(file)}
    others = sorted(present - ours) if FACTS in present else sorted(present)
    if others:
        raise UsageError(
            f"OUT {out} holds files that are no faces of an earlier search ({others[0]}); "
            "move them, or give another OUT"
        )


def write_sheet(path, images):
    """Writes a contact sheet: up to SHEET_FACES faces, spread evenly over all, from left to right and down."""
    images = [Image.fromarray(np.asarray(images[i])) for i in chosen(len(images), SHEET_FACES)]
    side = min(images[0].width, SHEET_PIXELS)
    small = np.stack([np.asarray(image.resize((side, side), Image.Resampling.LANCZOS)) for image in images])
    save_png(path, grid(small))


def write_report(path, summary, source, without, unreadable):
    """Writes the summary, and under it every photograph without a face and every unreadable one, as text."""
    lines = [summary, ""]
    lines += [f"Photographs without a face: {len(without)}", *(f"  {source.names[i]}" for i in without), ""]
    lines += [f"Unreadable: {len(unreadable)}", *(f"  {source.names[i]}: {reason}" for i, reason in unreadable), ""]
    with part_file(path) as file:
        file.write("\n".join(lines).encode())
