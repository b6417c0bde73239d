"""`gan-tf generate RUN --seeds 0-63 --out DIR`: images of a trained generator, one PNG for each seed."""

import dataclasses
import hashlib
import math
from pathlib import Path
from typing import Annotated, Literal

import tyro

from gan_tf.cli import arguments
from gan_tf.cli.trained import check_batch_size, on_device, open_run, refuse
from gan_tf.errors import UsageError
from gan_tf.sampling.seeds import MOST_SEEDS, parse_seeds

GRID_PIXELS = 16384  # longest side of a grid that other programs still open
DEFAULT_SEEDS = "0-63"


@dataclasses.dataclass(frozen=True)
class GenerateOptions:
    """Makes images with the trained generator of a run, one for each seed. The same seed gives the same image.

    Killed and started again, it goes on where it was.
    """

    # Folder of the run, such as checkpoints/panda.
    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    seeds: str | None = None  # numbers and ranges with commas between them, such as 1,5,9; default 0-63
    count: int | None = None  # so many images in place of --seeds: those of seeds 0 to COUNT - 1
    out: str = "pictures"  # folder for PNG files; or a .zip of them; or an .npz with the array "images"
    grid: bool = False  # also write all images as one picture, grid.png
    truncation: float = 1.0  # scale of the latents, 0 to 2; below 1 less variety
    # A class, by its name or number: for runs with conditional networks.
    class_name: Annotated[str | None, tyro.conf.arg(name="class", metavar="NAME")] = None
    best: int | None = (
        None  # keep only so many: the nearest to the real data by --by. A sheet says that they are chosen
    )
    # What --best goes by: discriminator, features (of Inception) or pixels (needs no network), or several with commas.
    by: str = "discriminator,features"
    dataset: str | None = None  # the real images for --best; default those of the run
    which: str = "best"  # best: the best score; last: the newest checkpoint; 12000: the snapshot at so many images
    batch_size: int | None = None  # images at once; default as many as keep the machine busy
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # auto: bfloat16 where the hardware multiplies it
    weights: str | None = None  # for --best: a file of Inception's weights in place of the official one
    memory_gb: float = 4.0  # for --best: larger image sets are kept in a file on disk and not in memory
    offline: bool = False  # never fetch anything
    verbose: bool = False  # let TensorFlow speak

    def __post_init__(self):
        check_batch_size(self)
        if self.count is not None and self.seeds is not None:
            raise UsageError(f"--count is {self.count} and --seeds {self.seeds}; give one of them")
        if self.count is not None and not 1 <= self.count <= MOST_SEEDS:
            raise UsageError(f"--count is {self.count}; give an integer from 1 to {MOST_SEEDS}")

    def all_seeds(self):
        """Seeds that are asked for, before any choice among them."""
        return parse_seeds(self.seeds or DEFAULT_SEEDS) if self.count is None else list(range(self.count))


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
    return on_device(generate, options)


def generate(options) -> int:
    """Writes the images of `seeds`. Returns the exit code."""
    from gan_tf.sampling import generate as sampling
    from gan_tf.sampling.store import check_out

    seeds, out = options.all_seeds(), Path(options.out).expanduser()
    check_out(out)
    opened = open_run(options)
    config = opened.trained.config
    sampling.check_truncation(options.truncation, config.model)
    if options.class_name is not None:
        refuse(options, config.model, "class", f"--class {options.class_name}")
    if options.grid:
        refuse_huge_grid(len(seeds), opened.generator.resolution)
    about = {}
    if options.best is not None:
        from gan_tf.cli.curate import curate

        chosen = curate(options, opened, seeds)
        seeds, about = chosen.seeds, chosen.about
    with open_store(options, opened, seeds, out, about) as store:
        make(options, opened, store)
        if options.best is not None:
            chosen.write_sheet(store, beside(out, "best"))
        grid = write_grid(store, beside(out, "grid")) if options.grid else None
        store.finish()
    told = out if store.kind else out / name_range(seeds)
    print(f"{len(seeds)} images: {told}")
    if grid:
        print(f"grid: {grid}")
    return 0


def open_store(options, opened, seeds, out, about):
    """The store of this command's images; see sampling.store.Store."""
    import tensorflow as tf

    import gan_tf
    from gan_tf.sampling.store import Store

    batch_size = min(opened.batch_size, len(seeds))
    job = {
        "weights": digest_of(opened.trained.generator),
        "truncation": options.truncation,
        "precision": opened.precision,
        "versions": [gan_tf.__version__, tf.__version__],
    }
    return Store(out, seeds, batch_size, opened.generator.resolution, job, about)


def make(options, opened, store):
    """Makes what a store lacks."""
    from gan_tf.progress import Progress
    from gan_tf.sampling.generate import images_of_seeds

    if store.before:
        print(f"{store.before} of {len(store.seeds)} images are there already; going on", flush=True)
    with Progress(len(store.seeds), "written", before=store.before) as progress:
        lacking = [seed for batch in store.lacking for seed in batch]
        # They are cut into the batches of the whole job, since only its last one can be shorter.
        made = images_of_seeds(opened.generator, lacking, store.batch_size, options.truncation, whole=True)
        for some, images in made:
            store.write(some, images)
            progress.advance(len(some))


def write_grid(store, path):
    """Writes all images as one picture; returns its path."""
    import numpy as np

    from gan_tf import pictures

    return pictures.save_png(path, pictures.grid(np.stack([store.image(i) for i in range(len(store.seeds))])))


def digest_of(network):
    """Hex digest of a network's weights."""
    from gan_tf.models.variables import named_variables

    total = hashlib.sha256()
    for name, variable in named_variables(network).items():
        total.update(name.encode() + variable.numpy().tobytes())
    return total.hexdigest()


def beside(out, name):
    """Where a picture of all images goes: into a folder, or beside a file."""
    packed = out.suffix.lower() in (".zip", ".npz") and not out.is_dir()
    return out.with_name(f"{out.stem}-{name}.png") if packed else out / f"{name}.png"


def name_range(seeds):
    """File names of the first and last image, for people."""
    from gan_tf.sampling.store import name_of

    return name_of(seeds[0]) + (f" to {name_of(seeds[-1])}" if len(seeds) > 1 else "")


def refuse_huge_grid(count, resolution):
    """Raises UsageError if a grid of `count` images is too large for other programs."""
    columns = GRID_PIXELS // resolution
    if math.ceil(math.sqrt(count)) > columns:
        raise UsageError(f"--grid holds {columns**2} images at {resolution}x{resolution}, --seeds names {count}")
