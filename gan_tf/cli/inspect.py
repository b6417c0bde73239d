"""`gan-tf inspect DATASET`: report on a dataset before training."""

import dataclasses
from typing import Annotated, Literal

import tyro

from gan_tf.cli import arguments
from gan_tf.cli.datasets import KNOWN_NAMES, resolve
from gan_tf.cli.quiet import start_tensorflow
from gan_tf.errors import UsageError
from gan_tf.io.json_text import json_text
from gan_tf.io.progress import log


@dataclasses.dataclass(frozen=True)
class InspectOptions:
    """Reports count, sizes, classes, unreadable files, duplicates and images smaller than the training resolution."""

    # A dataset name (panda, demo, ...), tfds:NAME, a folder, a .zip or an .npz.
    dataset: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="DATASET")]
    resolution: int = 256  # training resolution in pixels
    size: str | None = None  # WIDTHxHEIGHT of training images that are not square, in place of --resolution
    channels: Literal["rgb", "grey", "rgba"] = "rgb"  # colours, grey values, or colours and transparency
    fit: Literal["crop", "pad", "stretch"] = "crop"  # how images get this shape
    background: str = "white"  # colour under transparent and padded parts: a name or #rrggbb
    bits: int = 16  # bits that hold data in 16-bit images
    limit: int | None = None  # inspect at most this many images, spread evenly over the dataset
    offline: bool = False  # never download
    json: bool = False  # print the whole report as JSON, with all names


def main(argv) -> int:
    """Runs the command and returns the exit code.

    Raises:
        UsageError: see `resolve` and `survey`.
    """
    options = arguments.parse(InspectOptions, argv, prog="gan-tf inspect")
    if options.dataset.startswith("tfds:") or options.dataset in KNOWN_NAMES:  # TensorFlow Datasets reads these
        start_tensorflow()
    from gan_tf.data.prepare import survey

    size = arguments.size_of_options(options)
    source = resolve(options.dataset, size=size, offline=options.offline, log=log)
    for note in source.notes:
        log(note)
    try:
        source.read_label_file()
    except UsageError as error:
        log(f"labels are not read: {error}")
    settings = {name: getattr(options, name) for name in ("channels", "fit", "background", "bits", "limit")}
    report = survey(source, size=size, **settings)
    print(json_text(dataclasses.asdict(report), indent=2) if options.json else report.text())
    return 0
