"""`gan-tf crop-faces PHOTOS OUT`: a training set of faces, cut out of photographs."""

import dataclasses
import shlex
import time
from typing import Annotated, Literal

import tyro

from gan_tf.cli import arguments
from gan_tf.cli.main import INTERRUPTED
from gan_tf.cli.quiet import start_tensorflow
from gan_tf.config.validation import RESOLUTIONS
from gan_tf.errors import UsageError
from gan_tf.io.files import disk_remedy, user_path

SIZES = (16, 2048)  # pixels
LEAST_FACE = 20  # pixels; MTCNN finds nothing smaller
MOST_MARGIN = 2.0
LISTED = 3  # names of a kind; the report has all
OTHER_FILES = (".zip", ".npy", ".tar", ".gz", ".csv", ".json", ".jpg", ".jpeg", ".png", ".webp", ".h5", ".tfrecord")


@dataclasses.dataclass(frozen=True)
class CropOptions:
    """Finds the faces in photographs (MTCNN), cuts them out upright, and writes them as one .npz or as PNG files.

    Photographs are searched in a copy in which a face of --min-face pixels is still found; faces are cut out of the
    originals. A search that was stopped or killed goes on when the same command is given again.
    """

    # A folder (sub-folders become classes) or a .zip of photographs.
    photos: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="PHOTOS")]
    # faces.npz, or a folder for PNG files and faces.csv.
    out: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")]
    size: int = 256  # pixels of a face cut out
    faces: Literal["all", "largest"] = "all"  # of each photograph
    align: Literal["eyes", "none"] = "eyes"  # eyes: turned until the eyes are level; none: the square around the box
    margin: float = 0.2  # added on each side, as a share of the face
    confidence: float = 0.8  # least score of a face, 0 to 1
    min_face: int = 80  # smallest face to find, pixels in the photograph; a larger value is faster
    # Crops are mirrored beyond the photograph's edge; skip leaves faces out that would be seen there a second time.
    at_edge: Literal["skip", "keep"] = "skip"
    overwrite: bool = False  # replace OUT, and what a search with other settings left behind
    verbose: bool = False  # let TensorFlow speak

    def __post_init__(self):
        within("--size", self.size, *SIZES)
        within("--margin", self.margin, 0, MOST_MARGIN)
        within("--confidence", self.confidence, 0, 1)
        if self.min_face < LEAST_FACE:
            raise UsageError(f"--min-face is {self.min_face}; give at least {LEAST_FACE}, no smaller face can be found")


def within(name, value, least, most):
    """Raises UsageError unless least <= value <= most."""
    if not least <= value <= most:
        raise UsageError(f"{name} is {value}; give a number from {least} to {most}")


def main(argv) -> int:
    """Runs the command. Returns the exit code: 0, or 42 if it was interrupted.

    Raises:
        UsageError: a wrong option, no photograph, no face, or a place that cannot be written.
    """
    options = arguments.parse(CropOptions, argv, prog="gan-tf crop-faces")
    out = user_path(options.out)
    check_places(user_path(options.photos), out, options)
    source = open_photos(options.photos)
    start_tensorflow(options.verbose)
    from gan_tf.training.monitor import Interrupted

    try:
        return crop(options, source, out)
    except Interrupted as stop:
        print(f"{stop}: saved; the same command continues the search", flush=True)
        return INTERRUPTED
    except OSError as error:
        if isinstance(error, PermissionError):
            raise UsageError(f"OUT {options.out} cannot be written ({error.strerror}); give another OUT") from error
        if not (remedy := disk_remedy(error)):
            raise
        raise UsageError(
            f"OUT {options.out} cannot be written ({error.strerror}); {remedy} and start again: "
            "the same command continues the search"
        ) from error


def check_places(photos, out, options):
    """Raises UsageError where the result could not be written, or where it would be taken for photographs next time."""
    from gan_tf.faces.results import check_replaceable, is_npz

    if out.suffix.lower() in OTHER_FILES or (out.exists() and out.is_dir() == is_npz(out)):
        raise UsageError(f"OUT {options.out} must be an .npz file or a folder")
    if not out.absolute().parent.is_dir():
        raise UsageError(f"OUT {options.out}: there is no folder {out.parent}")
    if photos.is_dir() and out.resolve().is_relative_to(photos.resolve()):
        raise UsageError(
            f"OUT {options.out} lies in {options.photos}, where it would be taken for photographs next time; "
            "give a place outside"
        )
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not options.overwrite:
        raise UsageError(f"OUT {options.out} exists; give --overwrite to replace it, or another OUT")
    if out.is_dir():
        check_replaceable(out)


def open_photos(where):
    """The photographs as an ImageSource."""
    from gan_tf.data.sources import open_source

    path = user_path(where)
    if not path.exists():
        raise UsageError(f"PHOTOS {where}: there is no such file or folder")
    if not path.is_dir() and path.suffix.lower() != ".zip":
        raise UsageError(f"PHOTOS {where} must be a folder or a .zip of photographs")
    return open_source(where)


def crop(options, source, out) -> int:
    """Searches the photographs and writes the faces. Returns the exit code."""
    from gan_tf.distributed.stop_signals import StopSignals
    from gan_tf.faces.search import Settings, key_of
    from gan_tf.faces.store import Store

    settings = Settings(*(getattr(options, name) for name in Settings._fields))
    store = Store(out, settings.size, key_of(source, settings), anew=options.overwrite)
    try:
        with StopSignals() as signals:
            seconds, begun = find_faces(options, source, settings, store, signals)
            finish(options, source, out, store, signals, (len(source) - begun) / max(seconds, 1e-9))
    finally:
        store.close()
    return 0


def watch(signals):
    """A function that raises Interrupted once a signal has come."""
    from gan_tf.training.monitor import Interrupted

    def check():
        if signals.received:
            raise Interrupted(signals.received)

    return check


def find_faces(options, source, settings, store, signals):
    """Fills the store. Returns (seconds that it took, photographs that were done before)."""
    import tensorflow as tf

    from gan_tf.faces import detect
    from gan_tf.faces.search import search

    begun = store.photos
    if begun:
        print(f"{options.out}: {begun} of {len(source)} photographs are done already, {len(store)} faces", flush=True)
    start = time.monotonic()
    if begun < len(source):
        print(
            f"searching {len(source) - begun} photographs for faces of {settings.min_face} pixels or more (--min-face) "
            f"at {100 * detect.copy_scale(settings.min_face):.0f} % of their size",
            flush=True,
        )
        try:
            search(source, settings, detect.Detector(), store, watch(signals))
        except (tf.errors.ResourceExhaustedError, MemoryError) as error:
            raise UsageError(
                f"out of memory: give a --min-face larger than {settings.min_face}, "
                "so that the photographs are searched in smaller copies"
            ) from error
    return time.monotonic() - start, begun


def finish(options, source, out, store, signals, rate):
    """Writes the result with its contact sheet and report, and says what was found."""
    import numpy as np

    from gan_tf.faces import results

    faces = store.faces()
    bad = {i for i, _ in store.unreadable}
    without = [i for i in np.setdiff1d(np.arange(len(source)), faces["photo"]).tolist() if i not in bad]
    told = summary(source, store, without, rate)
    report = results.beside(out, "-report.txt")
    results.write_report(report, "\n".join(told), source, without, store.unreadable)
    if not len(faces):
        store.remove()
        raise UsageError(nothing_found(options, source, store))
    images, sheet = store.images(), results.beside(out, "-sheet.png")
    results.write_sheet(sheet, images)
    write = results.write_npz if results.is_npz(out) else results.write_folder
    write(out, store.folder, source, faces, images, watch(signals))
    del images  # a mapped file cannot be deleted everywhere
    store.remove()
    print("\n".join([*told, f"  {options.out}, contact sheet {sheet}, report {report}"]), flush=True)
    resolution = min(1 << (options.size.bit_length() - 1), RESOLUTIONS["pggan"][-1])  # networks grow in powers of two
    dataset = shlex.quote(options.out)
    print(f"next:\n  python train.py --dataset {dataset} --resolution {resolution} --model pggan", flush=True)


def summary(source, store, without, rate):
    """Lines about what was found."""
    unreadable = store.unreadable
    speed = f"; {rate:.1f} photographs/s" if rate else ""
    lines = [
        f"{source.name}: {len(source)} photographs, {len(store)} faces; photographs without a face: {len(without)}, "
        f"unreadable: {len(unreadable)}{speed}"
    ]
    if store.at_edge:
        lines.append(
            f"  left out at an edge: {store.at_edge} faces (--at-edge keep, or a smaller --margin, takes them)"
        )
    if without:
        lines.append(f"  without a face: {short([source.names[i] for i in without])}")
    lines += [f"  unreadable: {source.names[i]}: {reason}" for i, reason in unreadable[:LISTED]]
    if len(unreadable) > LISTED:
        lines.append(f"  and {len(unreadable) - LISTED} more")
    if source.ignored:
        lines.append(f"  not looked at: {short([f'{count} {suffix}' for suffix, count in source.ignored.items()])}")
    return lines


def short(names):
    """The names in one line, or the first of them and a count of the others."""
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more


def nothing_found(options, source, store):
    """Why there is no result."""
    unreadable = store.unreadable
    if len(unreadable) == len(source):
        (i, reason), others = unreadable[0], len(unreadable) - 1
        more = f" (and {others} more)" if others else ""
        return f"PHOTOS {options.photos}: no photograph is readable; {source.names[i]}: {reason}{more}"
    if store.at_edge:
        return (
            f"every face found in {options.photos} ({store.at_edge}) is too near to an edge of its photograph; "
            "give a smaller --margin, or --at-edge keep"
        )
    return (
        f"no face of {options.min_face} pixels or more in {len(source)} photographs of {options.photos}; "
        f"try a smaller --min-face or --confidence"
    )
