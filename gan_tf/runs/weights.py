"""Loads the trained networks of a run: the EMA generator, or networks of the newest checkpoint."""

import dataclasses

import keras

from gan_tf.config.settings import TrainConfig
from gan_tf.data import class_labels
from gan_tf.data.class_labels import ClassLabels
from gan_tf.errors import UsageError
from gan_tf.io.files import exists
from gan_tf.models import FAMILIES
from gan_tf.models.pggan import GROWTH, growth_of
from gan_tf.models.statistics import StandingStatistics
from gan_tf.models.variables import load_weights
from gan_tf.runs.checkpoints import read_arrays, read_newest
from gan_tf.runs.folder import IMAGE_COUNT, Run


@dataclasses.dataclass(frozen=True)
class TrainedGenerator:
    """An EMA generator with its trained weights and their origin."""

    generator: keras.Model  # float32
    config: TrainConfig  # of the run
    images_seen: int  # real images that it was trained on
    meta: dict = dataclasses.field(default_factory=dict)  # stored with the weights, such as the score; {} for "last"
    converted_from: str | None = None  # name and SHA-256 of the file of a converted run
    classes: ClassLabels = ClassLabels()  # of a conditional generator

    def folded(self, policy="float32"):
        """Returns the generator for inference, with norms folded into weights. `policy`: a Keras dtype policy."""
        return FAMILIES[self.config.model].fold(self.generator, policy)


def load_generator(run: Run, which: str = "best", log=print) -> TrainedGenerator:
    """Builds the EMA generator of a run from its settings and weights.

    Args:
        which: "best": the weights with the best score; "last": those of the newest undamaged checkpoint, with
            batch norm statistics that are estimated now; an image count such as "12000": those of a snapshot.
        log: called with a line for each damaged checkpoint.

    Raises:
        UsageError: there is no run or no such weights, or they do not fit the settings.
    """
    if which not in ("best", "last") and not IMAGE_COUNT.fullmatch(which):
        raise UsageError(f"--which {which[:40]!r} is unknown; give best, last, or the image count of a snapshot")
    config, data = run.read_settings()
    try:
        if which == "last":
            networks, seen, source = newest_networks(run, ["g_ema"], log)
            weights, meta = networks["g_ema"], {}
        else:
            weights, meta = run.best_weights() if which == "best" else run.snapshot_weights(int(which))
            seen, source = meta["images_seen"], run.best if which == "best" else f"the snapshot {which}"
    except UsageError as error:
        stored = {"best": exists(run.best), "last": run.checkpoints()}
        others = " or ".join(name for name, found in stored.items() if found and name != which)
        raise UsageError(f"{error} (or give --which {others})" if others else str(error)) from error
    generator = FAMILIES[config.model].generator(config, "float32")
    if hasattr(generator, GROWTH):
        growth_of(weights, generator.levels, source)
    load_weights(generator, weights, source)
    classes = class_labels.of_run(config, data, run.folder)
    if which == "last":  # a checkpoint has averages of the statistics
        load_weights(generator, StandingStatistics(generator, classes.sample)(weights), source)
    return TrainedGenerator(generator, config, seen, meta, data.get("converted_from") or None, classes)


def newest_networks(run: Run, networks, log=print):
    """Reads several networks, such as "g_ema" and "d", from the newest undamaged checkpoint.

    Returns:
        ({network: {attribute path: array}}, images seen, the checkpoint's prefix).

    Raises:
        UsageError: there is no checkpoint, or none can be read.
    """
    checkpoints = run.checkpoints()
    if not checkpoints:
        raise UsageError(f"{run.folder} has no checkpoint; train until the first one is saved")
    found = read_newest(checkpoints, lambda _, prefix: {name: read_arrays(prefix, name) for name in networks}, log)
    if found is None:
        raise UsageError(
            f"none of the {len(checkpoints)} checkpoints in {run.state} can be read; restore one from a backup"
        )
    return found
