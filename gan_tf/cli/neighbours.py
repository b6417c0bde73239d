"""`gan-tf neighbours RUN --seeds 0-7`: the training images that generated images are nearest to, as a picture."""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, Literal

import tyro

from gan_tf.cli import arguments
from gan_tf.cli.quiet import start_tensorflow
from gan_tf.errors import UsageError
from gan_tf.io.files import check_writable, user_path, writing
from gan_tf.sampling.seeds import parse_seeds

MOST_SEEDS = 100  # more rows than a picture ever holds
PIXELS, INCEPTION = "pixels", "inception"


@dataclasses.dataclass(frozen=True)
class NeighboursOptions:
    """Shows the training images nearest to the images of given seeds, by the distances of the copy check."""

    # Folder of the run, such as checkpoints/panda.
    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    seeds: str = "0-7"  # numbers and ranges with commas between them, some dozens
    nearest: int = 5  # training images shown beside each
    out: str = "neighbours.png"  # file for the picture
    dataset: str | None = None  # the training images, where they have moved; default those of the run's settings
    # What is compared: pixels, coarse and blind to small moves; inception: features; auto: pixels, and Inception's
    # features too where the run was scored by them.
    space: Literal["auto", "pixels", "inception", "both"] = "auto"
    # The class of all images, by its name or number: for runs with --conditional. Default: drawn for each by its seed.
    class_name: Annotated[str | None, tyro.conf.arg(name="class", metavar="NAME")] = None
    which: str = "best"  # best: the best score; last: the newest checkpoint; 12000: the snapshot at so many images
    weights: str | None = None  # a file of Inception's weights in place of the official one
    memory_gb: float = 4.0  # larger image sets are kept in a file on disk and not in memory
    offline: bool = False  # never fetch anything
    verbose: bool = False  # let TensorFlow speak

    def __post_init__(self):
        if self.nearest < 1:
            raise UsageError(f"--nearest is {self.nearest}; give an integer of at least 1")
        if Path(self.out).suffix.lower() != ".png":
            raise UsageError(f"--out is {self.out}; give a name that ends in .png")


def main(argv) -> int:
    """Runs the command. Returns the exit code.

    Raises:
        UsageError: a wrong option, no trained generator, no training images, or a file that cannot be written.
    """
    options = arguments.parse(NeighboursOptions, argv, prog="gan-tf neighbours")
    seeds = parse_seeds(options.seeds)
    if len(seeds) > MOST_SEEDS:
        raise UsageError(f"--seeds names {len(seeds)}; no picture holds more than {MOST_SEEDS}: give fewer")
    check_writable(user_path(options.out), "--out")
    start_tensorflow(options.verbose)
    import tensorflow as tf

    try:
        return neighbours(options, seeds)
    except tf.errors.ResourceExhaustedError as error:
        raise UsageError(f"out of memory: give fewer --seeds, or --space pixels ({error.op})") from error


def neighbours(options, seeds) -> int:
    """Writes the picture. Returns the exit code."""
    import numpy as np

    from gan_tf.cli.generator_options import requested_class
    from gan_tf.io import image_files
    from gan_tf.metrics.memorisation import THRESHOLD
    from gan_tf.metrics.reals import LEAST_SIDE, measurable, reals_at
    from gan_tf.runs.folder import Run
    from gan_tf.sampling.generate import images_of_seeds, suitable_batch_size
    from gan_tf.sampling.sheets import NeighbourRow, neighbour_sheet, neighbour_sheet_size

    run = Run(user_path(options.run))
    trained, g = opened(options, run)
    labels = trained.classes.of_seeds(seeds, requested_class(options, trained))
    config, spaces = trained.config, spaces_of(options, run)
    log(f"{run.folder}: {options.which} weights, {trained.images_seen / 1000:.1f} kimg")
    size = neighbour_sheet_size(len(seeds) * len(spaces), options.nearest, max(g.resolution, LEAST_SIDE))
    what = f"--nearest {options.nearest} for {len(seeds)} --seeds in {len(spaces)} spaces"
    image_files.check_image_size(*size, what, "give fewer")
    image_set = training_images(options, run)
    if options.nearest > len(image_set):
        raise UsageError(f"--nearest is {options.nearest}, but there are {len(image_set)} training images")
    reals = reals_at(image_set, g.resolution, config.mirror)
    batch_size = min(len(seeds), suitable_batch_size(g.resolution, False))
    batches = images_of_seeds(g, seeds, batch_size, labels=labels)
    images = np.concatenate([images for _, images in batches])
    found = []
    for space in spaces:
        found.append((space, *search(options, space, reals, measurable(images))))
    rows = []
    for i, seed in enumerate(seeds):
        for space, nearest, distances, ratios in found:
            chosen = [int(row) for row in nearest[i]]
            shown = NeighbourRow(
                image=measurable(images[i : i + 1])[0],
                seed=seed,
                space=space,
                nearest=pictures_of(chosen, reals),
                names=tuple(image_set.names[row % len(image_set)] for row in chosen),
                distances=tuple(distances[i]),
                ratios=tuple(ratios[i]),
            )
            print(words_of(shown, THRESHOLD))
            rows.append(shown)
    out = user_path(options.out)
    with writing(options.out, "--out"):
        image_files.save_png(out, neighbour_sheet(rows, THRESHOLD))
    copies = len({row.seed for row in rows if row.ratios[0] < THRESHOLD})
    print(f"{out}: {copies} of {len(seeds)} images count as copies (a ratio below {THRESHOLD:g})")
    return 0


def opened(options, run):
    """(weights.TrainedGenerator, its generator folded in float32)."""
    from gan_tf.runs.weights import load_generator

    trained = load_generator(run, options.which, log)
    return trained, trained.folded()


def training_images(options, run):
    """The ImageSet of the run."""
    from gan_tf.cli import training_images

    return training_images.of_run(run, options.dataset, offline=options.offline, memory_gb=options.memory_gb, log=log)


def spaces_of(options, run):
    """Names of the spaces to compare in."""
    if options.space == "both":
        return [PIXELS, INCEPTION]
    if options.space != "auto":
        return [options.space]
    from gan_tf.report.summary import read_summary

    facts = read_summary(run)
    checks = [scored.copy_protocol.get("space") for scored in (*facts.scores, facts.best) if scored]
    looked = any(isinstance(space, str) and INCEPTION in space for space in checks)
    return [PIXELS, INCEPTION] if looked else [PIXELS]


def search(options, space, reals, images):
    """(rows, distances, ratios), each [N, K], of the nearest training images in a space."""
    import numpy as np

    from gan_tf.io.progress import StagedProgress
    from gan_tf.metrics import memorisation
    from gan_tf.metrics.definitions import SEED
    from gan_tf.metrics.gallery import Gallery, ratios
    from gan_tf.metrics.networks import Networks
    from gan_tf.metrics.pixel_space import pixel_vectors
    from gan_tf.metrics.reals import RealFeatures

    if space == PIXELS:
        gallery, vectors = memorisation.prepare(reals.images, reals.mirror, SEED), pixel_vectors(images)
    else:
        instead = "give --space pixels, which needs no such file"
        networks = Networks(weights=options.weights, offline=options.offline, log=log, alternative=instead)
        extractor = networks.extractor
        stages = StagedProgress()
        features = RealFeatures(reals, extractor)
        known = features.compute(stages)
        if reals.mirror:
            known = np.concatenate([known, features.compute(stages, mirrored=True)])
        stages.close()
        gallery = Gallery(known, len(reals.images), space, SEED)
        vectors = np.concatenate([found for found, _ in extractor.stream([images])])
    rows, distances = gallery.nearest_images(vectors, options.nearest)
    divisors = np.stack([gallery.divisors(column) for column in rows.T], axis=1)
    return rows, distances, ratios(distances, divisors)


def pictures_of(rows, reals):
    """uint8 [K, R, R, 3] of gallery rows."""
    import numpy as np

    count = len(reals.images)
    images = [np.asarray(reals.images[row % count]) for row in rows]
    return np.stack([image[:, ::-1] if row >= count else image for row, image in zip(rows, images, strict=True)])


def words_of(row, threshold):
    """A line about the nearest training image."""
    from gan_tf.io.files import printable

    copied = ", counts as a copy" if row.ratios[0] < threshold else ""
    return (
        f"seed {row.seed}, {row.space}: nearest is training image {printable(row.names[0])}, "
        f"distance {row.distances[0]:.3g}, ratio {row.ratios[0]:.2f}{copied}"
    )


def log(line):
    """Speaks on standard error: standard output is for what was found."""
    print(line, file=sys.stderr, flush=True)
