"""The trained generator of a run: what every command after training starts from."""

import dataclasses
import re

import keras
import tensorflow as tf

from gan_tf.config.settings import TrainConfig
from gan_tf.data import class_labels
from gan_tf.data.class_labels import ClassLabels
from gan_tf.errors import UsageError
from gan_tf.models import FAMILIES
from gan_tf.models.pggan import GROWTH, growth_of
from gan_tf.models.variables import load_weights
from gan_tf.runs.folder import MOST_DIGITS, Run

WHICH = ("best", "last")  # or the image count of a snapshot
DAMAGED = (tf.errors.OpError, IndexError, ValueError)  # what a broken checkpoint raises
VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"  # tf.train.Checkpoint ends the key of every variable so


@dataclasses.dataclass(frozen=True)
class TrainedGenerator:
    """A generator with its trained weights, and where they come from."""

    generator: keras.Model  # the averaged one, float32
    config: TrainConfig
    images_seen: int
    meta: dict = dataclasses.field(default_factory=dict)  # stored beside the weights: score, copies; nothing for "last"
    converted_from: str | None = None  # the file of another program that the run was made of, and its SHA-256
    classes: ClassLabels = ClassLabels()  # that its networks know

    def folded(self, policy="float32"):
        """The generator without what training alone needs, for images; `policy` is Keras's name of the precision."""
        return FAMILIES[self.config.model].fold(self.generator, policy)


def load_generator(run: Run, which: str = "best", log=print) -> TrainedGenerator:
    """Builds the averaged generator of a run from its settings and weights.

    Args:
        which: "best": the weights with the best score; "last": those of the newest checkpoint that holds them whole;
            "12000": those of the snapshot at so many images.
        say: told about damaged checkpoints.

    Raises:
        UsageError: no run, no such weights, or weights that do not fit the settings.
    """
    is_count = which.isascii() and which.isdigit() and len(which) < MOST_DIGITS
    if which not in WHICH and not is_count:
        raise UsageError(
            f"--which {which[:40]!r} is unknown; choose from {', '.join(WHICH)}, or a snapshot's image count"
        )
    config, data = run.read_settings()
    if is_count:
        weights, meta = run.snapshot_weights(int(which))
        seen, where = meta["images_seen"], f"the snapshot {which}"
    elif which == "best":
        weights, meta = run.best_weights()
        seen, where = meta["images_seen"], run.best
    else:
        weights, seen, where = newest_weights(run, "g_ema", log)
        meta = {}
    generator = FAMILIES[config.model].generator(config, "float32")
    if hasattr(generator, GROWTH):
        growth_of(weights, generator.levels, where)
    load_weights(generator, weights, where)
    known = class_labels.of_run(config, data, run.folder)
    return TrainedGenerator(generator, config, seen, meta, data.get("converted_from") or None, known)


def newest_weights(run: Run, network: str, log=print):
    """Reads one network out of the newest checkpoint that holds it whole.

    Returns:
        ({attribute path: array}, images seen, the checkpoint's prefix).

    Raises:
        UsageError: there is no checkpoint, or none can be read.
    """
    found, seen, prefix = newest_networks(run, (network,), log)
    return found[network], seen, prefix


def newest_networks(run: Run, networks, log=print, instead="use --which best"):
    """Reads several networks out of the newest checkpoint that holds them whole. `instead` is what a message offers.

    Returns:
        ({network: {attribute path: array}}, images seen, the checkpoint's prefix).

    Raises:
        UsageError: as `newest_weights`.
    """
    candidates = run.checkpoints()
    if not candidates:
        raise UsageError(f"{run.folder} has no checkpoint yet; train until the first one is saved")
    for seen, prefix in candidates:
        try:
            return {network: _read(prefix, network) for network in networks}, seen, prefix
        except DAMAGED as error:
            reason = str(error).splitlines()[0][:100]
            log(f"warning: checkpoint {prefix.name} is damaged ({reason}); trying an older one")
    raise UsageError(f"none of the {len(candidates)} checkpoints in {run.state} can be read; {instead}")


def _read(prefix, network):
    """{attribute path: array} of the variables saved under `network`/."""
    reader = tf.train.load_checkpoint(str(prefix))
    names = {_unescaped(key.removesuffix(VALUE)): key for key in reader.get_variable_to_shape_map()}
    own = {name.removeprefix(network + "/"): key for name, key in names.items() if name.startswith(network + "/")}
    return {name: reader.get_tensor(key) for name, key in own.items()}


def _unescaped(key):
    """Undoes what tf.train.Checkpoint does to a name: "." is written "..", "/" is written ".S"."""
    return re.sub(r"\.([.S])", lambda match: "/" if match[1] == "S" else ".", key)
