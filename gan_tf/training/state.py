"""TrainState: everything that a run needs to continue, and its checkpoints."""

import dataclasses
import re

import keras
import tensorflow as tf

from gan_tf.errors import UsageError
from gan_tf.io.files import disk_remedy
from gan_tf.models.variables import named_variables
from gan_tf.runs.checkpoints import DAMAGED, read_arrays, write_variables
from gan_tf.training.optimizer import Adam

FORMAT = 2  # of checkpoints
TALLY_FORMAT = 1  # of version 0.1.0: the sums since the last record are a vector `tally`, which is not restored
FIRST_LOSS_SCALE = 2.0**15
# Variables that the EMA generator copies: an average of spectral vectors is not a unit vector, growth is not a weight,
# StyleGAN2's mean w is an average already, and its constant noise does not change.
COPIED = ("u", "v", "growth", "average", "noise")
COUNTERS = ("lr_scale", "loss_scale", "good_steps", "attempt", "images_seen", "stale_epochs", "won_epochs")


@dataclasses.dataclass
class TrainState:
    """Networks, optimisers and counters of a run.

    statistics: {name: float32 [2]}, sum and count of the recipe's statistics since the last record.
    extra: {name: variable} that the recipe or ADA adds.
    frozen: {name: network}, pretrained networks that the losses use; they are in no checkpoint.
    """

    g: keras.Model
    d: keras.Model
    g_ema: keras.Model
    g_optimizer: Adam
    d_optimizer: Adam
    statistics: dict
    lr_scale: tf.Variable  # halved at each rollback
    loss_scale: tf.Variable  # of float16
    good_steps: tf.Variable  # steps since the loss scale changed
    attempt: tf.Variable  # rollbacks so far
    images_seen: tf.Variable
    stale_epochs: tf.Variable  # scored epochs since the best score
    won_epochs: tf.Variable  # consecutive epochs in which the discriminator's loss was near zero
    scales_loss: bool  # in float16
    extra: dict
    frozen: dict

    def named_variables(self):
        """{name: tf.Variable} of all that is in a checkpoint."""
        variables = {}
        for player in ("g", "d", "g_ema"):
            network = named_variables(getattr(self, player))
            variables |= {f"{player}/{path}": variable.value for path, variable in network.items()}
        for player in ("g", "d"):
            optimizer = getattr(self, f"{player}_optimizer").named_variables()
            variables |= {f"{player}_optimizer/{path}": variable for path, variable in optimizer.items()}
        variables |= {name: getattr(self, name) for name in COUNTERS}
        variables |= {f"statistics/{name}": variable for name, variable in self.statistics.items()}
        return variables | {f"extra/{name}": variable for name, variable in self.extra.items()}

    def read_statistics(self):
        """{name: (sum, count)} since the last record, as float32 scalars of NumPy."""
        return {name: tuple(variable.numpy()) for name, variable in self.statistics.items()}

    def reset_statistics(self):
        """Sets all sums and counts to zero."""
        for variable in self.statistics.values():
            variable.assign(tf.zeros_like(variable))


def create_state(g, d, g_ema, config, recipe, *, scales_loss=False, extra=(), frozen=None):
    """Creates the state of a new run around built networks, inside the strategy's scope.

    Args:
        g, d, g_ema: built networks; g_ema is set equal to g.
        config: TrainConfig.
        recipe: step.Recipe.
        scales_loss: True in float16, whose small gradients would vanish.
        extra: names of scalars, in addition to `recipe.extra`.
        frozen: of `recipe.frozen_networks`.
    """
    copy_weights(g, g_ema)
    decays = recipe.adam_decays(config)

    def variable(value, dtype):
        return tf.Variable(value, dtype=dtype, trainable=False)

    def scalar():  # replicas that assign it compute the same value
        return tf.Variable(0.0, trainable=False, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA)

    return TrainState(
        g=g,
        d=d,
        g_ema=g_ema,
        g_optimizer=Adam(trainable(g), *decays["g"]),
        d_optimizer=Adam(trainable(d), *decays["d"]),
        statistics={name: variable([0.0, 0.0], tf.float32) for name in recipe.statistics},
        lr_scale=variable(1.0, tf.float32),
        loss_scale=variable(FIRST_LOSS_SCALE if scales_loss else 1.0, tf.float32),
        good_steps=variable(0.0, tf.float32),
        attempt=variable(0, tf.int64),
        images_seen=variable(0, tf.int64),
        stale_epochs=variable(0, tf.int64),
        won_epochs=variable(0, tf.int64),
        scales_loss=scales_loss,
        extra={name: scalar() for name in (*recipe.extra, *extra)},
        frozen=frozen or {},
    )


def trainable(network):
    """{attribute path: keras.Variable} of the weights that an optimiser may change."""
    return {path: variable for path, variable in named_variables(network).items() if variable.trainable}


def copy_weights(source, target):
    """Sets every variable of `target` to that of `source`."""
    values = named_variables(source)
    for path, variable in named_variables(target).items():
        variable.assign(values[path])


def weights_of(network):
    """{attribute path: array} of all variables of a network."""
    return {path: variable.numpy() for path, variable in named_variables(network).items()}


def update_ema(state, decay):
    """Moves the EMA generator towards the generator: weights and batch statistics.

    Args:
        decay: scalar tensor, share of the old average that is kept.
    """
    newest = named_variables(state.g)
    for path, variable in named_variables(state.g_ema).items():
        value = tf.convert_to_tensor(newest[path].value)
        if path.rsplit("/", 1)[-1] in COPIED:
            variable.value.assign(value)
        else:
            variable.value.assign_sub(
                tf.cast(1.0 - decay, value.dtype) * (tf.convert_to_tensor(variable.value) - value)
            )


def save_state(state, run, keep):
    """Writes a checkpoint, then removes all but the newest `keep`.

    Raises:
        UsageError: the disk is full or not writable; older checkpoints stay.
    """
    seen = int(state.images_seen.numpy())
    prefix = run.checkpoint_prefix(seen)
    is_new = seen not in dict(run.checkpoints())
    try:
        write_variables(prefix, {"format": tf.Variable(FORMAT, dtype=tf.int64), **state.named_variables()})
    except (OSError, tf.errors.OpError) as error:
        if is_new:  # otherwise it is the checkpoint of a rollback, which TensorFlow replaces only when all is written
            run.remove_checkpoint(prefix)
        run.remove_leftovers()
        older = [count for count, _ in run.checkpoints() if count <= seen]
        kept = f"the run continues from {older[0]} images" if older else "there is no older checkpoint"
        reason = re.sub(r"{{[^}]*}} *| *\[Op:.*?\]", "", str(error).splitlines()[0])  # without TensorFlow's node names
        remedy = disk_remedy(error) or "fix that"
        raise UsageError(
            f"cannot write the checkpoint {prefix} ({reason}); {remedy} and start again: {kept}"
        ) from error
    run.tidy_checkpoints(seen, keep)


def restore_newest(state, run, log):
    """Restores the newest complete checkpoint and returns its image count; None if nothing was trained yet.

    Raises:
        UsageError: the run was trained, but none of its checkpoints can be read.
    """
    for seen, prefix in run.checkpoints():
        try:
            restore_checkpoint(state, prefix)
        except UsageError:
            raise
        except DAMAGED as error:
            reason = str(error).splitlines()[0][:100]
            log(f"warning: checkpoint {prefix.name} is damaged ({reason}); trying an older one")
            continue
        if int(state.images_seen.numpy()) != seen:
            log(f"warning: checkpoint {prefix.name} has another image count; trying an older one")
            continue
        return seen
    if trained := run.trained_images():
        raise UsageError(
            f"{run.folder} was trained to {trained} images, but {run.state} has no checkpoint that can be read; "
            "restore it from a backup, or give --run NAME to start another run"
        )
    return None


def restore_checkpoint(state, prefix):
    """Sets the state to a checkpoint. Nothing is changed unless the whole checkpoint is readable.

    Raises:
        UsageError: it was written by another version.
        DAMAGED: it is incomplete, or has other variables than the state.
    """
    arrays = read_arrays(prefix)
    stored_format = int(arrays.pop("format", 0))
    if stored_format not in (FORMAT, TALLY_FORMAT):
        raise UsageError(
            f"{prefix} has checkpoint format {stored_format}, this version reads {FORMAT}; continue it with the "
            "version of gan_tf named in the run's environment.json, or give --run NAME to start another run"
        )
    variables = state.named_variables()
    if stored_format == TALLY_FORMAT:
        arrays.pop("tally", None)
        state.reset_statistics()
        variables = {name: v for name, v in variables.items() if not name.startswith("statistics/")}
    if variables.keys() != arrays.keys():
        raise ValueError(f"its variables differ, such as {sorted(variables.keys() ^ arrays.keys())[:3]}")
    for name, variable in variables.items():
        if tuple(variable.shape) != arrays[name].shape:
            raise ValueError(f"{name} has shape {arrays[name].shape}, not {tuple(variable.shape)}")
    for name, variable in variables.items():
        variable.assign(arrays[name])
