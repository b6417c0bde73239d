"""Normalisation functions: batch norm as in PyTorch, spectral norm, pixel norm, minibatch standard deviation."""

import tensorflow as tf

from gan_tf.ops.activations import at_least_float32

BATCH_NORM_EPSILON = 1e-5
UNIT_EPSILON = 1e-12  # smallest length by which a spectral vector is divided
EPSILON = 1e-8  # of pixel norm and minibatch stddev
STDDEV_GROUP = 4  # images per group of the minibatch standard deviation


def fused_batch_norm(x, gamma, beta):
    """Normalises with the statistics of the batch in one kernel.

    x [N, H, W, C] in any float type, gamma and beta [C] float32 -> (y like x, mean [C], unbiased variance [C]), the
    statistics in float32.
    """
    outputs = tf.raw_ops.FusedBatchNormV3(
        x=x, scale=gamma, offset=beta, mean=[], variance=[], epsilon=BATCH_NORM_EPSILON, is_training=True
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
    scale = gamma * tf.math.rsqrt(variance + BATCH_NORM_EPSILON)
    y = centred * scale + (beta - offset * scale)
    return tf.cast(y, x.dtype), shift + offset, variance * count / tf.maximum(count - 1.0, 1.0)


def running_batch_norm(x, gamma, beta, mean, variance):
    """Normalises with given statistics: x [N, H, W, C] -> the same shape and type."""
    scale, shift = scale_and_shift(gamma, beta, mean, variance)
    return tf.cast(tf.cast(x, scale.dtype) * scale + shift, x.dtype)


def scale_and_shift(gamma, beta, moving_mean, moving_variance):
    """Batch norm with given statistics as x * scale + shift; all [C] float32."""
    scale = gamma * tf.math.rsqrt(moving_variance + BATCH_NORM_EPSILON)
    return scale, beta - moving_mean * scale


def spectral_normalise(kernel, u, v, training):
    """Divides a kernel by an estimate of its largest singular value.

    Args:
        kernel: [..., O] float32; the matrix has O columns and one row for every other entry.
        u: [O], v: [rows]: unit vectors of earlier calls. No gradient flows through them.
        training: True first improves u and v by one power iteration.

    Returns:
        (kernel / sigma, u, v), float32.

    Source: Miyato et al. 2018, algorithm 1; epsilon 1e-12.
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
    return x / tf.maximum(tf.norm(x), UNIT_EPSILON)


def pixel_norm(x):
    """Divides the channels of every pixel by their root mean square, computed in float32.

    x [..., C] -> the same shape and type. Source: Karras et al. 2018, section 4.2.
    """
    exact = at_least_float32(x)
    mean = tf.reduce_mean(exact**2, axis=-1, keepdims=True)
    return tf.cast(exact * tf.math.rsqrt(mean + EPSILON), x.dtype)


def append_minibatch_stddev(x, group=STDDEV_GROUP, statistics=1):
    """Appends channels that measure how much the images of a group differ.

    A group consists of images at equal distances in the batch: for 4 images, image i with i + N/4, i + 2N/4 and
    i + 3N/4. Replicas and micro-batches, which hold rows i, i + k, ... of a batch, thus form the same groups as the
    whole batch.

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
    if count is None:
        raise ValueError("minibatch standard deviation needs a known batch size")
    size = max(divisor for divisor in range(1, (group or count) + 1) if count % divisor == 0)
    groups = tf.reshape(at_least_float32(x), (size, count // size, height, width, statistics, channels // statistics))
    variance = tf.math.reduce_variance(groups, axis=0)  # [N / size, H, W, statistics, C / statistics]
    spread = tf.reduce_mean(tf.sqrt(variance + EPSILON), axis=[1, 2, 4])[:, None, None]  # [N / size, 1, 1, statistics]
    spread = tf.tile(tf.cast(spread, x.dtype), (size, height, width, 1))
    return tf.concat([x, spread], axis=-1)
