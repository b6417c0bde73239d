"""`gan-tf export RUN --format saved_model|tflite|onnx`: a trained generator as a file that other programs run."""

import contextlib
import dataclasses
import json
from pathlib import Path
from typing import Annotated, Literal

import tyro

from gan_tf.cli import arguments
from gan_tf.cli.quiet import start_tensorflow, stderr_kept
from gan_tf.errors import UsageError
from gan_tf.io.files import disk_remedy, printable, unwritable_error, user_path, write_atomically, writing
from gan_tf.io.progress import Progress

SCORES = ("score", "final", "copies", "final_copies")  # that stand beside weights
MOST_LICENCE = 4096  # characters
VISIBLE = 1 / 127.5  # a difference of one step of a byte, of values in [-1, 1]


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """Writes the trained generator of a run as a file for other programs, runs it, and reports how well it agrees."""

    # Folder of the run, such as checkpoints/panda.
    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    format: Literal["saved_model", "tflite", "onnx"]  # for TensorFlow; phones, browsers, boards; everything else
    out: str | None = None  # file to write (saved_model: folder); default is the run's name, here
    precision: Literal["float32", "float16", "int8"] = "float32"  # of the stored weights; tflite has all three
    # Random details, of FastGAN and StyleGAN2: the same ones for every image, given by the caller, or left out.
    noise: Literal["constant", "input", "none"] | None = None
    noise_seed: int | None = None  # which details, with --noise constant; default 0
    # The class of all images, by its name or number: for runs with --conditional. Default: the file takes the number of
    # a class for each image, as a second input.
    class_name: Annotated[str | None, tyro.conf.arg(name="class", metavar="NAME")] = None
    batch: str | None = None  # images at once: a number, or dynamic; default 1 for tflite, else dynamic
    which: str = "best"  # best: the best score; last: the newest checkpoint; 12000: the snapshot at so many images
    licence: str | None = None  # your words about what may be done with the file, which travel inside
    overwrite: bool = False  # replace what is at --out, and at --report
    report: str | None = None  # also write the report into this JSON file
    verbose: bool = False  # let TensorFlow and the converters speak


def main(argv) -> int:
    """Runs the command. Returns the exit code.

    Raises:
        UsageError: a wrong option, no trained generator, a missing package, or a file that cannot be written.
    """
    options = arguments.parse(ExportOptions, argv, prog="gan-tf export")
    check(options)
    start_tensorflow(options.verbose)
    import tensorflow as tf

    out = out_of(options)
    try:
        return export(options, out)
    except (tf.errors.OpError, MemoryError, OSError) as error:
        if remedy := disk_remedy(error):
            raise UsageError(f"--out {out} cannot be written: {remedy}") from error
        if isinstance(error, OSError):
            raise unwritable_error(out, "--out", error) from error
        if isinstance(error, (tf.errors.ResourceExhaustedError, MemoryError)):
            raise UsageError("out of memory: give --batch 1, or close other programs") from error
        raise


def check(options):
    """Refuses options that make no sense together, before TensorFlow is imported.

    Raises:
        UsageError: so it is.
    """
    if options.precision != "float32" and options.format != "tflite":
        raise UsageError(
            f"--precision {options.precision}: a {options.format} file is float32; leave it out, or --format tflite"
        )
    if options.noise_seed is not None and options.noise in ("input", "none"):
        raise UsageError(f"--noise-seed {options.noise_seed} has no effect with --noise {options.noise}; leave one out")
    if options.noise_seed is not None and not 0 <= options.noise_seed < 2**63:
        raise UsageError(f"--noise-seed is {options.noise_seed}; give an integer from 0 to {2**63 - 1}")
    if options.licence is not None and not 0 < len(options.licence) <= MOST_LICENCE:
        raise UsageError(f"--licence has {len(options.licence)} characters; give 1 to {MOST_LICENCE}")


def out_of(options) -> Path:
    """Where the file goes: `--out`, or a name in this folder after the run's."""
    from gan_tf.export import FORMATS

    return user_path(options.out or f"{user_path(options.run).resolve().name}{FORMATS[options.format].suffix}")


def export(options, out) -> int:
    """Writes and checks the file `out`. Returns the exit code."""
    from gan_tf.export import FORMATS, require_packages
    from gan_tf.export import output as outputs
    from gan_tf.export.network import UNCOMPILED, folded
    from gan_tf.runs.folder import Run
    from gan_tf.runs.weights import load_generator

    form = FORMATS[options.format]
    require_packages(options.format)
    batch = parse_batch(options.batch, form)
    run = Run(user_path(options.run))
    trained = load_generator(run, options.which)
    settings = settings_of(options, trained, batch)
    outputs.refuse_existing(out, options.overwrite, is_folder=options.format == "saved_model")
    if options.report is not None:
        refuse_report(user_path(options.report), out, options.overwrite)
    scores = scores_of(trained.meta)
    generator = folded(trained, UNCOMPILED)  # for its sizes; a file is of its own form
    print(opening(options, trained, generator, scores), flush=True)
    with outputs.output(out) as part:
        metadata, result = write_and_compare(options, form, trained, generator, settings, scores, part)
    report = {"file": str(out), **metadata, **dataclasses.asdict(result)}
    print(report_text(out, form, metadata, result))
    if options.report is not None:
        write_report(options.report, report)
    return 0


def write_and_compare(options, form, trained, generator, settings, scores, path):
    """Writes the file at `path` and runs it. Returns (metadata, Comparison)."""
    from gan_tf.export import compare, metadata

    described = metadata.describe(
        trained,
        generator,
        settings,
        form=options.format,
        which=options.which,
        scores=scores,
        licence=options.licence,
    )
    hushed = contextlib.nullcontext if options.verbose else stderr_kept
    with hushed():
        form.write(trained, settings, described, path)
        run = form.open(path)
    with Progress(compare.SEEDS, "compared with Keras") as progress:
        return described, compare.compare(trained, settings, path, run, progress.advance)


def parse_batch(text, form):
    """Images at once, None for any number.

    Raises:
        UsageError: neither a number nor "dynamic".
    """
    from gan_tf.export.compare import LARGEST_BATCH

    if text is None:
        return form.batch
    if text == "dynamic":
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 9 and 1 <= int(text) <= LARGEST_BATCH):
        raise UsageError(f"--batch {text!r}: give an integer from 1 to {LARGEST_BATCH}, or dynamic")
    return int(text)


def settings_of(options, trained, batch):
    """The ExportSettings that the options ask for.

    Raises:
        UsageError: noise of a family that has none, or a class that there is not.
    """
    from gan_tf.cli.generator_options import requested_class
    from gan_tf.export.network import ExportSettings

    has_noise = bool(trained.generator.noise_shapes)
    noise = options.noise or ("constant" if has_noise else "none")
    asked = "--noise-seed" if options.noise is None else f"--noise {options.noise}"
    if not has_noise and (noise != "none" or options.noise_seed is not None):
        raise UsageError(f"{asked}: {trained.config.model} takes no noise; leave it out")
    return ExportSettings(options.precision, noise, options.noise_seed or 0, batch, requested_class(options, trained))


def scores_of(meta):
    """{name: dict of a Score, or None} of SCORES, as far as what stands beside the weights is sound."""
    from gan_tf.cli.runs import finite
    from gan_tf.report.summary import read_score

    found = {name: read_score(meta.get(name)) for name in SCORES}
    return {name: score and finite(dataclasses.asdict(score)) for name, score in found.items()}


def opening(options, trained, generator, scores):
    """What is exported, in a line."""
    resolution, full = generator.resolution, trained.config.resolution
    growing = f", which grows to {full}x{full}" if resolution < full else ""
    score = scores["score"]
    scored = f", {printable(score['name'])} {score['value']:.4g}" if score and score["value"] is not None else ""
    return (
        f"{options.run}: {trained.config.model} at {resolution}x{resolution}{growing}, {options.which} weights, "
        f"{trained.images_seen / 1000:.1f} kimg{scored}"
    )


def report_text(out, form, metadata, result):
    """The report, for people."""
    noise = metadata["noise"] + (f" (seed {metadata['noise_seed']})" if metadata["noise"] == "constant" else "")
    inputs = ", ".join(f"{one['name']} {shape_text(one['shape'])}" for one in metadata["inputs"])
    [image] = metadata["outputs"]
    largest, mean = result.largest, result.mean
    lines = [
        f"{out}: {metadata['file']}, {metadata['precision']}, batch {metadata['batch']}, noise {noise}",
        f"  size        {result.bytes / 1e6:.2f} MB",
        f"  difference  from Keras over {result.seeds} seeds: largest {largest:.2g}, mean {mean:.2g} "
        f"({largest / VISIBLE:.2g} and {mean / VISIBLE:.2g} steps of a byte)",
        f"  time        {result.ms_per_image:.1f} ms an image, {result.timed_batch} at once, "
        f"{result.threads} threads, {version_text(form.program)}",
        f"  takes       {inputs}; {taken_text(metadata)}",
        f"  gives       {image['name']} {shape_text(image['shape'])}; float32 in [-1, 1], {image['meaning']}",
    ]
    return "\n".join([*lines, *warnings_of(metadata, result)])


def warnings_of(metadata, result) -> list[str]:
    """What the user should know before handing the file on."""
    finer = {"int8": "float16", "float16": "float32"}.get(metadata["precision"])
    closer = f"; --precision {finer} is closer" if finer else ""
    origin = metadata["converted_from"]
    converted = [f"  note        converted from {printable(origin)}: its publisher's terms hold"] if origin else []
    if not result.finite:
        return [*converted, f"  warning     it gives numbers that are not finite{closer}"]
    if result.largest > VISIBLE:
        return [*converted, f"  note        some values are off by more than one step of a byte{closer}"]
    return converted


def taken_text(metadata) -> str:
    """What a file takes, in words, and the numbers of its classes."""
    words = "float32, standard normal numbers"
    if not metadata["classes"]:
        return words
    if metadata["class"] is not None:
        return f"{words}; all images are of class {printable(metadata['class'])}"
    names = ", ".join(f"{i} {printable(name)}" for i, name in enumerate(metadata["classes"][:10]))
    more = f" and {len(metadata['classes']) - 10} more" if len(metadata["classes"]) > 10 else ""
    return f"{words}; labels int32, classes {names}{more}"


def shape_text(shape) -> str:
    """[N, 64, 64, 3] as text."""
    return f"[{', '.join(map(str, shape))}]"


def version_text(package) -> str:
    """Name and version of what ran the file."""
    import importlib.metadata

    for name in (package, f"{package}-cpu"):  # TensorFlow is two distributions of one module
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return f"{name} {importlib.metadata.version(name)}"
    return package


def refuse_report(path, out, overwrite):
    """Refuses a place for the report before any work is done.

    Raises:
        UsageError: it is that of the exported file, or in its folder; or there is something already.
    """
    place, taken = path.absolute(), out.absolute()
    if place == taken or taken in place.parents or place.resolve() == taken.resolve():
        raise UsageError(f"--report {path} is the place of the exported file, or within it; give another --report")
    if path.is_dir():
        raise UsageError(f"--report {path} is a folder; give the name of a file, such as {path / 'report.json'}")
    if not overwrite and (path.exists() or path.is_symlink()):
        raise UsageError(f"--report {path} is there already; give --overwrite to replace it, or another --report")


def write_report(path, report):
    """Writes the report as JSON.

    Raises:
        UsageError: it cannot be written.
    """
    from gan_tf.cli.runs import finite

    with writing(path, "--report"):
        write_atomically(user_path(path), (json.dumps(finite(report), indent=2) + "\n").encode())
