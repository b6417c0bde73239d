"""`gan-tf generate --best K`: keeps the K images with the best scores, and labels them as curated."""

import dataclasses
import functools
import math

import numpy as np

from gan_tf.cli import training_images
from gan_tf.errors import UsageError
from gan_tf.io import image_files
from gan_tf.io.progress import Progress, StagedProgress
from gan_tf.metrics.feature_metrics import realism, smaller_balls
from gan_tf.metrics.image_sets import RealImages, measurable, reals_at
from gan_tf.metrics.memorisation import CopyCheck
from gan_tf.metrics.neighbour_index import pixel_index, pixel_vectors, training_vectors
from gan_tf.sampling.sheets import add_heading

DISCRIMINATOR, FEATURES, PIXELS = "discriminator", "features", "pixels"
DESCRIPTIONS = {
    DISCRIMINATOR: "the discriminator",
    FEATURES: "Inception features (realism)",
    PIXELS: "small versions of the pixels (realism)",
}
MIN_SHEET_WIDTH = 512  # pixels, so that the label of a sheet is readable


@dataclasses.dataclass(frozen=True)
class Selection:
    """The selected images."""

    seeds: list  # best first
    about: dict  # {seed: description for its file}
    label: str  # heading of the sheet, such as "curated: the best 8 of 64 images by ..."
    reals: RealImages | None  # if images were compared with them

    def write_sheet(self, images, path):
        """Writes the selected images, uint8 [K, H, W, C], as one labelled image, and prints its path.

        Selection by similarity to real images favours copies of them, so their number is printed too.
        """
        images = measurable(images)
        columns, factor = sheet_layout(len(images), images.shape[2])
        sheet = image_files.rgb_grid(image_files.enlarge(images, factor * images.shape[1]), columns)
        print(f"sheet: {image_files.save_png(path, add_heading(sheet, self.label), description=self.label)}")
        if self.reals is not None and len(self.reals.images) > 1:
            check = CopyCheck([pixel_index(self.reals.images, self.reals.mirror)], len(images))
            check.add(images)
            copies = round(check.result().value * len(images))
            print(f"copy check: {copies} of {len(images)} selected images repeat a training image")


def sheet_layout(count, width):
    """Returns (number of columns of a sheet of `count` images, integer factor by which images are enlarged).

    The number of columns divides `count` if that gives a sheet at most three times as wide as high.
    """
    square = math.ceil(math.sqrt(count))
    columns = next((n for n in range(square, math.isqrt(3 * count) + 1) if count % n == 0), square)
    return columns, math.ceil(MIN_SHEET_WIDTH / (columns * width))


def check_sheet_size(count, image_shape):
    """Raises UsageError if the sheet of `count` images (H, W, C) would be too large for other programs."""
    height, width, _ = image_shape
    columns, factor = sheet_layout(count, width)
    size = columns * factor * width, math.ceil(count / columns) * factor * height
    image_files.check_image_size(*size, f"--best is {count}", "give fewer")


def check_best(options):
    """Raises UsageError if --best or --by is invalid."""
    count = len(options.all_seeds())
    if not 1 <= options.best < count:
        choices = f"1 to {count - 1}, or " if count > 1 else ""
        raise UsageError(f"--best is {options.best} of {count} images; give {choices}a larger --count")
    scorer_names(options)


def scorer_names(options):
    """Returns the names in --by. Raises UsageError for an unknown name, or if there is none."""
    by = "discriminator,features" if options.by is None else options.by
    names = list(dict.fromkeys(name.strip() for name in by.split(",") if name.strip()))
    if not names or any(name not in DESCRIPTIONS for name in names):
        raise UsageError(f"--by is {by!r}; give {', '.join(DESCRIPTIONS)}, or several with commas between them")
    return names


def curate(options, loaded, seeds) -> Selection:
    """Generates the images of all seeds, scores them, and selects --best by the mean of their ranks."""
    from scipy.stats import rankdata

    from gan_tf.sampling.sampler import load_discriminator_scorer

    names, trained = scorer_names(options), loaded.trained
    load_reals = functools.cache(lambda: training_reals(options, loaded))
    scorers, remarks = {}, []
    for name in names:
        if name != DISCRIMINATOR:
            scorers[name] = realism_scorer(options, load_reals, name)
            continue
        try:
            scorers[name], seen = load_discriminator_scorer(loaded.run, trained.config, trained.generator)
        except UsageError as error:
            raise UsageError(f"--by discriminator: {error}, or give --by features or --by pixels") from error
        if seen != trained.images_seen:
            remarks.append(f"the discriminator is that of {seen / 1000:.1f} kimg, since only the newest one is stored")
    scores = score_images(options, loaded, seeds, scorers)
    rank = np.mean([rankdata(-values, method="ordinal") for values in scores.values()], axis=0)
    best = np.argsort(rank, kind="stable")[: options.best]
    by = " and ".join(DESCRIPTIONS[name] for name in names) + (" (mean rank)" if len(names) > 1 else "")
    label = f"curated: the best {options.best} of {len(seeds)} images by {by}"
    print("; ".join([label, *remarks]), flush=True)
    about = {}
    for position, i in enumerate(best, 1):
        values = ", ".join(f"{name} {scores[name][i]:.4g}" for name in names)
        about[seeds[i]] = f"{label}; seed {seeds[i]}, rank {position}: {values}"
    return Selection(list(about), about, label, load_reals() if set(names) != {DISCRIMINATOR} else None)


def score_images(options, loaded, seeds, scorers):
    """Generates the images of all seeds without keeping them. Returns {name of the scorer: float64 [N]}."""
    from gan_tf.sampling.generate import images_of_seeds

    labels, scores = loaded.labels(seeds), {name: [] for name in scorers}
    batch_size = min(loaded.batch_size, len(seeds))
    with Progress(len(seeds), "scored") as progress:
        for batch, images in images_of_seeds(loaded.generator, seeds, batch_size, options.truncation, labels):
            batch_labels = None if labels is None else labels[progress.done : progress.done + len(batch)]
            for name, scorer in scorers.items():
                scores[name].append(np.asarray(scorer(images, batch_labels), np.float64))
            progress.advance(len(batch))
    return {name: np.concatenate(batches) for name, batches in scores.items()}


def realism_scorer(options, load_reals, name):
    """Returns a function (images uint8 [n, H, W, C], labels) -> realism [n], by Inception features or pixels."""
    from gan_tf.metrics.features import Networks, RealFeatures

    if name == PIXELS:
        reals, vectors_of = training_vectors(load_reals().images, load_reals().mirror), pixel_vectors
    else:
        advice = "give --by discriminator,pixels, which needs no such file"
        extractor = Networks(weights=options.weights, offline=options.offline, alternative=advice).extractor
        progress = StagedProgress()
        reals = RealFeatures(load_reals(), extractor).training_images(progress)
        progress.close()

        def vectors_of(images):
            return np.concatenate([features for _, features, _ in extractor.stream([images])])

    balls = smaller_balls(reals, min(3, len(reals) - 1))  # 3 neighbours in the paper
    return lambda images, labels: realism(balls, vectors_of(measurable(images)))


def training_reals(options, loaded):
    """Returns the training images at the generator's size, of --class only if it is given."""
    images = training_images.of_run(loaded.run, options.dataset, offline=options.offline, memory_gb=options.memory_gb)
    name = None if loaded.class_number is None else loaded.trained.classes.names[loaded.class_number]
    if name is not None and name not in images.class_names:
        raise UsageError(f"--dataset {options.dataset} has no class {name!r}; give images of the run's classes")
    return reals_at(images, loaded.generator.image_shape[0], training_images.may_be_mirrored(loaded.run), name)
