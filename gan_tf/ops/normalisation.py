"""Normalisation functions: batch norm as in PyTorch, spectral norm, pixel norm, minibatch standard deviation."""

import tensorflow as tf

from gan_tf.ops.activations import at_least_float32

BATCH_NORM_EPSILON = 1e-5
EPSILON = 1e-8  # of pixel norm, minibatch standard deviation and demodulation
STDDEV_GROUP = 4  # images per group of the minibatch standard deviation


def synchronised_batch_norm(x, gamma, beta, shift):
    """Normalises with the statistics of the global batch: -> (y like x, mean [C], unbiased variance [C]).

    Float32 sums of x - shift are added over the replicas in one differentiable all-reduce. The result is the same for
    any `shift` ([C], equal on all replicas); one near the mean avoids the cancellation in E[x^2] - E[x]^2.
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
    scale = gamma * tf.math.rsqrt(variance + BATCH_NORM_EPSILON)
    y = centred * scale + (beta - offset * scale)
    return tf.cast(y, x.dtype), shift + offset, variance * count / tf.maximum(count - 1.0, 1.0)


def scale_and_shift(gamma, beta, moving_mean, moving_variance):
    """Returns (scale, shift) of batch norm with given statistics, x * scale + shift; all [C] float32."""
    scale = gamma * tf.math.rsqrt(moving_variance + BATCH_NORM_EPSILON)
    return scale, beta - moving_mean * scale


def spectral_normalise(kernel, u, v, training):
    """Divides a kernel by an estimate of its largest singular value: -> (kernel / sigma, u, v), float32.

    A kernel [..., O] is a matrix of O columns. u [O] and v [rows] are unit vectors of earlier calls, without gradient;
    with `training`, one power iteration improves them first. Source: Miyato et al. 2018, algorithm 1.
    """
    matrix = tf.reshape(kernel, (-1, kernel.shape[-1]))  # [rows, O]
    if training:
        v = unit(tf.linalg.matvec(tf.stop_gradient(matrix), u))
    projected = tf.linalg.matvec(matrix, v, transpose_a=True)  # [O], used for the new u and for sigma
    if training:
        u = unit(tf.stop_gradient(projected))
    sigma = tf.reduce_sum(projected * u)
    return kernel * (1.0 / sigma), u, v  # the gradient of a product reads the kernel fewer times than a quotient's


def unit(x):
    """x [F] scaled to length 1."""
    return x / tf.maximum(tf.norm(x), 1e-12)


def pixel_norm(x):
    """x [..., C] divided by its root mean square over the channels, computed in float32.

    Source: Karras et al. 2018, section 4.2.
    """
    exact = at_least_float32(x)
    mean = tf.reduce_mean(exact**2, axis=-1, keepdims=True)
    return tf.cast(exact * tf.math.rsqrt(mean + EPSILON), x.dtype)


def append_minibatch_stddev(x, group=STDDEV_GROUP, statistics=1):
    """Appends channels that measure how much the images of a group differ.

    A group consists of images at equal distances in the batch, for example images i, i + N/4, i + 2N/4 and i + 3N/4.
    Replicas and micro-batches hold rows i, i + k, ... of the batch, so their groups are those of the whole batch.

    Args:
        x: [N, H, W, C], N known, C a multiple of `statistics`.
        group: largest group size; the size used is the largest divisor of N up to it. None: the whole batch.
        statistics: number of channels to append, each computed from an equal share of consecutive channels.

    Returns:
        [N, H, W, C + statistics] of x's type. An appended channel is constant within a group: the standard deviation
        over the group, averaged over pixels and channels.

    Source: Karras et al. 2018, section 3; groups as in the official code.
    """
    count, height, width, channels = x.shape
    size = max(divisor for divisor in range(1, (group or count) + 1) if count % divisor == 0)
    groups = tf.reshape(at_least_float32(x), (size, count // size, height, width, statistics, channels // statistics))
    variance = tf.math.reduce_variance(groups, axis=0)  # [N / size, H, W, statistics, C / statistics]
    spread = tf.reduce_mean(tf.sqrt(variance + EPSILON), axis=[1, 2, 4])[:, None, None]  # [N / size, 1, 1, statistics]
    spread = tf.tile(tf.cast(spread, x.dtype), (size, height, width, 1))
    return tf.concat([x, spread], axis=-1)
