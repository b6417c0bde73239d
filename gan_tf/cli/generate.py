"""`gan-tf generate RUN --seeds 0-63 --out DIR`: images of a trained generator, one PNG for each seed."""

import dataclasses
import math
from pathlib import Path
from typing import Annotated, Literal

import tyro

from gan_tf.cli import arguments
from gan_tf.cli.quiet import start_tensorflow
from gan_tf.errors import UsageError
from gan_tf.sampling.seeds import parse_seeds

GRID_PIXELS = 16384  # longest side of a grid that other programs still open
FAST_COMPRESSION = 1  # of PNG files: any more would take longer than making the images


@dataclasses.dataclass(frozen=True)
class GenerateOptions:
    """Makes images with the trained generator of a run, one for each seed. The same seed gives the same image."""

    # Folder of the run, such as checkpoints/panda.
    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    seeds: str = "0-63"  # numbers and ranges with commas between them, such as 0-63 or 1,5,9
    out: str = "pictures"  # folder for the images
    grid: bool = False  # also write all images as one picture, grid.png
    which: str = "best"  # best: the best score; last: the newest checkpoint; 12000: the snapshot at so many images
    batch_size: int | None = None  # images at once; default as many as keep the machine busy
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # auto: bfloat16 where the hardware multiplies it
    verbose: bool = False  # let TensorFlow speak

    def __post_init__(self):
        if self.batch_size is not None and self.batch_size < 1:
            raise UsageError(f"--batch-size is {self.batch_size}; give an integer of at least 1")


def main(argv) -> int:
    """Runs the command. Returns the exit code.

    Raises:
        UsageError: a wrong option, no trained generator, too little memory, or a folder that cannot be written.
    """
    options = arguments.parse(GenerateOptions, argv, prog="gan-tf generate")
    seeds = parse_seeds(options.seeds)
    start_tensorflow(options.verbose)
    import tensorflow as tf

    try:
        return generate(options, seeds)
    except tf.errors.ResourceExhaustedError as error:
        raise UsageError(f"out of memory: give a smaller --batch-size, or --precision bfloat16 ({error.op})") from error


def generate(options, seeds) -> int:
    """Writes the images of `seeds`. Returns the exit code."""
    import tensorflow as tf

    from gan_tf.models import FAMILIES
    from gan_tf.run import Run
    from gan_tf.sampling.generate import suitable_batch_size
    from gan_tf.training import devices
    from gan_tf.weights import load_generator

    trained = load_generator(Run(Path(options.run).expanduser()), options.which)
    precision, why = devices.choose_precision(options.precision)
    generator = FAMILIES[trained.config.model].fold(trained.generator, devices.KERAS_POLICIES[precision])
    resolution, full = generator.resolution, trained.config.resolution
    if options.grid:
        refuse_huge_grid(len(seeds), resolution)
    growing = f", which grows to {full}x{full}" if resolution < full else ""
    print(
        f"{options.run}: {trained.config.model} at {resolution}x{resolution}{growing}, {options.which} weights, "
        f"{trained.images_seen / 1000:.1f} kimg; precision: {precision} ({why})",
        flush=True,
    )
    on_gpu = bool(tf.config.list_logical_devices("GPU"))
    batch_size = options.batch_size or suitable_batch_size(resolution, on_gpu)
    out = Path(options.out).expanduser()
    try:
        out.mkdir(parents=True, exist_ok=True)
        grid = write_images(generator, seeds, batch_size, out, options.grid)
    except OSError as error:
        raise UsageError(f"--out {options.out} cannot be written: {error.strerror or error}") from error
    print(f"{len(seeds)} images: {out / name_of(seeds[0])}" + (f" to {name_of(seeds[-1])}" if len(seeds) > 1 else ""))
    if grid:
        print(f"grid: {grid}")
    return 0


def write_images(generator, seeds, batch_size, out, with_grid):
    """Writes a PNG for each seed, and returns the path of the grid, None if there is none."""
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np

    from gan_tf import pictures
    from gan_tf.progress import Progress
    from gan_tf.sampling.generate import images_of_seeds

    def write(seed, image):
        pictures.save_png(out / name_of(seed), image, FAST_COMPRESSION)

    kept = []
    with Progress(len(seeds), "written") as progress, ThreadPoolExecutor() as pool:
        for some, images in images_of_seeds(generator, seeds, batch_size):
            for _ in pool.map(write, some, images):
                progress.advance()
            if with_grid:
                kept.append(images)
    return pictures.save_png(out / "grid.png", pictures.grid(np.concatenate(kept))) if with_grid else None


def name_of(seed):
    """File name of one seed's image."""
    return f"seed-{seed:06d}.png"


def refuse_huge_grid(count, resolution):
    """Raises UsageError if a grid of `count` images is too large for other programs."""
    columns = GRID_PIXELS // resolution
    if math.ceil(math.sqrt(count)) > columns:
        raise UsageError(f"--grid holds {columns**2} images at {resolution}x{resolution}, --seeds names {count}")
