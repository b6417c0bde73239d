"""Reads and writes TensorFlow checkpoints of named variables.

`tf.train.Checkpoint(model)` silently drops layers in lists and dicts, so every variable is checkpointed under its
attribute path, such as `g_ema/blocks/3/conv/kernel`.
"""

import glob
import os
import re

import tensorflow as tf

from gan_tf.errors import UsageError
from gan_tf.io.content import reason_of
from gan_tf.io.files import list_folder, raise_fault, refuse_no_access
from gan_tf.io.tensorflow_paths import tensorflow_path

VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"  # suffix of every variable's key in a tf.train.Checkpoint
DAMAGED = (tf.errors.OpError, IndexError, ValueError, AssertionError)  # errors of a damaged checkpoint


def write_variables(prefix, variables):
    """Writes {name: tf.Variable} and waits until the files are on the disk.

    Raises:
        OSError, tf.errors.OpError: the disk is full or not writable.
    """
    tf.train.Checkpoint(**variables).write(tensorflow_path(prefix))
    for path in list_folder(prefix.parent, glob.escape(prefix.name) + ".*"):
        with open(path, "r+b") as file:  # Windows requires it to be writable
            os.fsync(file.fileno())


def read_arrays(prefix, group=None):
    """Reads the arrays of a checkpoint, {name: array}. TensorFlow verifies the checksum of each.

    Args:
        group: read only variables whose names begin with "group/", and remove that prefix.

    Raises:
        DAMAGED: the files are not complete.
    """
    reader = tf.train.load_checkpoint(tensorflow_path(prefix))
    below, arrays = f"{group}/" if group else "", {}
    for key in reader.get_variable_to_shape_map():
        # tf.train.Checkpoint writes "." in names as "..", and "/" as ".S".
        name = re.sub(r"\.([.S])", lambda match: "/" if match[1] == "S" else ".", key.removesuffix(VALUE))
        if VALUE in key and name.startswith(below):
            arrays[name.removeprefix(below)] = reader.get_tensor(key)
    return arrays


def read_newest(checkpoints, read, log):
    """Reads the newest checkpoint that is not damaged.

    Args:
        checkpoints: list of (images seen, prefix), newest first, as of `Run.checkpoints`.
        read: function (images seen, prefix) -> result; it raises DAMAGED for a damaged checkpoint.
        log: prints a line for each damaged one.

    Returns:
        (result, images seen, prefix), or None if no checkpoint can be read. A UsageError of `read` is raised.
    """
    for number, (seen, prefix) in enumerate(checkpoints, 1):
        try:
            return read(seen, prefix), seen, prefix
        except UsageError:
            raise
        except DAMAGED as error:
            raise_fault(error, prefix)  # an older one would lose work
            refuse_no_access(error, prefix)
            reason = reason_of(str(error).splitlines()[0][:100], f"{prefix}.index")
            action = "trying an older one" if number < len(checkpoints) else "there is no older one"
            log(f"warning: checkpoint {prefix.name} is damaged ({reason}); {action}")
    return None
