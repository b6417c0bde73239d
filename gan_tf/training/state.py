"""Everything that a run needs to continue, saved under names that depend on structure alone.

`tf.train.Checkpoint(model)` silently drops layers kept in lists and dicts, so each variable is checkpointed by itself
under its attribute path, such as `g_ema/blocks/3/conv/kernel`.
"""

import dataclasses
import os
import re

import keras
import tensorflow as tf

from gan_tf.errors import UsageError
from gan_tf.io.files import disk_remedy
from gan_tf.models.variables import named_variables
from gan_tf.training.optimizer import Adam

FORMAT = 1
FIRST_LOSS_SCALE = 2.0**15
# What an average takes over as it is: averaged spectral vectors are no unit vectors, growth is no weight, and StyleGAN2
# has an average of its own and noise that stays.
COPIED = ("u", "v", "growth", "average", "noise")
DAMAGED = (tf.errors.OpError, IndexError, ValueError, AssertionError)  # what a broken checkpoint raises


@dataclasses.dataclass
class TrainState:
    """Networks, optimisers and counters of one run.

    `extra` holds the variables that a recipe adds, `frozen` the networks of others that its losses look through, which
    are in no checkpoint.
    """

    g: keras.Model
    d: keras.Model
    g_ema: keras.Model
    g_optimizer: Adam
    d_optimizer: Adam
    tally: tf.Variable  # [K + 1]: sums of the recipe's K statistics since the last record, and their number
    lr_scale: tf.Variable  # halved at each rollback
    loss_scale: tf.Variable  # of float16
    good_steps: tf.Variable  # steps since the loss scale last changed
    attempt: tf.Variable  # rollbacks so far
    images_seen: tf.Variable
    stale_epochs: tf.Variable  # scored epochs since the best score
    won_epochs: tf.Variable  # epochs in a row that the discriminator has won
    scales_loss: bool  # in float16
    extra: dict
    frozen: dict

    def named_variables(self):
        """{name: tf.Variable} of all of it."""
        found = {}
        for player in ("g", "d", "g_ema"):
            network = named_variables(getattr(self, player))
            found |= {f"{player}/{path}": variable.value for path, variable in network.items()}
        for player in ("g", "d"):
            optimizer = getattr(self, f"{player}_optimizer").named_variables()
            found |= {f"{player}_optimizer/{path}": variable for path, variable in optimizer.items()}
        for name in ("tally", "lr_scale", "loss_scale", "good_steps", "attempt", "images_seen"):
            found[name] = getattr(self, name)
        for name in ("stale_epochs", "won_epochs"):
            found[name] = getattr(self, name)
        return found | {f"extra/{name}": variable for name, variable in self.extra.items()}


def create(g, d, g_ema, config, statistics, scales_loss=False, extra=None, frozen=None, decays=None):
    """Makes the state of a fresh run around built networks, inside the strategy's scope.

    Args:
        g, d, g_ema: built networks; g_ema is set equal to g.
        config: TrainConfig.
        statistics: names of the values that the recipe's step returns, before the mean sign of the logits.
        scales_loss: True in float16, whose small gradients would vanish.
        extra: {name: tf.Variable} that the recipe adds.
        frozen: of the recipe's `frozen_networks`.
        decays: {player: (beta1, beta2)} of the optimisers; None: those of `config` for both.
    """
    copy_weights(g, g_ema)
    decays = decays or dict.fromkeys(("g", "d"), (config.beta1, config.beta2))
    return TrainState(
        g=g,
        d=d,
        g_ema=g_ema,
        g_optimizer=Adam(trainable(g), *decays["g"]),
        d_optimizer=Adam(trainable(d), *decays["d"]),
        tally=tf.Variable(tf.zeros([len(statistics) + 1]), trainable=False),
        lr_scale=tf.Variable(1.0, trainable=False),
        loss_scale=tf.Variable(FIRST_LOSS_SCALE if scales_loss else 1.0, trainable=False),
        good_steps=tf.Variable(0.0, trainable=False),
        attempt=tf.Variable(0, dtype=tf.int64, trainable=False),
        images_seen=tf.Variable(0, dtype=tf.int64, trainable=False),
        stale_epochs=tf.Variable(0, dtype=tf.int64, trainable=False),
        won_epochs=tf.Variable(0, dtype=tf.int64, trainable=False),
        scales_loss=scales_loss,
        extra=extra or {},
        frozen=frozen or {},
    )


def number():
    """A float32 variable, 0 at first, for what a recipe adds; replicas that set it compute the same."""
    return tf.Variable(0.0, trainable=False, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA)


def trainable(network):
    """{attribute path: keras.Variable} of the weights that an optimiser may change."""
    return {path: variable for path, variable in named_variables(network).items() if variable.trainable}


def copy_weights(source, target):
    """Sets every variable of `target` to that of `source`."""
    values = named_variables(source)
    for path, variable in named_variables(target).items():
        variable.assign(values[path])


def update_average(state, decay):
    """Moves the averaged generator towards the generator: weights and batch statistics alike.

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


def save(state, run, keep):
    """Writes a checkpoint of this moment, then forgets all but the newest `keep`.

    Raises:
        UsageError: the disk is full or refuses; older checkpoints stay.
    """
    seen = int(state.images_seen.numpy())
    prefix = run.checkpoint_prefix(seen)
    is_new = seen not in dict(run.checkpoints())
    try:
        _checkpoint(state).write(str(prefix))
        for path in sorted(run.state.glob(prefix.name + ".*")):
            with open(path, "rb") as file:
                os.fsync(file.fileno())
    except (OSError, tf.errors.OpError) as error:
        if is_new:  # else what a rolled-back run goes back to: TensorFlow renames over it when all is written
            run.remove_checkpoint(prefix)
        run.remove_leftovers()
        older = [count for count, _ in run.checkpoints() if count <= seen]
        kept = f"the run continues from {older[0]} images" if older else "no older checkpoint exists"
        reason = re.sub(r"{{[^}]*}} *| *\[Op:.*?\]", "", str(error).splitlines()[0])  # without TensorFlow's node names
        remedy = disk_remedy(error) or "mend that"
        raise UsageError(
            f"cannot write the checkpoint {prefix} ({reason}); {remedy} and start again: {kept}"
        ) from error
    run.tidy_checkpoints(seen, keep)


def restore_newest(state, run, log):
    """Restores the newest checkpoint that is whole and returns its image count, or None if nothing was trained yet.

    Raises:
        UsageError: something was trained, but no checkpoint can be read.
    """
    for seen, prefix in run.checkpoints():
        try:
            _refuse_other_format(prefix)
            _checkpoint(state).read(str(prefix)).assert_consumed()
        except UsageError:
            raise
        except DAMAGED as error:
            reason = str(error).splitlines()[0][:100]
            log(f"warning: checkpoint {prefix.name} is damaged ({reason}); trying an older one")
            continue
        if int(state.images_seen.numpy()) != seen:
            log(f"warning: checkpoint {prefix.name} holds another image count; trying an older one")
            continue
        return seen
    if trained := run.trained_images():
        raise UsageError(
            f"{run.folder} was trained to {trained} images, but {run.state} holds no checkpoint that can be read; "
            "restore it from a backup, or give --run NAME to start another run"
        )
    return None


def restore_at(state, run, seen):
    """Restores the checkpoint of `seen` images, which another worker has found whole."""
    _checkpoint(state).read(str(run.checkpoint_prefix(seen))).assert_consumed()


def _refuse_other_format(prefix):
    stored = int(tf.train.load_checkpoint(str(prefix)).get_tensor("format/.ATTRIBUTES/VARIABLE_VALUE"))
    if stored != FORMAT:
        raise UsageError(
            f"{prefix} has checkpoint format {stored}, this version reads {FORMAT}; continue it with the version of "
            "gan_tf named in the run's environment.json, or give --run NAME to start another run"
        )


def _checkpoint(state):
    variables = state.named_variables()
    return tf.train.Checkpoint(format=tf.Variable(FORMAT, dtype=tf.int64), **variables)
