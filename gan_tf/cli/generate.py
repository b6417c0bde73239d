"""`gan-tf generate RUN --seeds 0-63 --out DIR`: images of a trained generator, one PNG for each seed."""

import contextlib
import dataclasses
import math

from gan_tf.cli import arguments
from gan_tf.cli.generator_options import GeneratorOptions, image_settings, load_from_options, run_on_device
from gan_tf.errors import UsageError
from gan_tf.io.files import check_writable, remove_parts, user_path
from gan_tf.sampling.seeds import MOST_SEEDS, parse_seeds

DEFAULT_SEEDS = "0-63"


@dataclasses.dataclass(frozen=True)
class GenerateOptions(GeneratorOptions):
    """Makes images with the trained generator of a run, one for each seed. The same seed gives the same image.

    Killed and started again, it goes on where it was.
    """

    seeds: str | None = None  # numbers and ranges with commas between them, such as 1,5,9; default 0-63
    count: int | None = None  # so many images in place of --seeds: those of seeds 0 to COUNT - 1
    out: str = "pictures"  # folder for PNG files; or a .zip of them; or an .npz with the array "images"
    grid: bool = False  # also write all images as one picture, OUT-grid.png
    # Keep only so many: the nearest to the real data by --by. A sheet says that they are chosen.
    best: int | None = None
    # What --best goes by: discriminator, features (of Inception) or pixels (needs no network), or several with commas;
    # default discriminator,features.
    by: str | None = None
    dataset: str | None = None  # the real images for --best; default those of the run
    weights: str | None = None  # for --best: a file of Inception's weights in place of the official one
    memory_gb: float = 4.0  # for --best: larger image sets are kept in a file on disk and not in memory
    offline: bool = False  # never fetch anything

    def __post_init__(self):
        super().__post_init__()
        for name in ("by", "dataset", "weights"):
            value = getattr(self, name)
            if self.best is None and value is not None:
                raise UsageError(f"--{name} is {value}, but without --best nothing is judged; leave it out")
        if self.count is not None and self.seeds is not None:
            raise UsageError(f"--count is {self.count} and --seeds {self.seeds}; give one of them")
        if self.count is not None and not 1 <= self.count <= MOST_SEEDS:
            raise UsageError(f"--count is {self.count}; give an integer from 1 to {MOST_SEEDS}")

    def all_seeds(self):
        """Seeds that are asked for, before any choice among them."""
        if self.count is not None:
            return list(range(self.count))
        return parse_seeds(DEFAULT_SEEDS if self.seeds is None else self.seeds)


def main(argv) -> int:
    """Runs the command. Returns the exit code.

    Raises:
        UsageError: a wrong option, no trained generator, too little memory, or a folder that cannot be written.
    """
    options = arguments.parse(GenerateOptions, argv, prog="gan-tf generate")
    if options.best is None:
        options.all_seeds()
    else:
        from gan_tf.cli.curate import check_best

        check_best(options)
    from gan_tf.sampling.store import check_out, kind_of

    out = user_path(options.out)
    check_out(out)
    check_writable(out, "--out", folder=not kind_of(out))
    for name, wanted in (("grid", options.grid), ("best", options.best is not None)):
        if wanted:
            check_writable(beside(out, name), f"--{name}")
    return run_on_device(generate, options)


def generate(options) -> int:
    """Writes the images of `seeds`. Returns the exit code."""
    from gan_tf.sampling import generate as sampling

    seeds, out = options.all_seeds(), user_path(options.out)
    opened = load_from_options(options)
    config, resolution = opened.trained.config, opened.generator.resolution
    sampling.check_truncation(options.truncation, config.model)
    if options.grid:
        refuse_huge_grid(options, len(seeds), resolution)
    with contextlib.ExitStack() as stack:
        chosen, about = None, {}
        if options.best is not None:
            from gan_tf.cli.curate import curate, refuse_huge_sheet

            refuse_huge_sheet(options.best, resolution)
            chosen = curate(options, opened, seeds, out, stack)
            seeds, about = chosen.seeds, chosen.about
        labels = opened.labels(seeds)
        store = stack.enter_context(open_store(options, opened, seeds, labels, out, about))
        make(options, opened, store, labels)
        if chosen:
            chosen.write_sheet(store, cleared(beside(out, "best")))
        grid = write_grid(store, cleared(beside(out, "grid"))) if options.grid else None
        store.finish()
        if chosen:
            chosen.journal.remove()
    told = out if store.kind else out / name_range(seeds)
    print(f"{len(seeds)} images: {told}")
    if store.foreign:
        print(f"{out} also holds {len(store.foreign)} images of other seeds, such as {store.foreign[0]}")
    if grid:
        print(f"grid: {grid}")
    return 0


def with_classes(opened, seeds, labels, about):
    """{seed: words for its file} with the class of each image before them; `about` itself without classes."""
    names = opened.trained.classes.names
    if labels is None:
        return about
    words = {seed: f"class {names[label]}" for seed, label in zip(seeds, labels, strict=True)}
    return {seed: "; ".join([own, *filter(None, [about.get(seed)])]) for seed, own in words.items()}


def open_store(options, opened, seeds, labels, out, chosen):
    """The store of this command's images; see sampling.store.Store. `chosen`: {seed: words on why it was}."""
    from gan_tf.sampling.store import Store

    batch_size = min(opened.batch_size, len(seeds))
    job = {
        **image_settings(options, opened),
        "about": list(chosen.items()),
    }  # classes follow from the seeds and the weights
    about = with_classes(opened, seeds, labels, chosen)
    return Store(out, seeds, batch_size, opened.generator.resolution, job, about)


def cleared(path):
    """A path, without what a killed process left of it; the store is ours alone."""
    remove_parts(path)
    return path


def make(options, opened, store, labels):
    """Makes what a store lacks; `labels` are the classes of all its seeds, or None."""
    from gan_tf.io.progress import Progress
    from gan_tf.sampling.generate import images_of_seeds

    if store.before:
        print(f"{store.before} of {len(store.seeds)} images are there already; going on", flush=True)
    with Progress(len(store.seeds), "written", before=store.before) as progress:
        lacking = [seed for batch in store.lacking for seed in batch]
        # They are cut into the batches of the whole job, since only its last one can be shorter.
        of_seed = None if labels is None else dict(zip(store.seeds, labels, strict=True))
        how = {"whole": True, "labels": of_seed and [of_seed[seed] for seed in lacking]}
        made = images_of_seeds(opened.generator, lacking, store.batch_size, options.truncation, **how)
        for some, images in made:
            store.write(some, images)
            progress.advance(len(some))


def write_grid(store, path):
    """Writes all images as one picture; returns its path."""
    import numpy as np

    from gan_tf.io import image_files

    return image_files.save_png(path, image_files.grid(np.stack([store.image(i) for i in range(len(store.seeds))])))


def beside(out, name):
    """Where a picture of all images goes: beside the folder or file of images, so that these stay a pure set."""
    out = out if out.name not in ("", "..") else out.resolve()
    return out.with_name(f"{out.name}-{name}.png") if out.name else out / f"{name}.png"


def name_range(seeds):
    """File names of the first and last image, for people."""
    from gan_tf.sampling.store import name_of

    return name_of(seeds[0]) + (f" to {name_of(seeds[-1])}" if len(seeds) > 1 else "")


def refuse_huge_grid(options, count, resolution):
    """Raises UsageError if a grid of all images, or of those that --best keeps, is too large for other programs."""
    from gan_tf.io.image_files import LONGEST_SIDE, check_image_size

    flag = f"--seeds names {count}" if options.count is None else f"--count is {count}"
    if options.best is not None:
        count, flag = options.best, f"--best keeps {options.best}"
    columns, most = math.ceil(math.sqrt(count)), (LONGEST_SIDE // resolution) ** 2
    side = columns * resolution
    check_image_size(side, side, f"--grid holds {most} images at {resolution}x{resolution}, {flag}", "give fewer")
