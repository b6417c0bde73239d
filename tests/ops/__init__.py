"""Tests of gan_tf.ops."""

import numpy as np
import tensorflow as tf

from gan_tf.ops.forms import FAST, PLAIN, use_forms
from tests.parity.report import relative_l2


def random(*shape, seed=0):
    """Normally distributed numbers, float32."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def check_forms(function, *inputs, tolerance=1e-5):
    """Asserts that fast and plain forms of a function give the same outputs, gradients and gradients of gradients.

    function(*inputs) -> tensor; inputs: arrays of the type to compute in.
    """

    def run():
        tensors = [tf.constant(x) for x in inputs]
        with tf.GradientTape(persistent=True) as outer:
            outer.watch(tensors)
            with tf.GradientTape() as inner:
                inner.watch(tensors)
                y = function(*tensors)
                value = tf.reduce_sum(tf.sin(y))
            slopes = inner.gradient(value, tensors)
            length = tf.add_n([tf.reduce_sum(slope**2) for slope in slopes])
        return [y, *slopes, *outer.gradient(length, tensors)]

    with use_forms(FAST):
        fast = tf.function(run)()
    with use_forms(PLAIN):
        plain = tf.function(run)()
    for got, want in zip(fast, plain, strict=True):
        assert relative_l2(got, want.numpy()) < tolerance
