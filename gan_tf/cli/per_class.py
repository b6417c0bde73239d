"""`gan-tf evaluate RUN --per-class`: the score of each class against the real images of that class."""

import dataclasses
import hashlib

from gan_tf.errors import UsageError

ALWAYS_WHOLE = ("memorisation",)  # a copy of another class's image is one as well


def refuse(options, why):
    """Raises UsageError: there are no classes to score."""
    raise UsageError(f"--per-class: {options.target} {why}; leave it out")


def parts_of(options, trained, images, resolution):
    """The real images of each class: a list of (number of the class, its name, Reals).

    Args:
        trained: weights.Trained.
        images: data.prepare.ImageSet, of the run or of --dataset.
        resolution: pixels of the fakes.

    Raises:
        UsageError: the run is unconditional, or the images are not of its classes.
    """
    import numpy as np

    from gan_tf.metrics.reals import Reals, measurable

    if not trained.classes:
        refuse(options, "is a run of unconditional networks, which learnt all images as one kind")
    missing = [name for name in trained.classes.names if name not in images.class_names]
    if missing:
        refuse(options, f"knows the class {missing[0]!r}, and --dataset does not")
    small, found = images.at(resolution), []
    for number, name in enumerate(trained.classes.names):
        rows = np.flatnonzero(images.labels == images.class_names.index(name))
        if len(rows):
            key = hashlib.sha256(f"{small.key}/class/{name}".encode()).hexdigest()[: len(small.key)]
            source = f"{small.name}, class {name}"
            some = Reals(measurable(np.asarray(small.images[rows])), key, source, trained.config.mirror, resolution)
            found.append((number, name, some))
    return found


def scores_of(parts, names, sampler, networks, watch, say):
    """Scores of each class, called METRIC/CLASS.

    Args:
        parts: what `parts_of` returned.
        names: of the metrics. Those on paths through latents, and the copy check, are of all classes together.
        sampler: training.evaluation.Sampler.

    Returns:
        list of Score.
    """
    from gan_tf.metrics.evaluate import Evaluator
    from gan_tf.metrics.table import METRICS, PATHS

    if not parts:
        return []
    found = []
    names = [name for name in names if name not in ALWAYS_WHOLE and METRICS[name].needs != PATHS]
    try:
        for number, name, reals in parts:
            few = [metric for metric in names if len(reals.images) < METRICS[metric].least]
            if few:
                say(f"class {name}: {len(reals.images)} real images are too few for {', '.join(few)}")
            rest = [metric for metric in names if metric not in few]
            if not rest:
                continue
            sampler.only = number
            for score in Evaluator(rest, reals, networks, watch)(sampler).scores.values():
                protocol = {**score.protocol, "class": name}
                found.append(dataclasses.replace(score, name=f"{score.name}/{name}", protocol=protocol))
    finally:
        sampler.only = None
    return found
