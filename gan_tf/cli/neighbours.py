"""`gan-tf neighbours RUN --seeds 0-7`: shows the training images that are nearest to generated images."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro

from gan_tf.cli import arguments, training_images
from gan_tf.cli.generate import requested_class, run_on_device
from gan_tf.errors import UsageError
from gan_tf.io import image_files
from gan_tf.io.files import check_writable, printable, user_path
from gan_tf.io.progress import StagedProgress, log
from gan_tf.metrics.image_sets import measurable, reals_at
from gan_tf.metrics.memorisation import THRESHOLD, training_image
from gan_tf.metrics.neighbour_index import NeighbourIndex, pixel_index, pixel_vectors
from gan_tf.report.summary import read_summary
from gan_tf.runs.folder import Run
from gan_tf.sampling.seeds import parse_seeds
from gan_tf.sampling.sheets import NeighbourRow, neighbour_sheet, neighbour_sheet_size

MAX_SEEDS = 100
PIXELS, INCEPTION = "pixels", "inception"


@dataclasses.dataclass(frozen=True)
class NeighboursOptions:
    """Shows the training images nearest to the images of given seeds, by the distances of the copy check."""

    # Folder of the run, such as checkpoints/panda.
    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    seeds: str = "0-7"  # numbers and ranges with commas between them, at most 100
    nearest: int = 5  # training images shown for each seed
    out: str = "neighbours.png"  # file for the image
    dataset: str | None = None  # the training images if they have moved; default: those of the run
    # Space for the comparison. pixels: coarse, ignores small shifts; inception: features; auto: pixels, and Inception
    # features too if the run was scored by them.
    space: Literal["auto", "pixels", "inception", "both"] = "auto"
    # Name or number of the class of all images, for runs with --conditional. Default: drawn from each seed.
    class_name: Annotated[str | None, tyro.conf.arg(name="class", metavar="NAME")] = None
    which: str = "best"  # best: best score; last: newest checkpoint; 12000: snapshot saved at 12,000 images
    weights: str | None = None  # file of Inception's weights; default: the official one
    memory_gb: float = 4.0  # larger datasets are kept in a file on disk, not in memory
    offline: bool = False  # do not download anything
    overwrite: bool = False  # replace existing files
    verbose: bool = False  # show TensorFlow's messages

    def __post_init__(self):
        if (count := len(parse_seeds(self.seeds))) > MAX_SEEDS:
            raise UsageError(f"--seeds has {count} seeds; give at most {MAX_SEEDS}")
        if self.nearest < 1:
            raise UsageError(f"--nearest is {self.nearest}; give an integer of at least 1")
        if Path(self.out).suffix.lower() != ".png":
            raise UsageError(f"--out is {self.out}; give a name that ends in .png")


def main(argv) -> int:
    """Runs the command and returns its exit code."""
    options = arguments.parse(NeighboursOptions, argv, prog="gan-tf neighbours")
    check_writable(user_path(options.out), "--out", overwrite=options.overwrite)
    return run_on_device(neighbours, options, "fewer --seeds, or --space pixels")


def neighbours(options) -> int:
    """Writes the image and prints the nearest training images; returns the exit code."""
    from gan_tf.runs.weights import load_generator
    from gan_tf.sampling.generate import images_of_seeds, suitable_batch_size

    run, seeds = Run(user_path(options.run)), parse_seeds(options.seeds)
    trained = load_generator(run, options.which, log)
    class_number = requested_class(options.class_name, options.run, trained, log)
    g, labels = trained.folded(), trained.classes.of_seeds(seeds, class_number)
    spaces = spaces_of(options, run)
    log(f"{run.folder}: {options.which} weights, {trained.images_seen / 1000:.1f} kimg")
    shape = measurable(np.zeros((1, *g.image_shape), np.uint8)).shape[1:]
    size = neighbour_sheet_size(len(seeds) * len(spaces), options.nearest, shape)
    setting = f"--nearest {options.nearest} for {len(seeds)} --seeds in {len(spaces)} spaces"
    image_files.check_image_size(*size, setting, "give fewer")
    image_set = training_images.of_run(
        run, options.dataset, offline=options.offline, memory_gb=options.memory_gb, log=log
    )
    if options.nearest > len(image_set):
        raise UsageError(f"--nearest is {options.nearest}, but there are {len(image_set)} training images")
    reals = reals_at(image_set, g.image_shape[0], training_images.may_be_mirrored(run))
    batches = images_of_seeds(g, seeds, min(len(seeds), suitable_batch_size(g.image_shape, False)), labels=labels)
    images = measurable(np.concatenate([images for _, images in batches]))
    by_space = [rows_of_space(options, space, seeds, images, reals, image_set.names) for space in spaces]
    rows = [row for rows_of_seed in zip(*by_space, strict=True) for row in rows_of_seed]
    copies = {row.seed for row in rows if row.ratios[0] < THRESHOLD}
    for row in rows:
        counted = ", counts as a copy" if row.ratios[0] < THRESHOLD else ""
        print(
            f"seed {row.seed}, {row.space}: nearest is training image {printable(row.names[0])}, "
            f"distance {row.distances[0]:.3g}, ratio {row.ratios[0]:.2f}{counted}"
        )
    out = user_path(options.out)
    image_files.save_png(out, neighbour_sheet(rows, THRESHOLD))
    print(f"{out}: {len(copies)} of {len(seeds)} images count as copies (a ratio below {THRESHOLD:g})")
    return 0


def spaces_of(options, run):
    """Returns the names of the spaces for the comparison."""
    if options.space in (PIXELS, INCEPTION):
        return [options.space]
    summary = read_summary(run)
    spaces = [str(scored.copy_protocol.get("space")) for scored in (*summary.scores, summary.best) if scored]
    both = options.space == "both" or any(INCEPTION in space for space in spaces)
    return [PIXELS, INCEPTION] if both else [PIXELS]


def rows_of_space(options, space, seeds, images, reals, names):
    """Returns a NeighbourRow for each image, uint8 [N, H, W, C]: the nearest of the training images `reals`."""
    from gan_tf.metrics.features import Networks, RealFeatures

    count = len(reals.images)
    if space == PIXELS:
        index, vectors = pixel_index(reals.images, reals.mirror), pixel_vectors(images)
    else:
        advice = "give --space pixels, which needs no such file"
        extractor = Networks(weights=options.weights, offline=options.offline, log=log, alternative=advice).extractor
        progress = StagedProgress()
        index = NeighbourIndex(RealFeatures(reals, extractor).training_images(progress), count, space)
        progress.close()
        vectors = np.concatenate([features for _, features, _ in extractor.stream([images])])
    rows, all_nearest = [], index.nearest_images(vectors, options.nearest)
    for seed, image, nearest, distances in zip(seeds, images, *all_nearest, strict=True):
        shown = np.stack([training_image(reals.images, row % count, row >= count) for row in nearest])
        nearest_names = tuple(names[row % count] for row in nearest)
        ratios = tuple(index.ratios(nearest, distances))
        rows.append(NeighbourRow(image, seed, space, shown, nearest_names, tuple(distances), ratios))
    return rows
