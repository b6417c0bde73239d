"""Path length regularisation: a step of fixed length in w should change the image by as much wherever it is made.

How much images change is measured in a random direction among images, which is the length of one row of random
weights times the Jacobian. It is drawn towards its own running mean, which the trainer keeps from step to step.

Source: Karras et al. 2020 (Analyzing and Improving the Image Quality of StyleGAN), section 3.2, equation 4, and
appendix B; details as in the official program.
"""

import tensorflow as tf

DECAY = 0.01  # share of a new batch in the running mean


def path_lengths(synthesis, ws, directions):
    """Root mean square over the layers of the length of each layer's gradient.

    Args:
        synthesis: ws -> images [N, H, W, C], at least float32 (a half precision drowns the gradients).
        ws: [N, S, W].
        directions: [N, H, W, C] standard normal; divided here by sqrt(H * W), so that lengths do not grow with images.

    Returns:
        [N]. Their own gradient is not finite where an image does not depend on ws at all: the root has no epsilon.
    """
    slopes = path_slopes(synthesis, ws, directions)
    return tf.sqrt(tf.reduce_mean(tf.reduce_sum(slopes**2, axis=2), axis=1))


def path_slopes(synthesis, ws, directions):
    """Gradient of sum(images * directions) / sqrt(H * W) with respect to ws: like ws."""
    height, width = directions.shape[1:3]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(ws)
        images = synthesis(ws)
        change = tf.reduce_sum(images * tf.cast(directions, images.dtype)) / (height * width) ** 0.5
    return tape.gradient(change, ws)


def path_length_penalty(lengths, mean):
    """Squared distance of each length from the running mean, which these lengths have moved before.

    The mean is taken over the global batch, and is part of what is differentiated: lengths that move their mean with
    them are penalised less. All-reduce's gradient adds up what every replica sends back, so that the replicas'
    gradients, summed by the optimiser, are those of one replica with the whole batch.

    Args:
        lengths: [N] of this replica, from `path_lengths`.
        mean: scalar, the running mean before; zero at first.

    Returns:
        (penalty [N], without its weight; the running mean after, scalar, without gradient).
    """
    batch_mean = tf.reduce_mean(lengths)
    replica = tf.distribute.get_replica_context()
    if replica is not None and replica.num_replicas_in_sync > 1:
        batch_mean = replica.all_reduce(tf.distribute.ReduceOp.SUM, batch_mean) / replica.num_replicas_in_sync
    mean = mean + DECAY * (batch_mean - mean)
    return (lengths - mean) ** 2, tf.stop_gradient(mean)
