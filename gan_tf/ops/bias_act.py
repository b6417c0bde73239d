"""Bias, activation, gain and clamp, in this order."""

import functools
import math

import tensorflow as tf

from gan_tf.ops.equalised import biased
from gan_tf.ops.layers import LEAK, leaky_relu, swish

# {name: (function, gain that keeps the spread of what it is given)}. No network has "relu" and "swish"; they stand here
# to be compared with the official operation.
ACTIVATIONS = {
    "linear": (lambda x: x, 1.0),
    "relu": (tf.nn.relu, math.sqrt(2)),
    "lrelu": (leaky_relu, math.sqrt(2)),
    "swish": (swish, math.sqrt(2)),
}


def bias_act(x, bias=None, activation="linear", gain=None, clamp=None, leak=LEAK):
    """activation(x + bias) * gain, kept within -clamp and clamp.

    Args:
        x: [N, ..., C].
        bias: [C] or None.
        activation: key of ACTIVATIONS.
        gain: None is the activation's own.
        clamp: None leaves all values; the limit is not multiplied by the gain.
        leak: slope of "lrelu" below zero.

    Returns:
        Like x.
    """
    function, own_gain = ACTIVATIONS[activation]
    if activation == "lrelu" and leak != LEAK:
        function = functools.partial(tf.nn.leaky_relu, alpha=leak)
    gain = own_gain if gain is None else gain
    x = function(x if bias is None else biased(x, bias))
    return clamped(x if gain == 1 else x * tf.cast(gain, x.dtype), clamp)


def clamped(x, limit):
    """x within -limit and limit, None for no limit. The gradient is zero outside."""
    return x if limit is None else tf.clip_by_value(x, -limit, limit)
