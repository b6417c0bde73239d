"""TrainState: everything that a run needs to continue, and its checkpoints."""

import dataclasses
import functools
import math
import re

import keras
import numpy as np
import tensorflow as tf

from gan_tf.errors import UsageError
from gan_tf.io.files import disk_remedy, raise_fault
from gan_tf.models.variables import named_variables
from gan_tf.runs.checkpoints import read_arrays, read_newest, write_variables

FORMAT = 2  # of checkpoints
TALLY_FORMAT = 1  # of version 0.1.0: the statistics are a vector `tally`, which is not restored
INITIAL_LOSS_SCALE = 2.0**15  # of float16
EPSILON = 1e-8  # of Adam, added to the root of the bias-corrected second moment as in the paper and in PyTorch
# Variables that the EMA generator copies: an average of the unit vectors u and v of spectral norm is not a unit vector,
# growth is not a weight, StyleGAN2's mean w is an average already, and its constant noise does not change.
COPIED = ("u", "v", "growth", "average", "noise")
COUNTERS = ("lr_scale", "loss_scale", "good_steps", "attempt", "images_seen", "stale_epochs", "won_epochs")


def replicated(value):
    """Creates a variable with a copy on each replica, which the replica assigns; all must assign equal values."""
    return tf.Variable(value, trainable=False, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA)


class Adam:
    """Adam for one network's trainable variables, with one fused operation for each weight.

    The fused kernel (`ResourceApplyAdam`) updates a weight and its two moments in one pass over memory; plain
    operations need seven. It writes to the replica's own copy without communication: replicas that pass equal gradients
    stay equal.

    Args:
        variables: {attribute path: keras.Variable}, float32 (float64 in tests).
        beta1, beta2: decays of the first and second moment.

    Source: Kingma and Ba 2015, algorithm 1.
    """

    def __init__(self, variables, beta1, beta2):
        self.variables, self.beta1, self.beta2 = variables, beta1, beta2
        self.steps = replicated(tf.constant(0.0))  # float32 counts to 2**24, more steps than any run has
        self.m = {path: replicated(tf.zeros_like(v.value)) for path, v in variables.items()}
        self.v = {path: replicated(tf.zeros_like(v.value)) for path, v in variables.items()}

    def named_variables(self):
        """Returns {name: tf.Variable} of everything that must be saved."""
        moments = {f"m/{path}": v for path, v in self.m.items()} | {f"v/{path}": v for path, v in self.v.items()}
        return {"steps": self.steps, **moments}

    def reset(self):
        """Sets the step count and the moments to zero. Call it outside of `strategy.run`."""
        for variable in self.named_variables().values():
            variable.assign(tf.zeros_like(variable))

    def apply(self, gradients, lr):
        """Takes one step, within `strategy.run`, with gradients {attribute path: tensor} of the global batch.

        A weight without a gradient does not change.
        """
        steps = tf.convert_to_tensor(self.steps) + 1.0
        beta1_power, beta2_power = self.beta1**steps, self.beta2**steps
        epsilon = EPSILON * tf.sqrt(1.0 - beta2_power)  # the kernel adds it before the bias correction
        numbers = {"beta1_power": beta1_power, "beta2_power": beta2_power, "lr": lr, "epsilon": epsilon}
        numbers |= {"beta1": self.beta1, "beta2": self.beta2}
        dtype = next(iter(self.variables.values())).dtype
        numbers = {name: tf.cast(number, dtype) for name, number in numbers.items()}  # once for all weights
        for path, gradient in gradients.items():
            tf.raw_ops.ResourceApplyAdam(
                var=self.variables[path].value.handle,
                m=self.m[path].handle,
                v=self.v[path].handle,
                grad=gradient,
                **numbers,
            )
        tf.raw_ops.AssignVariableOp(resource=self.steps.handle, value=steps)


@dataclasses.dataclass
class TrainState:
    """Networks, optimisers and counters of a run."""

    g: keras.Model
    d: keras.Model
    g_ema: keras.Model
    g_optimizer: Adam
    d_optimizer: Adam
    statistics: dict  # {name: float32 [2] variable}, sum and count of the recipe's statistics since the last record
    lr_scale: tf.Variable  # halved at each rollback
    loss_scale: tf.Variable  # of float16; 1 in other precisions
    good_steps: tf.Variable  # float16: steps since the last overflow or change of the loss scale
    attempt: tf.Variable  # rollbacks so far
    images_seen: tf.Variable
    stale_epochs: tf.Variable  # scored epochs at full resolution since the best score
    won_epochs: tf.Variable  # consecutive epochs in which the discriminator's loss was near zero
    scales_loss: bool  # in float16
    extra: dict  # {name: variable} that the recipe or ADA adds
    frozen: dict  # {name: network}, pretrained networks that the losses use; they are in no checkpoint

    def named_variables(self):
        """Returns {name: tf.Variable} of everything in a checkpoint."""
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
        """Returns {name: (sum, count)} since the last record, as float32 scalars of NumPy."""
        return {name: tuple(variable.numpy()) for name, variable in self.statistics.items()}

    def reset_statistics(self):
        """Sets all sums and counts to zero."""
        for variable in self.statistics.values():
            variable.assign(tf.zeros_like(variable))


def create_state(g, d, g_ema, config, recipe, *, scales_loss=False, extra=(), frozen=None):
    """Creates the state of a new run from built networks, and copies g to g_ema. Call it in the strategy's scope.

    Args:
        scales_loss: True in float16, where small gradients would be rounded to zero.
        extra: names of scalars, in addition to `recipe.extra`.
        frozen: result of `recipe.frozen_networks`.
    """
    newest = named_variables(g)
    for path, variable in named_variables(g_ema).items():
        variable.assign(newest[path])
    decays = recipe.adam_decays(config)

    def counter(value=0, dtype=tf.int64):
        return tf.Variable(value, dtype=dtype, trainable=False)

    return TrainState(
        g=g,
        d=d,
        g_ema=g_ema,
        g_optimizer=Adam(trainable(g), *decays["g"]),
        d_optimizer=Adam(trainable(d), *decays["d"]),
        statistics={name: counter([0.0, 0.0], tf.float32) for name in recipe.statistics},
        lr_scale=counter(1.0, tf.float32),
        loss_scale=counter(INITIAL_LOSS_SCALE if scales_loss else 1.0, tf.float32),
        good_steps=counter(0.0, tf.float32),
        attempt=counter(),
        images_seen=counter(),
        stale_epochs=counter(),
        won_epochs=counter(),
        scales_loss=scales_loss,
        extra={name: replicated(0.0) for name in (*recipe.extra, *extra)},
        frozen=frozen or {},
    )


def trainable(network):
    """Returns {attribute path: keras.Variable} of the trainable weights."""
    return {path: variable for path, variable in named_variables(network).items() if variable.trainable}


def weights_of(network):
    """Returns {attribute path: array} of all variables of a network."""
    return {path: variable.numpy() for path, variable in named_variables(network).items()}


def state_bytes(state) -> int:
    """Returns the size of a checkpoint in bytes, without the names."""
    return sum(math.prod(variable.shape) * variable.dtype.size for variable in state.named_variables().values())


def update_ema(state, decay):
    """Updates the EMA generator: decay * g_ema + (1 - decay) * g, except for COPIED variables. `decay`: scalar.

    The averages of batch norm statistics do not fit the averaged weights; `Trainer.ema_weights` replaces them.
    """
    newest, share = named_variables(state.g), 1.0 - decay
    for path, variable in named_variables(state.g_ema).items():
        value = tf.convert_to_tensor(newest[path].value)
        if path.rsplit("/", 1)[-1] in COPIED:
            variable.value.assign(value)
        else:
            difference = tf.convert_to_tensor(variable.value) - value
            variable.value.assign_sub(tf.cast(share, value.dtype) * difference)


def save_state(state, run, keep):
    """Writes a checkpoint, then removes all but the newest `keep`. Raises UsageError if the disk cannot be written."""
    seen = int(state.images_seen.numpy())
    prefix = run.checkpoint_prefix(seen)
    is_new = seen not in dict(run.checkpoints())
    try:
        write_variables(prefix, {"format": tf.Variable(FORMAT, dtype=tf.int64), **state.named_variables()})
    except (OSError, tf.errors.OpError) as error:
        # TensorFlow replaces an existing one, as after a rollback, only when all is written.
        run.remove_checkpoints([prefix] if is_new else [])
        raise_fault(error, prefix)
        older = [count for count, _ in run.checkpoints() if count <= seen]
        kept = f"the run continues from {older[0]} images" if older else "there is no older checkpoint"
        reason = re.sub(r"{{[^}]*}} *| *\[Op:.*?\]", "", str(error).splitlines()[0])  # without TensorFlow's node names
        remedy = f"{disk_remedy(error) or 'fix that'} and start again: {kept}"
        raise UsageError(f"cannot write the checkpoint {prefix} ({reason}); {remedy}") from error
    run.tidy_checkpoints(seen, keep)


def restore_newest(state, run, log):
    """Restores the newest complete checkpoint and returns its image count; None if nothing was trained yet.

    Raises:
        UsageError: none of the checkpoints of a trained run can be read, or one is of another version.
    """
    if found := read_newest(run.checkpoints(), functools.partial(restore_checkpoint, state), log):
        return found[1]
    if trained := run.trained_images():
        raise UsageError(
            f"{run.folder} was trained to {trained} images, but {run.state} has no checkpoint that can be read; "
            "restore it from a backup, or give --run NAME to start another run"
        )
    return None


def restore_checkpoint(state, seen, prefix):
    """Sets the state to the checkpoint of `seen` images. If it raises an error, the state is unchanged.

    Raises:
        UsageError: the checkpoint has a format of another version.
        DAMAGED: it is incomplete, has another image count, or has other variables than the state.
    """
    arrays = read_arrays(prefix)
    stored_format = int(arrays.pop("format", 0))
    if stored_format not in (FORMAT, TALLY_FORMAT):
        raise UsageError(
            f"{prefix} has checkpoint format {stored_format}, this version reads {FORMAT}; continue it with the "
            "version of gan_tf named in the run's environment.json, or give --run NAME to start another run"
        )
    if stored_format == TALLY_FORMAT:
        arrays.pop("tally", None)
        arrays |= {f"statistics/{name}": np.zeros(2, np.float32) for name in state.statistics}
    variables = state.named_variables()
    if variables.keys() != arrays.keys():
        raise ValueError(f"its variables differ, such as {sorted(variables.keys() ^ arrays.keys())[:3]}")
    for name, variable in variables.items():
        if tuple(variable.shape) != arrays[name].shape:
            raise ValueError(f"{name} has shape {arrays[name].shape}, not {tuple(variable.shape)}")
    if int(arrays["images_seen"]) != seen:
        raise ValueError(f"it is of {arrays['images_seen']} images")
    if state.scales_loss != (arrays["loss_scale"] != 1.0):  # the run continues in another precision
        arrays["loss_scale"] = np.float32(INITIAL_LOSS_SCALE if state.scales_loss else 1.0)
    for name, variable in variables.items():
        variable.assign(arrays[name])
