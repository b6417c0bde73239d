"""`gan-tf report RUN`: writes the report of a run again, with an interpolation between images."""

import dataclasses
from typing import Annotated

import tyro

from gan_tf.cli import arguments
from gan_tf.cli.quiet import start_tensorflow
from gan_tf.errors import UsageError
from gan_tf.io.files import check_writable, user_path, write_atomically, writing
from gan_tf.io.progress import log
from gan_tf.report import report_html
from gan_tf.runs.folder import Run


@dataclasses.dataclass(frozen=True)
class ReportOptions:
    """Writes the report of a run again: samples over time, losses, scores, copy check, data, settings, model card."""

    # Folder of the run, such as checkpoints/panda.
    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    out: str | None = None  # HTML file to write; default report.html in the run folder
    which: str = "best"  # weights of the interpolation: best, last, or the image count of a snapshot
    walk: bool = True  # add an interpolation between images, which needs TensorFlow
    overwrite: bool = False  # replace existing files
    verbose: bool = False  # show TensorFlow's log messages


def main(argv) -> int:
    """Runs the command and returns its exit code."""
    options = arguments.parse(ReportOptions, argv, prog="gan-tf report")
    run = Run(user_path(options.run))
    if not run.exists():
        raise UsageError(f"{run.folder} is no run folder (it has no config.json); give one such as checkpoints/demo")
    out = user_path(options.out) if options.out else run.report
    check_writable(out, "--out", overwrite=options.overwrite or out == run.report)
    page = report_html(run, interpolation(options, run) if options.walk else None).encode(errors="backslashreplace")
    with writing(out, "--out"):
        write_atomically(out, page)
    print(f"{out}: {len(page) / 1e6:.1f} MB, needs no other file")
    return 0


def interpolation(options, run):
    """Returns the image of interpolations, uint8 [H, W, 3]; None, with a log line, if there are no best weights yet."""
    start_tensorflow(options.verbose)
    import tensorflow as tf

    from gan_tf.runs.weights import load_generator
    from gan_tf.sampling.interpolate import interpolation_strip

    try:
        trained = load_generator(run, options.which, log)
        return interpolation_strip(trained.folded(), classes=trained.classes)
    except UsageError as error:
        if options.which != "best":
            raise
        log(f"the report has no interpolation: {error}")
    except tf.errors.ResourceExhaustedError as error:
        log(f"the report has no interpolation: out of memory ({error.op})")
    return None
