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

    def write_sheet(self, store, path):
        """Writes the chosen images as one picture with its label in it, and says where.

        What is nearest to the real images may be one of them, so the copy check looks at the chosen ones.
        """
        import numpy as np

        from gan_tf import pictures
        from gan_tf.metrics import memorisation
        from gan_tf.metrics.reals import measurable
        from gan_tf.sampling.captions import labelled

        images = measurable(np.stack([store.image(i) for i in range(len(self.seeds))]))
        columns = columns_of(len(images))
        times = max(1, -(-LABEL_PIXELS // (columns * images.shape[1])))
        picture = pictures.grid(pictures.enlarge(images, times * images.shape[1]), columns)
        sheet = labelled(picture, self.label)
        print(f"sheet: {pictures.save_png(path, sheet, about=self.label)}")
        if self.reals is not None and len(self.reals.images) > 1:
            share = memorisation.measure(memorisation.prepare(self.reals.images, self.reals.mirror), [images]).share
            print(f"copy check: {round(share * len(images))} of {len(images)} chosen images repeat a training image")


def columns_of(count):
    """Columns of a sheet: a divisor that makes it no more than three times as wide as high, else nearly a square."""
    least = math.ceil(math.sqrt(count))
    full = [columns for columns in range(least, math.isqrt(3 * count) + 1) if count % columns == 0]
    return full[0] if full else least


def check_best(options):
    """Refuses what `--best` cannot mean.

    Raises:
        UsageError: so it is.
    """
    count = len(options.all_seeds())
    if not 1 <= options.best < count:
        raise UsageError(f"--best is {options.best} of {count} images; give 1 to {count - 1}, or a larger --count")
    ways_of(options.by)


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
    """Makes all images, judges them, and chooses.

    Raises:
        UsageError: no discriminator, no data, or no weights of Inception.
    """
    import numpy as np

    from gan_tf.metrics.realism import mean_rank

    ways = ways_of(options.by)
    find_reals = functools.cache(lambda: real_side(options, opened))
    judges, remarks = {}, []
    for way in ways:
        judges[way], remark = JUDGES[way](options, opened, find_reals)
        remarks += [remark] if remark else []
    scores = judged(options, opened, seeds, judges)
    order = np.argsort(mean_rank(scores), kind="stable")[: options.best]
    words = " and ".join(WORDS[way] for way in ways) + (" (mean rank)" if len(ways) > 1 else "")
    label = f"curated: the best {options.best} of {len(seeds)} images by {words}"
    print("; ".join([label, *remarks]), flush=True)
    best = [seeds[i] for i in order]
    about = {}
    for rank, i in enumerate(order, 1):
        values = ", ".join(f"{way} {float(scores[way][i]):.4g}" for way in ways)
        about[seeds[i]] = f"{label}; seed {seeds[i]}, rank {rank}: {values}"
    return Chosen(best, about, label, find_reals() if set(ways) != {DISCRIMINATOR} else None)


def judged(options, opened, seeds, judges):
    """{way: float [N]} for the images of all seeds, which are not kept."""
    import numpy as np

    from gan_tf.progress import Progress
    from gan_tf.sampling.generate import images_of_seeds

    seen = {way: [] for way in judges}
    with Progress(len(seeds), "judged") as progress:
        for some, images in images_of_seeds(opened.generator, seeds, opened.batch_size, options.truncation):
            for way, judge in judges.items():
                seen[way].append(judge.see(images))
            progress.advance(len(some))
    return {way: judge.scores(np.concatenate(seen[way])) for way, judge in judges.items()}


@dataclasses.dataclass(frozen=True)
class Judge:
    """see: uint8 [n, R, R, 3] -> [n, ...]; scores: all that was seen [N, ...] -> [N], larger is better."""

    see: object
    scores: object


def by_discriminator(options, opened, find_reals):
    """(Judge, remark) of the run's newest discriminator."""
    from gan_tf.sampling.judge import load_judge

    growth = getattr(opened.trained.generator, "growth", None)
    try:
        judge, seen = load_judge(opened.run, opened.trained.config, None if growth is None else float(growth.numpy()))
    except UsageError as error:
        raise UsageError(f"--by discriminator: {error} (--by features and --by pixels need none)") from error
    other = seen != opened.trained.images_seen
    remark = f"the discriminator is that of {seen / 1000:.1f} kimg, only the newest is kept" if other else None
    return Judge(judge, lambda scores: scores), remark


def by_features(options, opened, find_reals):
    """(Judge, None) of the distance between Inception features."""
    import numpy as np

    from gan_tf.metrics.networks import Networks
    from gan_tf.metrics.realism import realism
    from gan_tf.metrics.reals import RealFeatures, measurable
    from gan_tf.progress import Stages

    advice = "give --by discriminator,pixels, which needs no such file"
    extractor = Networks(weights=options.weights, offline=options.offline, alternative=advice).extractor
    reals = find_reals()
    stages = Stages()
    features = RealFeatures(reals, extractor, stages)
    found = np.concatenate([features.features, *([features.mirrored] if reals.mirror else [])])
    stages.close()

    def see(images):
        return np.concatenate([rows for rows, _ in extractor.stream([measurable(images)])])

    return Judge(see, lambda fakes: realism(found, fakes, neighbours(found))), None


def by_pixels(options, opened, find_reals):
    """(Judge, None) of the distance between images weighed down to 16x16."""
    import numpy as np

    from gan_tf.metrics.pixel_space import mirrored_vectors, pixel_vectors
    from gan_tf.metrics.realism import realism
    from gan_tf.metrics.reals import measurable

    reals = find_reals()
    vectors = pixel_vectors(reals.images)
    if reals.mirror:
        vectors = np.concatenate([vectors, mirrored_vectors(vectors)])
    judge = Judge(
        lambda images: pixel_vectors(measurable(images)), lambda fakes: realism(vectors, fakes, neighbours(vectors))
    )
    return judge, None


JUDGES = {DISCRIMINATOR: by_discriminator, FEATURES: by_features, PIXELS: by_pixels}


def neighbours(vectors):
    """The published 3 neighbours, fewer where there are no more real images."""
    return min(3, len(vectors) - 1)


def real_side(options, opened):
    """The run's real images at the generator's size."""
    from gan_tf.cli.evaluate import same_images
    from gan_tf.metrics.reals import reals_at

    config = opened.trained.config
    images = same_images(opened.run, options, config)
    return reals_at(images, opened.generator.resolution, config.mirror)
