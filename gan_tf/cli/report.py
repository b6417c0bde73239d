"""`gan-tf report RUN`: the report of a run as one HTML file that needs nothing else."""

import dataclasses
import sys
from typing import Annotated

import tyro

from gan_tf.cli import arguments
from gan_tf.errors import UsageError
from gan_tf.io.files import check_writable, user_path, write_atomically, writing
from gan_tf.runs.folder import Run


@dataclasses.dataclass(frozen=True)
class ReportOptions:
    """Writes the report of a run anew: samples over time, losses, scores, copy check, data, settings, a model card."""

    # Folder of the run, such as checkpoints/panda.
    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    out: str | None = None  # file for the page; default report.html in the run folder
    which: str = "best"  # weights for the walk between images: best, last, or the image count of a snapshot
    walk: bool = True  # make images on the way from one seed to another, which needs TensorFlow
    verbose: bool = False  # let TensorFlow speak


def main(argv) -> int:
    """Runs the command. Returns the exit code.

    Raises:
        UsageError: a wrong option, no run, or a file that cannot be written.
    """
    options = arguments.parse(ReportOptions, argv, prog="gan-tf report")
    from gan_tf.report import report_html

    run = Run(user_path(options.run))
    if not run.exists():
        raise UsageError(f"{run.folder} is no run folder (it has no config.json); give one such as checkpoints/demo")
    out = user_path(options.out) if options.out else run.report
    check_writable(out, "--out")
    page = report_html(run, walk_of(options, run) if options.walk else None).encode()
    with writing(out, "--out"):
        write_atomically(out, page)
    print(f"{out}: {len(page) / 1e6:.1f} MB, no other file needed")
    return 0


def walk_of(options, run):
    """The picture of ways between images, or None, with a line that says why, where there are no weights for it."""
    from gan_tf.cli.quiet import start_tensorflow

    start_tensorflow(options.verbose)
    import tensorflow as tf

    from gan_tf.runs.weights import load_generator
    from gan_tf.sampling.interpolate import interpolation_strip

    try:
        trained = load_generator(run, options.which, log)
    except UsageError as error:
        if options.which != "best":
            raise
        log(f"no way between two images is shown: {error}")
        return None
    try:
        return interpolation_strip(trained.folded(), classes=trained.classes)
    except tf.errors.ResourceExhaustedError as error:
        log(f"no way between two images is shown: out of memory ({error.op})")
        return None


def log(line):
    """Speaks on standard error."""
    print(line, file=sys.stderr, flush=True)
