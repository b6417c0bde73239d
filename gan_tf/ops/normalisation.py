"""Batch norm as PyTorch defines it, fused or synchronised over replicas, and spectral norm."""

import keras
import tensorflow as tf

from gan_tf.ops.forms import forms
from gan_tf.ops.initial import normal_initializer

MOMENTUM = 0.1  # weight of the new batch in the running statistics
EPSILON = 1e-5
UNIT_EPSILON = 1e-12  # least length by which a spectral vector is divided


def fused_batch_norm(x, gamma, beta):
    """Normalises with the batch's own statistics in one kernel.

    x [N, H, W, C] in any float type, gamma and beta [C] float32 -> (y like x, mean [C], unbiased variance [C]), the
    statistics in float32.
    """
    outputs = tf.raw_ops.FusedBatchNormV3(
        x=x, scale=gamma, offset=beta, mean=[], variance=[], epsilon=EPSILON, is_training=True
    )
    return outputs.y, outputs.batch_mean, outputs.batch_variance


def synchronised_batch_norm(x, gamma, beta, shift):
    """Normalises with the statistics of the global batch: the same numbers as `fused_batch_norm` on one replica.

    Sums are taken of x - shift, in float32, and added over the replicas in one differentiable all-reduce. The result
    is the same for any `shift` ([C], equal on all replicas); near the mean it avoids the cancellation of
    E[x^2] - E[x]^2.
    """
    replica = tf.distribute.get_replica_context()
    centred = tf.cast(x, shift.dtype) - shift
    count = tf.cast(tf.size(x) / x.shape[-1], shift.dtype)
    sums = tf.stack([tf.reduce_sum(centred, (0, 1, 2)), tf.reduce_sum(centred**2, (0, 1, 2))])
    if replica.num_replicas_in_sync > 1:
        sums = replica.all_reduce(tf.distribute.ReduceOp.SUM, sums)
        count = count * replica.num_replicas_in_sync
    offset, square = tf.unstack(sums / count)
    variance = square - offset**2
    scale = gamma * tf.math.rsqrt(variance + EPSILON)
    y = centred * scale + (beta - offset * scale)
    return tf.cast(y, x.dtype), shift + offset, variance * count / tf.maximum(count - 1.0, 1.0)


def running_batch_norm(x, gamma, beta, mean, variance):
    """Normalises with given statistics: x [N, H, W, C] -> the same shape and type."""
    scale, shift = scale_and_shift(gamma, beta, mean, variance)
    return tf.cast(tf.cast(x, scale.dtype) * scale + shift, x.dtype)


def scale_and_shift(gamma, beta, mean, variance):
    """Batch norm with given statistics as x * scale + shift; all [C] float32."""
    scale = gamma * tf.math.rsqrt(variance + EPSILON)
    return scale, beta - mean * scale


@keras.saving.register_keras_serializable("gan_tf")
class BatchNorm(keras.layers.Layer):
    """Batch norm over N, H, W with running statistics for evaluation.

    Call: x [N, H, W, C] -> the same shape and type. Statistics are taken in float32, over the global batch when there
    are several replicas. The running variance keeps the unbiased estimate, and a new batch counts a tenth.
    Source: Ioffe and Szegedy 2015; initial values of the official FastGAN code.
    """

    def __init__(self, seed=0, **kwargs):
        super().__init__(**kwargs)
        self.seed = seed

    def build(self, shape):
        channels = (shape[-1],)
        gamma = normal_initializer(self.seed, "gamma", mean=1.0, stddev=0.02)
        self.gamma = self.add_weight(name="gamma", shape=channels, initializer=gamma, autocast=False)
        self.beta = self.add_weight(name="beta", shape=channels, initializer="zeros", autocast=False)
        self.moving_mean = self._statistic("moving_mean", channels, "zeros")
        self.moving_variance = self._statistic("moving_variance", channels, "ones")

    def call(self, x, training=False):
        gamma, beta = self.gamma.value, self.beta.value
        if not training:
            return running_batch_norm(x, gamma, beta, self.moving_mean.value, self.moving_variance.value)
        if forms().fused_batch_norm and _replicas() == 1 and x.dtype != tf.float64:  # the kernel has no float64
            y, mean, variance = fused_batch_norm(x, gamma, beta)
        else:
            y, mean, variance = synchronised_batch_norm(x, gamma, beta, tf.identity(self.moving_mean.value))
        for running, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            running.assign(running.value + MOMENTUM * (tf.stop_gradient(batch) - running.value))
        return y

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}

    def _statistic(self, name, shape, initializer):
        return self.add_weight(
            name=name,
            shape=shape,
            initializer=initializer,
            trainable=False,
            autocast=False,
            aggregation="only_first_replica",  # every replica computes the same value
        )


def spectral_normalise(kernel, u, v, training):
    """Divides a kernel by an estimate of its largest singular value.

    Args:
        kernel: [..., O] float32; the matrix has O columns and a row for every other entry.
        u: [O], v: [rows]: unit vectors of earlier calls. No gradient flows through them.
        training: True improves u and v by one power iteration first.

    Returns:
        (kernel / sigma, u, v), float32.

    Source: Miyato et al. 2018, algorithm 1; epsilon 1e-12.
    """
    matrix = tf.reshape(kernel, (-1, kernel.shape[-1]))  # [rows, O]
    if training:
        v = unit(tf.linalg.matvec(tf.stop_gradient(matrix), u))
    projected = tf.linalg.matvec(matrix, v, transpose_a=True)  # [O]; serves the new u and sigma alike
    if training:
        u = unit(tf.stop_gradient(projected))
    sigma = tf.reduce_sum(projected * u)
    return kernel * (1.0 / sigma), u, v  # a product: its gradient passes over the kernel less often than a quotient's


def unit(x):
    """x [F] scaled to length 1."""
    return x / tf.maximum(tf.norm(x), UNIT_EPSILON)


def _replicas() -> int:
    replica = tf.distribute.get_replica_context()
    if replica is None:
        raise RuntimeError("batch norm in training mode needs a replica context: call the network in strategy.run")
    return replica.num_replicas_in_sync
