"""`gan-tf generate RUN --seeds 0-63 --out DIR`: generates one image for each seed.

Other commands that generate images share its options and functions for loading a generator.
"""

import dataclasses
import functools
import math
import os
import re
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro

import gan_tf
from gan_tf.cli import arguments
from gan_tf.cli.quiet import start_tensorflow
from gan_tf.config.validation import parse_size, size_text
from gan_tf.errors import UsageError
from gan_tf.io import image_files
from gan_tf.io.files import check_writable, printable, raise_fault, remove_parts, unwritable_error, user_path
from gan_tf.io.progress import Progress
from gan_tf.runs.folder import Run
from gan_tf.sampling import image_writer
from gan_tf.sampling.latents_file import checked_images, read_latents_file
from gan_tf.sampling.seeds import MAX_SEEDS, parse_seeds


@dataclasses.dataclass(frozen=True)
class GeneratorOptions:
    """Options that select a trained generator and its settings."""

    # Folder of the run, such as checkpoints/panda.
    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    which: str = "best"  # best: best score; last: newest checkpoint; 12000: snapshot saved at 12,000 images
    # Name or number of the class to generate, for runs trained with --conditional. Default: drawn from each seed.
    class_name: Annotated[str | None, tyro.conf.arg(name="class", metavar="NAME")] = None
    # Truncation psi, -2 to 2, of w (StyleGAN2; towards the mean of the class) or of the latent (FastGAN). Below 1: less
    # variety; 0: all images alike except for noise; negative: the opposite of each image.
    truncation: float = 1.0
    batch_size: int | None = None  # images per batch; default: chosen by resolution and device
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # auto: bfloat16 where the hardware supports it
    overwrite: bool = False  # replace existing files
    verbose: bool = False  # show TensorFlow's log messages

    def __post_init__(self):
        if self.batch_size is not None and self.batch_size < 1:
            raise UsageError(f"--batch-size is {self.batch_size}; give an integer of at least 1")


ORIGINAL = "original"  # --undo-fit to the median size of the training images


@dataclasses.dataclass(frozen=True)
class GenerateOptions(GeneratorOptions):
    """Generates images with the trained generator of a run, one for each seed. The same seed gives the same image.

    If it is killed, the same command continues in a folder, and starts again with a .zip or .npz.
    """

    seeds: str | None = None  # integers and ranges, such as 1,5,9; default 0-63
    count: int | None = None  # number of images, instead of --seeds: seeds 0 to COUNT - 1
    latents: str | None = None  # JSON file of images that the web app has exported, instead of seeds
    out: str = "pictures"  # folder for PNG files, or a .zip of them, or an .npz with the array "images"
    grid: bool = False  # also write all images as one image, OUT-grid.png
    # WIDTHxHEIGHT of originals that training padded or stretched, or "original" for their median: images get that shape
    undo_fit: str | None = None
    # Keep only this many images, the best by --by, and write them as one image too, OUT-best.png
    best: int | None = None
    # Scores for --best: discriminator, features (of Inception) or pixels (needs no network), or several with commas;
    # default discriminator,features
    by: str | None = None
    dataset: str | None = None  # real images for --best; default: those of the run
    weights: str | None = None  # for --best: file of Inception weights instead of the official one
    memory_gb: float = 4.0  # for --best: larger datasets are kept in a file on disk instead of in memory
    offline: bool = False  # do not download anything

    def __post_init__(self):
        super().__post_init__()
        for name in ("by", "dataset", "weights"):
            value = getattr(self, name)
            if self.best is None and value is not None:
                raise UsageError(f"--{name} is {value}, but has no effect without --best; leave it out")
        if self.undo_fit is not None:
            if self.best is not None:
                raise UsageError(
                    f"--undo-fit is {self.undo_fit}, but --best compares with prepared images; leave it out"
                )
            if self.undo_fit != ORIGINAL:
                image_files.check_image_size(*parse_size(self.undo_fit, "--undo-fit"), "--undo-fit", "give less")
        if self.count is not None and self.seeds is not None:
            raise UsageError(f"--count is {self.count} and --seeds {self.seeds}; give one of them")
        if self.count is not None and not 1 <= self.count <= MAX_SEEDS:
            raise UsageError(f"--count is {self.count}; give an integer from 1 to {MAX_SEEDS}")
        defaults = {"seeds": None, "count": None, "best": None, "class_name": None, "truncation": 1}
        for name, default in defaults.items() if self.latents is not None else ():
            if (value := getattr(self, name)) != default:
                flag = name.removesuffix("_name")
                raise UsageError(f"--{flag} is {value}, but --latents gives all settings of the images; leave it out")

    @functools.cached_property
    def latents_file(self):
        """The content of --latents, or None."""
        return None if self.latents is None else read_latents_file(user_path(self.latents))

    def all_seeds(self):
        """Returns the requested seeds, before --best selects some of them; numbers of the images for --latents."""
        if self.latents_file is not None:
            return list(range(len(self.latents_file.images)))
        if self.count is not None:
            return list(range(self.count))
        return parse_seeds("0-63" if self.seeds is None else self.seeds)


@dataclasses.dataclass(frozen=True)
class LoadedGenerator:
    """The generator of a run, ready for inference."""

    run: object  # runs.folder.Run
    trained: object  # runs.weights.TrainedGenerator
    generator: object  # folded
    precision: str  # "float32" or "bfloat16"
    batch_size: int
    class_number: int | None = None  # class of all images; None: each seed draws its class

    def labels(self, seeds):
        """Returns the classes of the images of `seeds`, int32 [N], or None for unconditional networks."""
        return self.trained.classes.of_seeds(seeds, self.class_number)

    def describe_classes(self, seeds, prefix):
        """Returns text such as "{prefix}: panda, cat", or "" for unconditional networks."""
        names = self.trained.classes.describe(self.labels(seeds))
        return f"{prefix}: {names}" if names else ""


def main(argv) -> int:
    """Runs the command and returns its exit code."""
    options = arguments.parse(GenerateOptions, argv, prog="gan-tf generate")
    seeds = options.all_seeds()  # raises for invalid seeds
    if options.best is not None:
        from gan_tf.cli.curate import check_best

        check_best(options)
    out = user_path(options.out)
    names = None if image_writer.archive_suffix(out) else map(image_writer.png_name, seeds)
    # Files of a killed command are continued, or `missing_seeds` refuses them.
    overwrite = options.overwrite or (out / image_writer.UNFINISHED).exists()
    check_writable(out, "--out", names, overwrite)
    for name, requested in (("grid", options.grid), ("best", options.best is not None)):
        if requested:
            check_writable(path_beside(out, name), f"--{name}", overwrite=overwrite)
    return run_on_device(generate, options)


def run_on_device(command, options, remedy="a smaller --batch-size, or --precision bfloat16") -> int:
    """Starts TensorFlow and returns `command(options)`. Raises UsageError if out of memory or --out is not writable."""
    start_tensorflow(options.verbose)
    import tensorflow as tf

    try:
        return command(options)
    except tf.errors.ResourceExhaustedError as error:
        raise UsageError(f"out of memory: give {remedy} ({error.op})") from error
    except OSError as error:
        raise_fault(error)
        if error.filename is None:
            raise
        failed, out = Path(os.fsdecode(error.filename)).absolute(), user_path(options.out).absolute()
        if not str(failed).startswith(str(out.with_suffix(""))) and not out.is_relative_to(failed):
            raise  # it is not the output, a file next to it, or a folder above it
        raise unwritable_error(options.out, "--out", error) from error


def load_from_options(options) -> LoadedGenerator:
    """Loads and folds the generator selected by `options`, checks --truncation, and prints a line about it."""
    from gan_tf.distributed import devices
    from gan_tf.ops.forms import has_gpu
    from gan_tf.runs.weights import load_generator
    from gan_tf.sampling.generate import check_truncation, suitable_batch_size

    run = Run(user_path(options.run))
    trained = load_generator(run, options.which)
    class_number = requested_class(options.class_name, options.run, trained)
    check_truncation(options.truncation, trained.config)
    precision, reason = devices.choose_precision(options.precision)
    generator = trained.folded(devices.KERAS_POLICIES[precision])
    description = describe_generator(options.run, options.which, trained, generator)
    print(f"{description}; precision: {precision} ({reason})", flush=True)
    batch_size = options.batch_size or suitable_batch_size(generator.image_shape, has_gpu())
    return LoadedGenerator(run, trained, generator, precision, batch_size, class_number)


def describe_generator(run, which, trained, generator):
    """Returns the start of the first line that a command prints: run, model, image size and weights."""
    config = trained.config
    growing = f" (growing to {config.size_text})" if generator.resolution < config.resolution else ""
    channels = f" in {config.channels}" if config.channels != "rgb" else ""
    return (
        f"{run}: {config.model} at {size_text(generator.image_shape)}{channels}{growing}, {which} weights, "
        f"{trained.images_seen / 1000:.1f} kimg"
    )


def requested_class(name, run, trained, log=print):
    """Returns the number of the class given by `--class`, and logs its name; None if `name` is None."""
    if name is None:
        return None
    if not trained.classes:
        raise UsageError(
            f"--class {name}: {run} is a run of unconditional networks; leave out --class, or train with --conditional"
        )
    number = trained.classes.number(name)
    log(f"class: {printable(trained.classes.names[number])}")
    return number


def generate(options) -> int:
    """Generates and writes the images; returns the exit code."""
    seeds, out, selection, about = options.all_seeds(), user_path(options.out), None, {}
    loaded = load_from_options(options)
    shape, restore = loaded.generator.image_shape, None
    if options.undo_fit is not None:
        (width, height), restore = undoing(options, loaded.run)
        shape = (height, width, shape[2])
    if options.grid:
        count, most = options.best or len(seeds), (image_files.MAX_SIDE // max(shape[:2])) ** 2
        side = math.ceil(math.sqrt(count))
        grid = f"--grid of {count} images at {size_text(shape)}"
        image_files.check_image_size(side * shape[1], side * shape[0], grid, f"give at most {most}")
    if options.best is not None:
        from gan_tf.cli.curate import check_sheet_size, curate

        check_sheet_size(options.best, shape)
        selection = curate(options, loaded, seeds)
        seeds, about = selection.seeds, selection.about
    settings = {**image_settings(options, loaded), "--best or --by": list(about.values())}
    settings |= {"--undo-fit": options.undo_fit} if restore else {}
    saved, labels = None, loaded.labels(seeds)
    if options.latents_file is not None:
        saved = checked_images(options.latents_file, loaded.trained, loaded.generator, options.run)
        about = dict(zip(seeds, saved.descriptions, strict=True))
        if options.latents_file.model["weights"] != settings["weights"]:
            print(f"{options.latents} was made with other weights, so the images will differ", flush=True)
    elif labels is not None:
        names = [f"class {loaded.trained.classes.names[label]}" for label in labels]
        about = {seed: f"{name}; {about[seed]}" if about else name for seed, name in zip(seeds, names, strict=True)}
    batch_size, is_folder = min(loaded.batch_size, len(seeds)), not image_writer.archive_suffix(out)
    missing = seeds
    if is_folder:
        missing = image_writer.missing_seeds(out, seeds, batch_size, settings, options.overwrite)
    grid_path, sheet_path = path_beside(out, "grid"), path_beside(out, "best")
    with image_writer.image_writer(out, seeds, shape, about) as write:
        batches = image_batches(options, loaded, missing, batch_size, saved)
        if restore:
            batches = ((batch, restore(images)) for batch, images in batches)
        keep = options.grid or selection
        images = write_images(batches, seeds, missing, out, write, channels=shape[2] if keep else None)
        if selection:
            remove_parts(sheet_path.parent, re.escape(sheet_path.name))
            selection.write_sheet(images, sheet_path)
        if options.grid:
            remove_parts(grid_path.parent, re.escape(grid_path.name))
            image_files.save_png(grid_path, image_files.rgb_grid(images))
    last = f" to {image_writer.png_name(seeds[-1])}" if len(seeds) > 1 else ""
    where = f"{out / image_writer.png_name(seeds[0])}{last}" if is_folder else out
    print(f"{len(seeds)} images: {where}")
    if is_folder and (others := image_writer.images_of_other_seeds(out, seeds)):
        print(f"{out} also holds {len(others)} images of other seeds, such as {others[0]}")
    if options.grid:
        print(f"grid: {grid_path}")
    return 0


def undoing(options, run):
    """Returns (width, height) of --undo-fit, and a function that gives images uint8 [N, H, W, C] that shape."""
    from gan_tf.data.images import undo_fit

    config, data = run.read_settings()
    if config.fit == "crop":
        raise UsageError(
            f"--undo-fit is {options.undo_fit}, but the training images of {options.run} were cropped, which cannot be "
            "undone; leave it out"
        )
    size = data.get("original_size") if options.undo_fit == ORIGINAL else options.undo_fit
    if size is None:
        raise UsageError(f"--undo-fit is {ORIGINAL}, but {options.run} has no record of it; give WIDTHxHEIGHT")
    size = parse_size(size, "--undo-fit")
    return size, lambda images: np.stack([undo_fit(image, config.fit, size) for image in images])


def image_settings(options, loaded):
    """Returns the settings, apart from the seeds, that determine the generated images, as a dict for JSON."""
    import tensorflow as tf

    from gan_tf.models.variables import weights_digest

    return {
        **({} if options.latents_file is None else {"--latents": options.latents_file.digest}),
        "weights": weights_digest(loaded.trained.generator),
        "truncation": options.truncation,
        "class": loaded.class_number,
        "precision": loaded.precision,
        "versions": [gan_tf.__version__, tf.__version__],
    }


def image_batches(options, loaded, seeds, batch_size, saved=None):
    """Generates the images of seeds, or those with these numbers in `saved`. Yields (n seeds, uint8 [n, H, W, C])."""
    from gan_tf.sampling.generate import images_of_seeds, saved_images

    if saved is not None:
        return saved_images(loaded.generator, saved, seeds, batch_size)
    return images_of_seeds(loaded.generator, seeds, batch_size, options.truncation, loaded.labels(seeds))


def write_images(batches, seeds, missing, out, write, channels):
    """Writes batches of the images of the seeds `missing`.

    With `channels`, their number, it returns the images of all seeds, uint8 [N, H, W, C]; existing ones are read from
    the folder `out`.
    """
    existing, kept = len(seeds) - len(missing), {}
    if existing:
        print(f"{existing} of {len(seeds)} images exist; continuing", flush=True)
    with Progress(len(seeds), "written", before=existing) as progress:
        for batch, images in batches:
            write(batch, images)
            progress.advance(len(batch))
            if channels:
                kept.update(zip(batch, images, strict=True))
    if not channels:
        return None
    paths = {seed: out / image_writer.png_name(seed) for seed in seeds}
    return np.stack([kept[seed] if seed in kept else image_files.read_png(paths[seed], channels) for seed in seeds])


def path_beside(out, name):
    """Returns OUT-name.png: next to `out`, not inside, so that a folder of images remains usable as a dataset."""
    out = out if out.name not in ("", "..") else out.resolve()
    return out.with_name(f"{out.name}-{name}.png") if out.name else out / f"{name}.png"
