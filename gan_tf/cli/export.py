"""`gan-tf export RUN --format saved_model|tflite|onnx|web|apk`: writes trained generators for other programs."""

import contextlib
import dataclasses
import importlib.metadata
from typing import Annotated, Literal

import tyro

from gan_tf.cli import arguments
from gan_tf.cli.generate import describe_generator, requested_class
from gan_tf.cli.quiet import start_tensorflow, stderr_buffered
from gan_tf.errors import UsageError
from gan_tf.io.files import (
    disk_remedy,
    printable,
    raise_fault,
    refuse_existing,
    unwritable_error,
    user_path,
    writing,
)
from gan_tf.io.packages import install_command
from gan_tf.io.progress import Progress
from gan_tf.io.tensorflow_paths import PATTERN
from gan_tf.report.summary import read_score
from gan_tf.runs.files import write_json

SCORES = ("score", "final", "copies", "final_copies")  # stored with the weights
MAX_LICENCE = 4096  # characters
MAX_BATCH = 64
FILES, APPS = ("saved_model", "tflite", "onnx"), ("web", "apk")
FORMATS_OF_OPTIONS = {  # options that have no effect with other formats
    **dict.fromkeys(("precision", "noise", "noise_seed", "class_name", "batch", "report"), FILES),
    **dict.fromkeys(("title", "runtime", "offline"), APPS),
    **dict.fromkeys(("app_id", "key"), ("apk",)),
}
BYTE_STEP = 1 / 127.5  # one 8-bit grey level, in values from -1 to 1


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """Writes the trained generator of a run as a file for other programs, runs it, and reports its differences from
    Keras. With --format web or apk, writes an app of one or several runs that generates images on the user's device.
    """

    # Folder of the run, such as checkpoints/panda. Several with --format web or apk.
    runs: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    # For TensorFlow; for phones, browsers, boards; for other programs; as an app for the browser, and for Android.
    format: Literal["saved_model", "tflite", "onnx", "web", "apk"]
    # File to write (saved_model, web: folder); default: name of the run, in the current folder.
    out: str | None = None
    # Of the stored weights: float16 and int8 for tflite. Default float32; apps have float16.
    precision: Literal["float32", "float16", "int8"] | None = None
    # Noise of FastGAN and StyleGAN2: the same for every image, an input of the file, or none.
    noise: Literal["constant", "input", "none"] | None = None
    noise_seed: int | None = None  # seed of the noise, with --noise constant; default 0
    # Name or number of the class of all images, for runs trained with --conditional. Default: class labels are an input
    # of the file.
    class_name: Annotated[str | None, tyro.conf.arg(name="class", metavar="NAME")] = None
    batch: str | None = None  # batch size of the file: a number, or dynamic; default 1 for tflite, else dynamic
    which: str = "best"  # best: best score; last: newest checkpoint; 12000: snapshot saved at 12,000 images
    licence: str | None = None  # your licence text, stored in the file
    overwrite: bool = False  # replace existing files at --out and --report
    report: str | None = None  # also write the report to this JSON file
    title: str | None = None  # web, apk: name of the app; default: that of the first run
    runtime: str | None = None  # web, apk: folder with LiteRT.js from npm, instead of downloading it
    offline: bool = False  # web, apk: do not download LiteRT.js
    app_id: str | None = None  # apk: application id, such as com.example.cats; default: made from the title
    # apk: keystore that signs it; its password is read from GAN_TF_KEY_PASSWORD or typed. Default: a debug key.
    key: str | None = None
    verbose: bool = False  # show messages of TensorFlow and the converters

    def __post_init__(self):
        if not self.runs or (len(self.runs) > 1 and self.format not in APPS):
            raise UsageError(f"{len(self.runs)} runs with --format {self.format}; give one RUN (more with web and apk)")
        if self.precision not in (None, "float32") and self.format != "tflite":
            raise UsageError(f"--precision {self.precision} is for --format tflite; leave it out with {self.format}")
        for name, formats in FORMATS_OF_OPTIONS.items():
            if self.format not in formats and getattr(self, name) not in (None, False):
                flag = name.removesuffix("_name").replace("_", "-")
                raise UsageError(f"--{flag} has no effect with --format {self.format}; leave it out")
        if self.noise_seed is not None and self.noise in ("input", "none"):
            raise UsageError(f"--noise-seed {self.noise_seed} has no effect with --noise {self.noise}; leave one out")
        if self.noise_seed is not None and not 0 <= self.noise_seed < 2**63:
            raise UsageError(f"--noise-seed is {self.noise_seed}; give an integer from 0 to {2**63 - 1}")
        if self.licence is not None and not 0 < len(self.licence) <= MAX_LICENCE:
            raise UsageError(f"--licence has {len(self.licence)} characters; give 1 to {MAX_LICENCE}")
        if self.batch not in (None, "dynamic", *map(str, range(1, MAX_BATCH + 1))):
            raise UsageError(f"--batch {self.batch!r}: give an integer from 1 to {MAX_BATCH}, or dynamic")


def main(argv) -> int:
    """Runs the command and returns its exit code."""
    options = arguments.parse(ExportOptions, argv, prog="gan-tf export")
    start_tensorflow(options.verbose)
    import tensorflow as tf

    from gan_tf.cli.export_apk import export_package
    from gan_tf.cli.export_web import export_site
    from gan_tf.export import FORMATS

    apps = {"web": ("-site", export_site), "apk": (".apk", export_package)}
    suffix, write = apps.get(options.format) or (FORMATS[options.format].suffix, export)
    out = user_path(options.out or f"{run_name(options.runs[0])}{suffix}")
    try:
        return write(options, out)
    except (tf.errors.OpError, MemoryError, OSError) as error:
        raise_fault(error, out)
        if remedy := disk_remedy(error):
            raise UsageError(f"--out {out} cannot be written: {remedy}") from error
        if isinstance(error, OSError):
            raise unwritable_error(out, "--out", error) from error
        if isinstance(error, (tf.errors.ResourceExhaustedError, MemoryError)):
            raise UsageError("out of memory: give --batch 1, or close other programs") from error
        raise


def run_name(run):
    """Returns the name of the folder of a run."""
    return user_path(run).resolve().name


def export(options, out) -> int:
    """Writes the file `out`, compares it with Keras and prints the report. Returns the exit code."""
    from gan_tf.export import FORMATS, network
    from gan_tf.export.comparison import SEEDS, compare_with_keras
    from gan_tf.export.formats import SAVED_MODEL, check_output, output
    from gan_tf.runs.folder import Run
    from gan_tf.runs.weights import load_generator

    file_format = FORMATS[options.format]
    if missing := file_format.missing_packages():
        raise UsageError(f"--format {options.format} needs {', '.join(missing)}: {install_command(options.format)}")
    [folder] = options.runs
    trained = load_generator(Run(user_path(folder)), options.which)
    settings = export_settings(options, trained, file_format.batch)
    check_output(out, options.overwrite, SAVED_MODEL if options.format == "saved_model" else ())
    if options.report is not None:
        check_report(user_path(options.report), out, options.overwrite)
    scores = {name: read_score(trained.meta.get(name)) for name in SCORES}
    generator = network.folded(trained, network.UNCOMPILED)
    print_generator(folder, options.which, trained, generator, scores["score"])
    metadata = network.describe(
        trained,
        generator,
        settings,
        format_name=options.format,
        which=options.which,
        scores={name: score and dataclasses.asdict(score) for name, score in scores.items()},
        licence=options.licence,
    )
    with output(out) as part:
        with contextlib.nullcontext() if options.verbose else stderr_buffered():
            file_format.write(trained, settings, metadata, part)
            run = file_format.open(part)
        with Progress(SEEDS, "compared with Keras") as progress:
            comparison = compare_with_keras(trained, settings, part, run, progress.advance)
    print(report_text(out, file_format.program, metadata, comparison))
    if options.report is not None:
        report = {"file": str(out), **metadata, **dataclasses.asdict(comparison)}
        with writing(options.report, "--report"):
            write_json(user_path(options.report), report)
    return 0


def export_settings(options, trained, default_batch):
    """Returns the ExportSettings of the options.

    Raises:
        UsageError: the family has no noise, or the class does not exist.
    """
    from gan_tf.export.network import ExportSettings

    has_noise = bool(trained.generator.noise_shapes)
    noise = options.noise or ("constant" if has_noise else "none")
    if not has_noise and (noise != "none" or options.noise_seed is not None):
        flag = "--noise-seed" if options.noise is None else f"--noise {options.noise}"
        raise UsageError(f"{flag}: {trained.config.model} has no noise; leave it out")
    batch = default_batch
    if options.batch is not None:
        batch = None if options.batch == "dynamic" else int(options.batch)
    label = requested_class(options.class_name, options.runs[0], trained)
    return ExportSettings(options.precision or "float32", noise, options.noise_seed or 0, batch, label)


def check_report(path, out, overwrite):
    """Raises UsageError if `--report` is the exported file, in its folder, a folder, or exists without --overwrite."""
    absolute, taken = path.absolute(), out.absolute()
    if taken in (absolute, *absolute.parents) or path.resolve() == out.resolve():
        raise UsageError(f"--report {path} is the exported file, or inside of it; give another --report")
    if path.is_dir():
        raise UsageError(f"--report {path} is a folder; give the name of a file, such as {path / 'report.json'}")
    refuse_existing([path], "--report", overwrite)


def print_generator(run, which, trained, generator, score):
    """Prints the line about a loaded generator. score: Score, or None."""
    scored = f", {printable(score.text())}" if score else ""
    print(f"{describe_generator(run, which, trained, generator)}{scored}", flush=True)


def report_text(out, program, metadata, comparison):
    """Returns the report as text. `program`: pip package that ran the file."""
    noise = metadata["noise"] + (f" (seed {metadata['noise_seed']})" if metadata["noise"] == "constant" else "")
    [image] = metadata["outputs"]
    values = "float32, standard normal numbers"
    if metadata["class"] is not None:
        values += f"; all images are of class {printable(metadata['class'])}"
    elif names := metadata["classes"]:
        more = f" and {len(names) - 10} more" if len(names) > 10 else ""
        values += f"; labels int32, classes {', '.join(f'{i} {printable(n)}' for i, n in enumerate(names[:10]))}{more}"
    lines = [
        f"{out}: {metadata['file']}, {metadata['precision']}, batch {metadata['batch']}, noise {noise}",
        f"  size        {comparison.bytes / 1e6:.2f} MB",
        difference_line(comparison),
        f"  time        {comparison.ms_per_image:.1f} ms an image, batch size {comparison.timed_batch}, "
        f"{comparison.threads} threads, {program_version(program)}",
        f"  input       {names_and_shapes(metadata['inputs'])}; {values}",
        f"  output      {names_and_shapes([image])}; float32 in [-1, 1], {image['meaning']}",
    ]
    if origin := metadata["converted_from"]:
        lines.append(f"  note        converted from {printable(origin)}: the terms of its publisher apply")
    if program == "tensorflow" and PATTERN.search(out.absolute().as_posix()):
        lines.append(
            "  note        TensorFlow cannot load it from a path with * ? [ ] or \\: move it to another folder"
        )
    finer = {"int8": "float16", "float16": "float32"}.get(metadata["precision"])
    lines += accuracy_notes(comparison, f"; --precision {finer} is closer" if finer else "")
    return "\n".join(lines)


def accuracy_notes(comparison, remedy="") -> list[str]:
    """Returns the lines of a report on values that are not finite or differ visibly. remedy: end of a line."""
    if not comparison.finite:
        return [f"  warning     the file computes values that are not finite{remedy}"]
    if comparison.largest > BYTE_STEP:
        return [f"  note        some values differ by more than one step of 8-bit values{remedy}"]
    return []


def difference_line(comparison) -> str:
    """Returns the line of a report with the differences from Keras."""
    largest, mean = comparison.largest, comparison.mean
    return (
        f"  difference  from Keras over {comparison.seeds} seeds: largest {largest:.2g}, mean {mean:.2g} "
        f"({largest / BYTE_STEP:.2g} and {mean / BYTE_STEP:.2g} steps of 8-bit values)"
    )


def names_and_shapes(specs) -> str:
    """Formats inputs or outputs in the metadata as "latents [N, 256], labels [N]"."""
    return ", ".join(f"{spec['name']} [{', '.join(map(str, spec['shape']))}]" for spec in specs)


def program_version(package) -> str:
    """Returns the name of a package, and its version if it is installed."""
    for name in (package, f"{package}-cpu"):  # TensorFlow is also distributed as tensorflow-cpu
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return f"{name} {importlib.metadata.version(name)}"
    return package
