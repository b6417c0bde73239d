"""Reads and writes TensorFlow checkpoints of named variables.

`tf.train.Checkpoint(model)` silently drops layers in lists and dicts, so every variable is checkpointed under its
attribute path, such as `g_ema/blocks/3/conv/kernel`.
"""

import os
import re

import tensorflow as tf

VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"  # suffix of every variable's key in a tf.train.Checkpoint
DAMAGED = (tf.errors.OpError, IndexError, ValueError, AssertionError)  # errors of a damaged checkpoint


def write_variables(prefix, variables):
    """Writes {name: tf.Variable} and waits until the files are on the disk.

    Raises:
        OSError, tf.errors.OpError: the disk is full or not writable.
    """
    tf.train.Checkpoint(**variables).write(str(prefix))
    for path in sorted(prefix.parent.glob(prefix.name + ".*")):
        with open(path, "rb") as file:
            os.fsync(file.fileno())


def read_arrays(prefix, group=None):
    """Reads the arrays of a checkpoint, {name: array}. TensorFlow verifies the checksum of each.

    Args:
        group: read only variables whose names begin with "group/", and remove that prefix.

    Raises:
        DAMAGED: the files are not complete.
    """
    reader = tf.train.load_checkpoint(str(prefix))
    below, arrays = f"{group}/" if group else "", {}
    for key in reader.get_variable_to_shape_map():
        # tf.train.Checkpoint writes "." in names as "..", and "/" as ".S".
        name = re.sub(r"\.([.S])", lambda match: "/" if match[1] == "S" else ".", key.removesuffix(VALUE))
        if VALUE in key and name.startswith(below):
            arrays[name.removeprefix(below)] = reader.get_tensor(key)
    return arrays
