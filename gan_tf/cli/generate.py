"""`gan-tf generate RUN --seeds 0-63 --out DIR`: generates one image for each seed."""

import dataclasses
import math

from gan_tf.cli import arguments
from gan_tf.cli.generator_options import GeneratorOptions, image_settings, load_from_options, run_on_device
from gan_tf.errors import UsageError
from gan_tf.io.files import check_writable, remove_parts, user_path
from gan_tf.sampling.seeds import MAX_SEEDS, parse_seeds


@dataclasses.dataclass(frozen=True)
class GenerateOptions(GeneratorOptions):
    """Generates images with the trained generator of a run, one for each seed. The same seed gives the same image.

    If it is killed, the same command continues in a folder, and starts again with a .zip or .npz.
    """

    seeds: str | None = None  # integers and ranges, such as 1,5,9; default 0-63
    count: int | None = None  # number of images, instead of --seeds: seeds 0 to COUNT - 1
    out: str = "pictures"  # folder for PNG files, or a .zip of them, or an .npz with the array "images"
    grid: bool = False  # also write all images as one image, OUT-grid.png
    # Keep only this many images, the best by --by, and write them as one image too, OUT-best.png
    best: int | None = None
    # Scores for --best: discriminator, features (of Inception) or pixels (needs no network), or several with commas;
    # default discriminator,features
    by: str | None = None
    dataset: str | None = None  # real images for --best; default: those of the run
    weights: str | None = None  # for --best: file of Inception weights instead of the official one
    memory_gb: float = 4.0  # for --best: larger image sets are kept in a file on disk instead of in memory
    offline: bool = False  # do not download anything

    def __post_init__(self):
        super().__post_init__()
        for name in ("by", "dataset", "weights"):
            value = getattr(self, name)
            if self.best is None and value is not None:
                raise UsageError(f"--{name} is {value}, but has no effect without --best; leave it out")
        if self.count is not None and self.seeds is not None:
            raise UsageError(f"--count is {self.count} and --seeds {self.seeds}; give one of them")
        if self.count is not None and not 1 <= self.count <= MAX_SEEDS:
            raise UsageError(f"--count is {self.count}; give an integer from 1 to {MAX_SEEDS}")

    def all_seeds(self):
        """Returns the requested seeds, before --best selects some of them."""
        if self.count is not None:
            return list(range(self.count))
        return parse_seeds("0-63" if self.seeds is None else self.seeds)


def main(argv) -> int:
    """Runs the command and returns its exit code."""
    options = arguments.parse(GenerateOptions, argv, prog="gan-tf generate")
    options.all_seeds()
    if options.best is not None:
        from gan_tf.cli.curate import check_best

        check_best(options)
    from gan_tf.sampling.image_writer import archive_suffix

    out = user_path(options.out)
    check_writable(out, "--out", folder=not archive_suffix(out))
    for name, requested in (("grid", options.grid), ("best", options.best is not None)):
        if requested:
            check_writable(path_beside(out, name), f"--{name}")
    return run_on_device(generate, options)


def generate(options) -> int:
    """Generates and writes the images; returns the exit code."""
    from gan_tf.io import image_files
    from gan_tf.sampling.generate import check_truncation
    from gan_tf.sampling.image_writer import (
        archive_suffix,
        image_writer,
        images_of_other_seeds,
        missing_seeds,
        png_name,
    )

    seeds, out, selection = options.all_seeds(), user_path(options.out), None
    loaded = load_from_options(options)
    resolution = loaded.generator.resolution
    check_truncation(options.truncation, loaded.trained.config.model)
    if options.grid:
        check_grid_size(options.best or len(seeds), resolution)
    if options.best is not None:
        from gan_tf.cli.curate import check_sheet_size, curate

        check_sheet_size(options.best, resolution)
        selection = curate(options, loaded, seeds)
        seeds = selection.seeds
    labels, about = loaded.labels(seeds), selection.about if selection else {}
    batch_size, is_folder = min(loaded.batch_size, len(seeds)), not archive_suffix(out)
    settings = {**image_settings(options, loaded), "--best or --by": list(about.values())}
    if labels is not None:
        classes = [f"class {loaded.trained.classes.names[label]}" for label in labels]
        about = {
            seed: "; ".join(filter(None, [text, about.get(seed)])) for seed, text in zip(seeds, classes, strict=True)
        }
    missing = missing_seeds(out, seeds, batch_size, settings) if is_folder else seeds
    grid_path, sheet_path = path_beside(out, "grid"), path_beside(out, "best")
    with image_writer(out, seeds, resolution, about) as write:
        keep = options.grid or selection is not None
        images = write_images(options, loaded, seeds, missing, labels, batch_size, write, keep)
        if selection:
            remove_parts(sheet_path)
            selection.write_sheet(images, sheet_path)
        if options.grid:
            remove_parts(grid_path)
            image_files.save_png(grid_path, image_files.grid(images))
    last = f" to {png_name(seeds[-1])}" if len(seeds) > 1 else ""
    print(f"{len(seeds)} images: {out / png_name(seeds[0])}{last}" if is_folder else f"{len(seeds)} images: {out}")
    if is_folder and (others := images_of_other_seeds(out, seeds)):
        print(f"{out} also holds {len(others)} images of other seeds, such as {others[0]}")
    if options.grid:
        print(f"grid: {grid_path}")
    return 0


def write_images(options, loaded, seeds, missing, labels, batch_size, write, keep):
    """Generates the images of the seeds `missing` and writes them.

    Returns:
        The images of all seeds, uint8 [N, R, R, 3], if `keep`; existing ones are read from the folder.
    """
    import numpy as np

    from gan_tf.io import image_files
    from gan_tf.io.progress import Progress
    from gan_tf.sampling.generate import images_of_seeds
    from gan_tf.sampling.image_writer import png_name

    existing, kept = len(seeds) - len(missing), {}
    if existing:
        print(f"{existing} of {len(seeds)} images exist; continuing", flush=True)
    if labels is not None:
        label_of = dict(zip(seeds, labels, strict=True))
        labels = [label_of[seed] for seed in missing]
    with Progress(len(seeds), "written", before=existing) as progress:
        for batch, images in images_of_seeds(loaded.generator, missing, batch_size, options.truncation, labels):
            write(batch, images)
            progress.advance(len(batch))
            if keep:
                kept.update(zip(batch, images, strict=True))
    if not keep:
        return None
    folder = user_path(options.out)
    return np.stack([kept[seed] if seed in kept else image_files.read_png(folder / png_name(seed)) for seed in seeds])


def path_beside(out, name):
    """Returns the path of an image next to the output, so that a folder of images remains usable as a data set."""
    out = out if out.name not in ("", "..") else out.resolve()
    return out.with_name(f"{out.name}-{name}.png") if out.name else out / f"{name}.png"


def check_grid_size(count, resolution):
    """Raises UsageError if a grid of `count` images is too large for other programs."""
    from gan_tf.io.image_files import MAX_SIDE, check_image_size

    side, most = math.ceil(math.sqrt(count)) * resolution, (MAX_SIDE // resolution) ** 2
    check_image_size(side, side, f"--grid of {count} images at {resolution}x{resolution}", f"give at most {most}")
