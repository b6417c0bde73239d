"""`gan-tf generate --best K`: the K of all samples that are nearest to the real data, labelled as chosen."""

import dataclasses
import functools
import math

from gan_tf.errors import UsageError

DISCRIMINATOR, FEATURES, PIXELS = "discriminator", "features", "pixels"
WORDS = {
    DISCRIMINATOR: "the discriminator",
    FEATURES: "Inception features (realism)",
    PIXELS: "small versions of the pixels (realism)",
}
BY = f"{DISCRIMINATOR},{FEATURES}"
LABEL_PIXELS = 512  # least width of a sheet, so that its label can be read


@dataclasses.dataclass(frozen=True)
class Chosen:
    """What was chosen.

    seeds: best first. about: {seed: words for its file}. label: line for people. reals: metrics.reals.Reals where they
    had a part in it, else None.
    """

    seeds: list
    about: dict
    label: str
    reals: object

    def write_sheet(self, images, path):
        """Writes the chosen images, uint8 [K, R, R, 3], as one picture with its label in it, and says where.

        What is nearest to the real images may be one of them, so the copy check looks at the chosen ones.
        """

        from gan_tf.io import image_files
        from gan_tf.metrics import memorisation
        from gan_tf.metrics.reals import measurable
        from gan_tf.sampling.sheets import add_heading

        images = measurable(images)
        columns, times = layout_of(len(images), images.shape[1])
        picture = image_files.grid(image_files.enlarge(images, times * images.shape[1]), columns)
        sheet = add_heading(picture, self.label)
        print(f"sheet: {image_files.save_png(path, sheet, description=self.label)}")
        if self.reals is not None and len(self.reals.images) > 1:
            share = memorisation.measure(memorisation.prepare(self.reals.images, self.reals.mirror), [images]).share
            print(f"copy check: {round(share * len(images))} of {len(images)} chosen images repeat a training image")


def columns_of(count):
    """Columns of a sheet: a divisor that makes it no more than three times as wide as high, else nearly a square."""
    least = math.ceil(math.sqrt(count))
    full = [columns for columns in range(least, math.isqrt(3 * count) + 1) if count % columns == 0]
    return full[0] if full else least


def layout_of(count, resolution):
    """(columns of a sheet of so many images, how often each pixel is repeated)."""
    columns = columns_of(count)
    return columns, max(1, -(-LABEL_PIXELS // (columns * resolution)))


def refuse_huge_sheet(count, resolution):
    """Raises UsageError if the sheet of so many chosen images is too large for other programs."""
    from gan_tf.io.image_files import check_image_size

    columns, times = layout_of(count, resolution)
    side = times * resolution
    check_image_size(
        columns * side, -(-count // columns) * side, f"--best is {count}", "give fewer, whose sheet can be shown"
    )


def check_best(options):
    """Refuses what `--best` cannot mean.

    Raises:
        UsageError: so it is.
    """
    count = len(options.all_seeds())
    if not 1 <= options.best < count:
        raise UsageError(f"--best is {options.best} of {count} images; give 1 to {count - 1}, or a larger --count")
    ways_of(options.by or BY)


def ways_of(by):
    """The judges that `--by` names, in order.

    Raises:
        UsageError: an unknown one, or none.
    """
    ways = list(dict.fromkeys(name.strip() for name in by.split(",") if name.strip()))
    unknown = [name for name in ways if name not in WORDS]
    if unknown or not ways:
        raise UsageError(f"--by is {by!r}; give {', '.join(WORDS)}, or several with commas between them")
    return ways


def curate(options, opened, seeds) -> Chosen:
    """Generates the images of all seeds, scores them, and selects the best.

    Raises:
        UsageError: no discriminator, no data, or no Inception weights.
    """
    import numpy as np

    from gan_tf.metrics.realism import mean_rank

    ways = ways_of(options.by or BY)
    find_reals = functools.cache(lambda: real_side(options, opened))
    judges = {way: JUDGES[way](options, opened, find_reals) for way in ways}
    scores = judged(options, opened, seeds, judges)
    order = np.argsort(mean_rank(scores), kind="stable")[: options.best]
    words = " and ".join(WORDS[way] for way in ways) + (" (mean rank)" if len(ways) > 1 else "")
    label = f"curated: the best {options.best} of {len(seeds)} images by {words}"
    print("; ".join([label, *(judge.remark for judge in judges.values() if judge.remark)]), flush=True)
    best = [seeds[i] for i in order]
    about = {}
    for rank, i in enumerate(order, 1):
        values = ", ".join(f"{way} {float(scores[way][i]):.4g}" for way in ways)
        about[seeds[i]] = f"{label}; seed {seeds[i]}, rank {rank}: {values}"
    return Chosen(best, about, label, find_reals() if set(ways) != {DISCRIMINATOR} else None)


def judged(options, opened, seeds, judges):
    """Returns {way: float64 [N]} for the images of all seeds, which are not kept."""
    import numpy as np

    from gan_tf.io.progress import Progress
    from gan_tf.sampling.generate import images_of_seeds

    labels, scores, done = opened.labels(seeds), {way: [] for way in judges}, 0
    batch_size = min(opened.batch_size, len(seeds))
    with Progress(len(seeds), "judged") as progress:
        for some, images in images_of_seeds(opened.generator, seeds, batch_size, options.truncation, labels):
            classes = None if labels is None else labels[done : done + len(some)]
            done += len(some)
            for way, judge in judges.items():
                scores[way].append(np.asarray(judge.score(images, classes), np.float64))
            progress.advance(len(some))
    return {way: np.concatenate(batches) for way, batches in scores.items()}


@dataclasses.dataclass(frozen=True)
class Judge:
    """score: uint8 [n, R, R, 3], their classes [n] or None -> [n], larger is better, of each image by itself. remark:
    words for people.
    """

    score: object
    remark: str | None = None


def by_discriminator(options, opened, find_reals):
    """The Judge that is the run's newest discriminator."""
    from gan_tf.sampling.discriminator import load_discriminator_scorer

    try:
        score, seen = load_discriminator_scorer(opened.run, opened.trained.config, opened.trained.generator)
    except UsageError as error:
        raise UsageError(f"--by discriminator: {error} (--by features and --by pixels need none)") from error
    other = seen != opened.trained.images_seen
    remark = f"the discriminator is that of {seen / 1000:.1f} kimg, only the newest is kept" if other else None
    return Judge(score, remark)


def by_features(options, opened, find_reals):
    """The Judge of the distance between Inception features."""
    import numpy as np

    from gan_tf.io.progress import StagedProgress
    from gan_tf.metrics.networks import Networks
    from gan_tf.metrics.realism import balls_of, realism_in
    from gan_tf.metrics.reals import RealFeatures, measurable

    advice = "give --by discriminator,pixels, which needs no such file"
    extractor = Networks(weights=options.weights, offline=options.offline, alternative=advice).extractor
    reals = find_reals()
    stages = StagedProgress()
    features = RealFeatures(reals, extractor)
    found = [features.compute(stages), *([features.compute(stages, mirrored=True)] if reals.mirror else [])]
    found = np.concatenate(found)
    stages.close()
    balls = balls_of(found, neighbours(found))

    def score(images, labels):
        return realism_in(balls, np.concatenate([rows for rows, _ in extractor.stream([measurable(images)])]))

    return Judge(score)


def by_pixels(options, opened, find_reals):
    """The Judge of the distance between images weighed down to 16x16."""
    import numpy as np

    from gan_tf.metrics.pixel_space import mirrored_vectors, pixel_vectors
    from gan_tf.metrics.realism import balls_of, realism_in
    from gan_tf.metrics.reals import measurable

    reals = find_reals()
    vectors = pixel_vectors(reals.images)
    if reals.mirror:
        vectors = np.concatenate([vectors, mirrored_vectors(vectors)])
    balls = balls_of(vectors, neighbours(vectors))

    def score(images, labels):
        return realism_in(balls, pixel_vectors(measurable(images)))

    return Judge(score)


JUDGES = {DISCRIMINATOR: by_discriminator, FEATURES: by_features, PIXELS: by_pixels}


def neighbours(vectors):
    """The published 3 neighbours, fewer where there are no more real images."""
    return min(3, len(vectors) - 1)


def real_side(options, opened):
    """The run's real images at the generator's size: of the class that is asked for, if one is."""
    from gan_tf.cli import training_images
    from gan_tf.metrics.reals import reals_at

    given = {"offline": options.offline, "memory_gb": options.memory_gb}
    images = training_images.of_run(opened.run, options.dataset, **given)
    only = None if opened.class_number is None else opened.trained.classes.names[opened.class_number]
    if only is not None and only not in images.class_names:
        raise UsageError(f"--dataset {options.dataset}: it has no class {only!r}; give images of the run's classes")
    return reals_at(images, opened.generator.resolution, opened.trained.config.mirror, only)
