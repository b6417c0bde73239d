"""Activations, and the biases and limits that are applied with them."""

import functools
import math

import tensorflow as tf

from gan_tf.ops.forms import forms

LEAK = 0.2


def leaky_relu(x):
    """x, or 0.2 x where x is negative."""
    return tf.nn.leaky_relu(x, LEAK)


def swish(x):
    """x * sigmoid(x)."""
    return x * tf.sigmoid(x)


def glu(x):
    """Gated linear unit: the first half of the channels times the sigmoid of the second half.

    x [..., 2C] -> [..., C]. Source: Dauphin et al. 2017.
    """
    return _lean_glu(x) if forms().lean_glu else plain_glu(x)


def plain_glu(x):
    """`glu` as separate operations."""
    values, gates = tf.split(x, 2, axis=-1)
    return values * tf.sigmoid(gates)


@tf.custom_gradient
def _lean_glu(x):
    """`glu` that keeps its sigmoid for the gradient and computes it in float32: in bfloat16 it is slow on CPUs.

    As fast as `plain_glu` compiled by XLA, without 10 s of compilation before the first step.
    """
    values, gates = tf.split(x, 2, axis=-1)
    opening = tf.cast(tf.sigmoid(tf.cast(gates, tf.float32)), x.dtype) if is_half(x) else tf.sigmoid(gates)

    def gradient(slopes):
        to_values = slopes * opening
        return tf.concat([to_values, to_values * values * (1 - opening)], axis=-1)

    return values * opening, gradient


@tf.custom_gradient
def biased(x, bias):
    """x [..., C] plus bias [C], in x's type.

    The gradient of the bias is computed as a matrix product, which accumulates in float32. TensorFlow accumulates
    bfloat16 gradients in bfloat16 on the CPU, where a sum stops growing at 256 times a summand.
    """

    def gradient(slopes):
        rows = tf.reshape(slopes, (-1, slopes.shape[-1]))
        ones = tf.ones((1, tf.shape(rows)[0]), rows.dtype)
        return slopes, tf.cast((ones @ rows)[0], bias.dtype)

    return tf.nn.bias_add(x, tf.cast(bias, x.dtype)), gradient


# {name: (function, gain that preserves the variance)}. The networks use "linear" and "lrelu"; tests compare all of them
# with the official operation.
ACTIVATIONS = {
    "linear": (lambda x: x, 1.0),
    "relu": (tf.nn.relu, math.sqrt(2)),
    "lrelu": (leaky_relu, math.sqrt(2)),
    "swish": (swish, math.sqrt(2)),
}


def bias_act(x, bias=None, activation="linear", gain=None, clamp=None, leak=LEAK):
    """activation(x + bias) * gain, limited to [-clamp, clamp]: x [N, ..., C], bias [C] or None -> tensor like x.

    `activation` is a key of ACTIVATIONS, whose gain is the default; `leak` is the slope of "lrelu" below zero.
    """
    function, default_gain = ACTIVATIONS[activation]
    if activation == "lrelu" and leak != LEAK:
        function = functools.partial(tf.nn.leaky_relu, alpha=leak)
    gain = default_gain if gain is None else gain
    x = function(x if bias is None else biased(x, bias))
    return clamped(x if gain == 1 else x * tf.cast(gain, x.dtype), clamp)


def clamped(x, limit):
    """x limited to [-limit, limit]; None for no limit. The gradient is zero outside."""
    return x if limit is None else tf.clip_by_value(x, -limit, limit)


def is_half(x):
    """True for float16 and bfloat16."""
    return x.dtype in (tf.bfloat16, tf.float16)


def at_least_float32(x):
    """x cast to float32, float64 unchanged."""
    return x if x.dtype == tf.float64 else tf.cast(x, tf.float32)
