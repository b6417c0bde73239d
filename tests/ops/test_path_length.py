"""Path lengths and their penalty where the answer is known."""

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.ops.path_length import path_length_penalty, path_lengths, path_slopes


def random(*shape, seed=0):
    return tf.constant(np.random.default_rng(seed).normal(size=shape))


def linear(weights):
    """Images that depend on ws by given weights, [S, W, H, W, C]."""
    return lambda ws: tf.einsum("nsw,swhvc->nhvc", ws, weights)


def test_slopes_of_a_linear_synthesis_are_its_weights_times_the_direction():
    weights, ws, directions = random(3, 5, 4, 2, 3), random(2, 3, 5), random(2, 4, 2, 3)
    want = np.einsum("swhvc,nhvc->nsw", weights, directions) / 8**0.5
    np.testing.assert_allclose(path_slopes(linear(weights), ws, directions), want)
    lengths = np.sqrt((want**2).sum(2).mean(1))
    np.testing.assert_allclose(path_lengths(linear(weights), ws, directions), lengths)


def test_penalty_is_the_squared_distance_from_the_mean_that_has_moved():
    penalty, mean = path_length_penalty(tf.constant([2.0, 4.0]), tf.constant(1.0))
    np.testing.assert_allclose(mean, 1.02)
    np.testing.assert_allclose(penalty, [0.98**2, 2.98**2], rtol=1e-5)


def test_the_mean_is_part_of_what_is_differentiated():
    lengths = tf.constant([2.0, 4.0])
    with tf.GradientTape() as tape:
        tape.watch(lengths)
        penalty, mean = path_length_penalty(lengths, tf.constant(1.0))
        total = tf.reduce_sum(penalty) + 100 * mean
    own = np.array([0.98, 2.98]) * 2
    np.testing.assert_allclose(tape.gradient(total, lengths), own - 0.01 * own.mean(), rtol=1e-4)


@pytest.mark.parametrize("compiled", [False, True])
def test_the_gradient_of_lengths_reaches_the_weights(compiled):
    """Length |a d| / sqrt(H W) of images a * w: its slope in a is that of |a|."""
    a, ws, directions = tf.constant(-3.0, tf.float64), random(2, 1, 4), random(2, 2, 2, 1)

    @tf.function(jit_compile=compiled)
    def run():
        with tf.GradientTape() as tape:
            tape.watch(a)
            lengths = path_lengths(lambda ws: a * tf.reshape(ws, (2, 2, 2, 1)), ws, directions)
        return lengths, tape.gradient(lengths, a)

    lengths, slope = run()
    want = np.linalg.norm(directions.numpy().reshape(2, -1), axis=1) / 2
    np.testing.assert_allclose(lengths, 3 * want)
    np.testing.assert_allclose(slope, -want.sum())


def test_two_replicas_have_the_penalty_mean_and_gradient_of_one(two_cpus):
    lengths = tf.constant([1.0, 2.0, 4.0, 8.0])

    def run(strategy):
        parts = strategy.num_replicas_in_sync

        @tf.function
        def step():
            replica = tf.distribute.get_replica_context()
            index = replica.replica_id_in_sync_group if parts > 1 else 0
            with tf.GradientTape() as tape:
                tape.watch(lengths)
                penalty, mean = path_length_penalty(lengths[index::parts], tf.constant(1.5))
                total = tf.reduce_sum(penalty)
            slope = tape.gradient(total, lengths)
            return replica.all_reduce("sum", [total, slope]), mean

        return strategy.experimental_local_results(strategy.run(step))[0]

    (total, slope), mean = run(two_cpus)
    (want_total, want_slope), want_mean = run(tf.distribute.get_strategy())
    for got, want in ((total, want_total), (slope, want_slope), (mean, want_mean)):
        np.testing.assert_allclose(got, want, rtol=1e-6)
