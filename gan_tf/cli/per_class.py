"""`gan-tf evaluate RUN --per-class`: the score of each class against the real images of that class."""

import dataclasses
import functools

from gan_tf.errors import UsageError

ALWAYS_WHOLE = ("memorisation",)  # a copy of another class's image is one as well


def refuse(options, why):
    """Raises UsageError: there are no classes to score."""
    raise UsageError(f"--per-class: {options.target} {why}; leave it out")


def refuse_unconditional(options, trained):
    """Raises UsageError if the networks of a run know no classes."""
    if not trained.classes:
        refuse(options, "is a run of unconditional networks, which learnt all images as one kind")


def parts_of(options, trained, images, resolution):
    """The classes of a run: a list of (number, name, function that gives the Reals of the class).

    Args:
        trained: weights.TrainedGenerator of conditional networks.
        images: data.prepare.ImageSet, of the run or of --dataset.
        resolution: pixels of the fakes.

    Raises:
        UsageError: the images are not of its classes.
    """
    from gan_tf.metrics.reals import reals_at

    missing = [name for name in trained.classes.names if name not in images.class_names]
    if missing:
        refuse(options, f"knows the class {missing[0]!r}, and --dataset does not")
    return [
        (number, name, functools.partial(reals_at, images, resolution, trained.config.mirror, only=name))
        for number, name in enumerate(trained.classes.names)
    ]


def scores_of(parts, names, sampler, networks, progress, log):
    """Scores of each class, called METRIC/CLASS.

    Args:
        parts: what `parts_of` returned.
        names: of the metrics. Those on paths through latents, and the copy check, are of all classes together.
        sampler: sampling.sampler.Sampler.

    Returns:
        list of Score.
    """
    from gan_tf.metrics.definitions import METRICS, PATHS
    from gan_tf.metrics.evaluate import Evaluator

    if not parts:
        return []
    found = []
    names = [name for name in names if name not in ALWAYS_WHOLE and METRICS[name].needs != PATHS]
    try:
        for number, name, reals_of_class in parts:
            reals = reals_of_class()  # those of one class in memory at a time
            few = [metric for metric in names if len(reals.images) < METRICS[metric].least]
            if few:
                log(f"class {name}: {len(reals.images)} real images are too few for {', '.join(few)}")
            rest = [metric for metric in names if metric not in few]
            if not rest:
                continue
            sampler.only = number
            for score in Evaluator(rest, reals, networks)(sampler, progress=progress).scores.values():
                protocol = {**score.protocol, "class": name}
                found.append(dataclasses.replace(score, name=f"{score.name}/{name}", protocol=protocol))
    finally:
        sampler.only = None
    return found
