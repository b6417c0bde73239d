"""`gan-tf crop-faces PHOTOS OUT`: makes a dataset of faces cropped from photographs."""

import dataclasses
import time
from typing import Annotated, Literal

import tyro

from gan_tf.cli import arguments
from gan_tf.cli.datasets import KNOWN_NAMES
from gan_tf.cli.quiet import start_tensorflow
from gan_tf.config.validation import RESOLUTIONS
from gan_tf.errors import INTERRUPTED, Interrupted, UsageError
from gan_tf.io.files import disk_remedy, refuse_existing, user_path
from gan_tf.io.shell import quote

LISTED = 3  # names printed of each list; the report has all
OTHER_FILES = (".zip", ".npy", ".tar", ".gz", ".csv", ".json", ".jpg", ".jpeg", ".png", ".webp", ".h5", ".tfrecord")


@dataclasses.dataclass(frozen=True)
class CropOptions:
    """Finds the faces in photographs (MTCNN), cuts them out upright, and writes them as one .npz or as PNG files.

    Photographs are searched in a smaller copy, chosen so that a face of --min-face pixels is still found; faces are cut
    out of the originals. The same command continues a search that was stopped or killed.
    """

    # A folder (sub-folders become classes) or a .zip of photographs.
    photos: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="PHOTOS")]
    # faces.npz, or a folder for PNG files and faces.csv.
    out: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")]
    size: int = 256  # pixels of a crop
    faces: Literal["all", "largest"] = "all"  # faces to take from each photograph
    align: Literal["eyes", "none"] = "eyes"  # eyes: rotate until the eyes are level; none: the square around the box
    margin: float = 0.2  # added on each side, as a share of the face
    confidence: float = 0.8  # least score of a face, 0 to 1
    min_face: int = 80  # smallest face to find, pixels in the photograph; a larger value is faster
    # Crops are mirrored beyond an edge of the photograph; skip leaves out faces that would be visible there twice.
    at_edge: Literal["skip", "keep"] = "skip"
    overwrite: bool = False  # replace OUT and partial results of a search with other settings
    verbose: bool = False  # show TensorFlow's messages

    def __post_init__(self):
        # MTCNN finds no face of fewer than 20 pixels.
        for name, least, most in (("size", 16, 2048), ("margin", 0, 2), ("confidence", 0, 1), ("min_face", 20, None)):
            value = getattr(self, name)
            if value < least or (most is not None and value > most):
                bounds = f"a number from {least} to {most}" if most is not None else f"at least {least}"
                raise UsageError(f"--{name.replace('_', '-')} is {value}; give {bounds}")


def main(argv) -> int:
    """Runs the command. Returns the exit code: 0, or 42 if it was interrupted.

    Raises:
        UsageError: an invalid option, no photograph, no face, or a path that cannot be written.
    """
    options = arguments.parse(CropOptions, argv, prog="gan-tf crop-faces")
    out = user_path(options.out)
    check_paths(user_path(options.photos), out, options)
    from gan_tf.data.sources import open_source

    source = open_source(options.photos)
    start_tensorflow(options.verbose)
    try:
        crop(options, source, out)
        return 0
    except Interrupted as signal_name:
        print(f"{signal_name}: saved; the same command continues the search", flush=True)
        return INTERRUPTED
    except OSError as error:
        if not (remedy := disk_remedy(error)):
            raise
        raise UsageError(
            f"OUT {options.out} cannot be written ({error.strerror}); {remedy} and start again: "
            "the same command continues the search"
        ) from error


def check_paths(photos, out, options):
    """Raises UsageError if PHOTOS is no folder or zip, or OUT cannot be written, exists, or is inside of PHOTOS."""
    from gan_tf.faces.results import REPORT, SHEET, check_replaceable, companion_path, is_npz, partial_folder

    if not photos.exists():
        raise UsageError(f"PHOTOS {options.photos}: no such file or folder")
    if not photos.is_dir() and photos.suffix.lower() != ".zip":
        raise UsageError(f"PHOTOS {options.photos} must be a folder or a .zip of photographs")
    if out.suffix.lower() in OTHER_FILES or (out.exists() and out.is_dir() == is_npz(out)):
        raise UsageError(f"OUT {options.out} must be an .npz file or a folder")
    if not out.absolute().parent.is_dir():
        raise UsageError(f"OUT {options.out}: there is no folder {out.parent}; create it")
    if photos.is_dir() and out.resolve().is_relative_to(photos.resolve()):
        raise UsageError(
            f"OUT {options.out} is inside of {options.photos}, where the next search would take it for photographs; "
            "give a path outside"
        )
    is_empty = out.is_dir() and not any(out.iterdir())
    refuse_existing([] if is_empty else [out], "OUT", options.overwrite)
    # A search that is continued may have written these already.
    overwrite = options.overwrite or partial_folder(out).exists()
    refuse_existing([companion_path(out, ending) for ending in (SHEET, REPORT)], "OUT", overwrite)
    if out.is_dir():
        check_replaceable(out)


def crop(options, source, out):
    """Searches photographs without a partial result, and writes all faces. Raises Interrupted after a signal."""
    import tensorflow as tf

    from gan_tf.distributed.liveness import StopSignals
    from gan_tf.faces import results, search

    settings = search.CropSettings(*(getattr(options, name) for name in search.CropSettings._fields))
    for note in source.notes:
        print(note, flush=True)
    partial = results.PartialResult(out, search.search_key(source, settings), options.overwrite)
    done, left = partial.photos, len(source) - partial.photos
    if done:
        print(f"{options.out}: {done} of {done + left} photographs are done already, {len(partial)} faces", flush=True)
    if left:
        scale = search.copy_scale(settings.min_face)
        faces = f"faces of {settings.min_face} pixels or more (--min-face)"
        print(f"searching {left} photographs for {faces} at {100 * scale:.0f} % of their size", flush=True)
    try:
        with StopSignals() as signals:

            def check():
                if signals.received:
                    raise Interrupted(signals.received)

            start = time.monotonic()
            try:
                if left:
                    search.search(source, settings, search.Detector(), partial, check)
            except (tf.errors.ResourceExhaustedError, MemoryError) as error:
                raise UsageError(
                    f"out of memory: give a --min-face larger than {settings.min_face}, "
                    "so that the photographs are searched in smaller copies"
                ) from error
            rate = left / max(time.monotonic() - start, 1e-9)
            write_result(options, source, out, partial, check, rate)
    finally:
        partial.close()


def write_result(options, source, out, partial, check, rate):
    """Writes the faces, the contact sheet and the report, and prints a summary."""
    from gan_tf.faces import results

    seen = {*partial.faces["photo"].tolist(), *(i for i, _ in partial.unreadable)}
    without = [i for i in range(len(source)) if i not in seen]
    lines = summary(source, partial, without, rate)
    if not len(partial):
        partial.remove()
        raise UsageError(nothing_found(options, source, partial))
    report, sheet = results.companion_path(out, results.REPORT), results.companion_path(out, results.SHEET)
    results.write_report(report, "\n".join(lines), source, without, partial.unreadable)
    results.write_sheet(sheet, partial)
    write = results.write_npz if results.is_npz(out) else results.write_folder
    write(out, partial.folder, source, partial.faces, partial, check)
    partial.remove()
    print("\n".join([*lines, f"  {options.out}, contact sheet {sheet}, report {report}"]), flush=True)
    resolution = min(1 << (options.size.bit_length() - 1), RESOLUTIONS["pggan"][-1])  # the largest power of two
    dataset = out.absolute() if options.out in KNOWN_NAMES else out
    print(f"next:\n  gan-tf train --dataset {quote(dataset)} --resolution {resolution} --model pggan", flush=True)


def summary(source, partial, without, rate):
    """Returns lines with the numbers of faces, of photographs without a face, and of unreadable files."""
    from gan_tf.data.listing import remedies

    def shortened(names):
        more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
        return ", ".join(names[:LISTED]) + more

    unreadable = partial.unreadable
    lines = [
        f"{source.name}: {len(source)} photographs, {len(partial)} faces; photographs without a face: {len(without)}, "
        f"unreadable: {len(unreadable)}" + (f"; {rate:.1f} photographs/s" if rate else "")
    ]
    if partial.at_edge:
        lines.append(
            f"  left out at an edge: {partial.at_edge} faces (--at-edge keep, or a smaller --margin, takes them)"
        )
    if without:
        lines.append(f"  without a face: {shortened([source.names[i] for i in without])}")
    lines += [f"  unreadable: {source.names[i]}: {reason}" for i, reason in unreadable[:LISTED]]
    if len(unreadable) > LISTED:
        lines.append(f"  and {len(unreadable) - LISTED} more")
    if source.ignored:
        ignored = shortened([f"{count} {suffix}" for suffix, count in source.ignored.items()])
        lines.append(f"  ignored: {ignored}{remedies(source.ignored)}")
    return lines


def nothing_found(options, source, partial):
    """Returns the error message for a search without a face."""
    unreadable = partial.unreadable
    if len(unreadable) == len(source):
        i, reason = unreadable[0]
        more = f" (and {len(unreadable) - 1} more)" if len(unreadable) > 1 else ""
        return f"PHOTOS {options.photos}: no photograph is readable; {source.names[i]}: {reason}{more}"
    if partial.at_edge:
        return (
            f"every face in {options.photos} ({partial.at_edge}) is too near to an edge of its photograph; "
            "give a smaller --margin, or --at-edge keep"
        )
    return (
        f"no face of {options.min_face} pixels or more in {len(source)} photographs of {options.photos}; "
        f"try a smaller --min-face or --confidence"
    )
