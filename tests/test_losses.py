"""Losses, penalties and path length regularisation: known answers, gradients, replicas."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.config import validation
from gan_tf.losses import (
    LOSSES,
    RECONSTRUCTIONS,
    energy_distance,
    gradient_penalty,
    interpolates,
    path_length_penalty,
    path_lengths,
    path_slopes,
    r1_penalty,
)
from gan_tf.rng import Draws

REAL = np.array([[1.0, 3.0], [0.0, -1.0], [0.5, 0.5]], np.float32)
FAKE = np.array([[-2.0, 0.0], [1.0, 1.0], [0.9, -3.0]], np.float32)


SOFTPLUS = functools.partial(np.logaddexp, 0)
DRAWS = Draws(3, 0, 3)


def values(name, real=REAL, fake=FAKE):
    """(real part, fake part, generator's) values of one loss."""
    loss = LOSSES[name]
    real, fake = tf.constant(real), tf.constant(fake)
    g_values = loss.generator(fake, real if loss.needs_reals else None)
    return [value.numpy() for value in (*loss.discriminator(real, fake, DRAWS), g_values)]


@pytest.mark.parametrize("name", LOSSES)
def test_d_raises_reals_and_lowers_fakes_and_g_raises_fakes(name):
    assert [(value.shape, value.dtype) for value in values(name)] == [((3,), np.float32)] * 3
    loss = LOSSES[name]
    real, fake = tf.constant(0.4 + REAL / 10), tf.constant(0.4 + FAKE / 10)  # inside (0, 0.8), where no loss is flat
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([real, fake])
        d_loss = tf.reduce_sum(tf.add_n(loss.discriminator(real, fake, DRAWS)))
        g_loss = tf.reduce_sum(loss.generator(fake, real if loss.needs_reals else None))
    assert (tape.gradient(d_loss, real).numpy() < 0).all()
    assert (tape.gradient(d_loss, fake).numpy() > 0).all()
    assert (tape.gradient(g_loss, fake).numpy() < 0).all()
    assert tape.gradient(g_loss, real) is None


def test_hinge_margins_are_drawn_per_logit():
    zeros = np.zeros((500, 40), np.float32)
    loss = LOSSES["hinge"]
    many = Draws(0, tf.constant(0, tf.int64), 500)
    real, fake = loss.discriminator(tf.constant(zeros), tf.constant(zeros), many)  # zero logits give the mean margin
    assert np.mean(real) == pytest.approx(0.9, abs=0.002) and np.mean(fake) == pytest.approx(0.9, abs=0.002)
    assert np.std(real) == pytest.approx(0.2 / 12**0.5 / 40**0.5, rel=0.1)  # 40 independent margins per image
    assert abs(np.corrcoef(real, fake)[0, 1]) < 0.15


def test_hinge_is_zero_beyond_the_margin():
    real, fake, g = values("hinge", real=np.float32([[1.0, 9.0], [0.8, 0.0], [-1, -1]]), fake=FAKE * 0 - 1)
    assert real[0] == 0 and 0.4 <= real[1] <= 0.6 and 1.8 <= real[2] <= 2
    np.testing.assert_array_equal(fake, [0, 0, 0])
    np.testing.assert_array_equal(g, [1, 1, 1])


P_REAL = 1 / (1 + np.exp(-REAL))


@pytest.mark.parametrize(
    ("name", "want"),
    [
        ("logistic", (SOFTPLUS(-REAL), SOFTPLUS(FAKE), SOFTPLUS(-FAKE))),
        ("lsgan", ((REAL - 1) ** 2 / 2, FAKE**2 / 2, (FAKE - 1) ** 2 / 2)),
        ("bce", (-0.9 * np.log(P_REAL) - 0.1 * np.log(1 - P_REAL), SOFTPLUS(FAKE), SOFTPLUS(-FAKE))),
        ("wgan_gp", (-REAL + 0.001 * REAL**2, FAKE, -FAKE)),
    ],
)
def test_losses_by_hand(name, want):
    for got, logits in zip(values(name), want, strict=True):
        np.testing.assert_allclose(got, logits.mean(1), rtol=1e-5)


def test_dual_contrastive_by_hand():
    x, y = REAL.mean(1).astype(np.float64), FAKE.mean(1).astype(np.float64)
    real, fake, g = values("dual_contrastive")
    pairs = np.exp(y[None, :] - x[:, None])  # [real, fake]
    np.testing.assert_allclose(real, np.log(1 + pairs.sum(1)), rtol=1e-6)
    np.testing.assert_allclose(fake, np.log(1 + pairs.sum(0)), rtol=1e-6)
    np.testing.assert_allclose(g, -real - fake, rtol=1e-6)


@pytest.mark.parametrize("name", ["dual_contrastive", "logistic", "bce"])
def test_huge_logits_stay_finite(name):
    got = values(name, REAL * 1e4, FAKE * 1e4) + values(name, -REAL * 1e4, FAKE * 1e4)
    assert all(np.isfinite(value).all() for value in got)


def summed(strategy, step):
    """Sums over the replicas, as arrays, of the tensors that step(rows) returns.

    rows(x): the rows of an array that belong to the calling replica: all, or on two replicas every other one.
    """
    parts = strategy.num_replicas_in_sync

    @tf.function(autograph=False)
    def run():
        replica = tf.distribute.get_replica_context()
        index = replica.replica_id_in_sync_group if parts > 1 else 0

        def rows(x):
            return tf.ensure_shape(tf.convert_to_tensor(x)[index::parts], (len(x) // parts, *x.shape[1:]))

        return replica.all_reduce("sum", step(rows))

    return [strategy.experimental_local_results(value)[0].numpy() for value in strategy.run(run)]


def gradients(strategy, loss, batch=6):
    """Losses of both players and their gradients for a linear critic and a linear generator: a list of arrays."""
    rng = np.random.default_rng(0)
    reals, latents = rng.normal(size=(2, batch, 5)).astype(np.float32)
    with strategy.scope():
        d = tf.Variable(rng.normal(size=(5, 4)).astype(np.float32))
        g = tf.Variable(rng.normal(size=(5, 5)).astype(np.float32))

    def step(rows):
        replica = tf.distribute.get_replica_context()
        part = replica.replica_id_in_sync_group, replica.num_replicas_in_sync
        own_draws = Draws(7, tf.constant(0, tf.int64), batch).shard(*part)
        with tf.GradientTape(persistent=True) as tape:
            real_logits, fake_logits = rows(reals) @ d, rows(latents) @ g @ d
            d_values = tf.add_n(loss.discriminator(real_logits, fake_logits, own_draws))
            g_values = loss.generator(fake_logits, real_logits if loss.needs_reals else None)
            d_loss, g_loss = (tf.reduce_sum(values) / batch for values in (d_values, g_values))
        return [tape.gradient(d_loss, d), tape.gradient(g_loss, g), d_loss, g_loss]

    return summed(strategy, step)


@pytest.mark.parametrize("name", LOSSES)
def test_two_replicas_have_the_losses_and_gradients_of_one(two_cpus, name):
    one = tf.distribute.OneDeviceStrategy("CPU:0")
    for got, want in zip(gradients(two_cpus, LOSSES[name]), gradients(one, LOSSES[name]), strict=True):
        assert np.linalg.norm(got - want) < 1e-5 * np.linalg.norm(want)


def test_reconstructions():
    outputs = tf.constant([0.0, 1.0], shape=(2, 1, 1, 1)) * tf.ones([2, 4, 4, 3])
    for name, want in (("l1", [1, 2]), ("l2", [1, 4])):
        np.testing.assert_allclose(RECONSTRUCTIONS[name](outputs, tf.fill([2, 4, 4, 3], -1.0)), want)


def test_interpolates():
    got = interpolates(tf.zeros([3, 2, 2, 3]), tf.fill([3, 2, 2, 3], 4.0), tf.constant([0.0, 0.25, 1.0]))
    np.testing.assert_allclose(got, np.reshape([0, 1, 4], (3, 1, 1, 1)) * np.ones((3, 2, 2, 3)))


def random(*shape, seed=0):
    return tf.constant(np.random.default_rng(seed).normal(size=shape))


def linear_critic(weight):
    return lambda images: tf.einsum("nhwc,hwc->n", images, weight)[:, None]


@pytest.mark.parametrize(
    ("penalty", "want", "factor"),
    [
        (r1_penalty, lambda length: length**2, lambda length: 2),
        (gradient_penalty, lambda length: (length - 1) ** 2, lambda length: 2 * (1 - 1 / length)),
    ],
)
def test_penalties_of_a_linear_critic_and_their_gradients(penalty, want, factor):
    """Gradients with respect to the critic's weight: `factor` times the weight."""
    weight, images = random(4, 4, 3), random(2, 4, 4, 3, seed=1)
    length = np.linalg.norm(weight)
    with tf.GradientTape() as tape:
        tape.watch(weight)
        values = penalty(linear_critic(weight), images)
    np.testing.assert_allclose(values, [want(length)] * 2)
    np.testing.assert_allclose(tape.gradient(values, weight), 2 * factor(length) * weight)


def test_repeats_give_the_penalty_of_an_upsampled_image():
    """The gradient is taken at an image with repeated pixels, which the critic averages first."""
    weight, small = random(4, 4, 3), random(2, 4, 4, 3, seed=1)
    large = tf.repeat(tf.repeat(small, 4, axis=1), 4, axis=2)
    want = gradient_penalty(lambda x: linear_critic(weight)(tf.nn.avg_pool2d(x, 4, 4, "VALID")), large)
    np.testing.assert_allclose(gradient_penalty(linear_critic(weight), small, repeats=4), want)


def test_the_settings_offer_all_losses():
    assert set().union(*validation.LOSSES.values()) == set(LOSSES)


def test_path_lengths_of_a_linear_synthesis():
    weights, ws, directions = random(3, 5, 4, 2, 3), random(2, 3, 5), random(2, 4, 2, 3)
    synthesis = lambda ws: tf.einsum("nsw,swhvc->nhvc", ws, weights)  # noqa: E731
    slopes = np.einsum("swhvc,nhvc->nsw", weights, directions) / 8**0.5
    np.testing.assert_allclose(path_slopes(synthesis, ws, directions), slopes)
    np.testing.assert_allclose(path_lengths(synthesis, ws, directions), np.sqrt((slopes**2).sum(2).mean(1)))


def test_path_length_penalty_and_its_gradient():
    """The updated mean is part of the differentiated expression."""
    lengths = tf.constant([2.0, 4.0])
    with tf.GradientTape() as tape:
        tape.watch(lengths)
        penalty, mean = path_length_penalty(lengths, tf.constant(1.0))
        total = tf.reduce_sum(penalty) + 100 * mean
    np.testing.assert_allclose(mean, 1.02)
    np.testing.assert_allclose(penalty, [0.98**2, 2.98**2], rtol=1e-5)
    partial = np.array([0.98, 2.98]) * 2
    np.testing.assert_allclose(tape.gradient(total, lengths), partial - 0.01 * partial.mean(), rtol=1e-4)


@pytest.mark.parametrize("compiled", [False, True])
def test_the_gradient_of_path_lengths_reaches_the_weights(compiled):
    """Length |a d| / sqrt(H W) of images a * w: its derivative in a is that of |a|."""
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


def test_two_replicas_have_the_path_length_penalty_of_one(two_cpus):
    lengths = tf.constant([1.0, 2.0, 4.0, 8.0])

    def step(rows):
        with tf.GradientTape() as tape:
            tape.watch(lengths)
            penalty, mean = path_length_penalty(rows(lengths), tf.constant(1.5))
            total = tf.reduce_sum(penalty)
        replicas = tf.distribute.get_replica_context().num_replicas_in_sync
        return [total, tape.gradient(total, lengths), mean / replicas]

    for got, want in zip(summed(two_cpus, step), summed(tf.distribute.get_strategy(), step), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6)


def test_energy_distance_of_two_fakes_and_two_reals():
    fakes, reals = tf.constant([[[0.0]], [[2.0]]]), tf.constant([[[0.0]], [[1.0]]])
    # Spread 1; from 0: 2 * 0.5 - 2 - 1, from 2: 2 * 1.5 - 2 - 1.
    np.testing.assert_allclose(energy_distance(fakes, reals), [-2.0, 0.0])


def test_energy_distance_is_zero_on_average_between_equal_distributions_only():
    random = np.random.default_rng(0)

    def distance(shift, scale):
        samples = ((shift + scale * random.normal(size=(8, 1, 5)), random.normal(size=(8, 1, 5))) for _ in range(400))
        pairs = [(tf.constant(x, tf.float32), tf.constant(y, tf.float32)) for x, y in samples]
        return np.mean([energy_distance(*pair) for pair in pairs])

    assert abs(distance(0, 1)) < 0.02 < 0.15 < min(distance(1, 1), distance(0, 0.3), distance(0, 3))


def test_energy_distance_moves_equal_fakes_to_the_reals_without_nan():
    random = np.random.default_rng(0)
    fakes, reals = tf.Variable([[[3.0, 0.0]]] * 4), tf.constant(random.normal(size=(64, 1, 2)), tf.float32)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(energy_distance(fakes, reals))
    slopes = tape.gradient(loss, fakes).numpy()
    assert np.isfinite(slopes).all() and (slopes[..., 0] > 0.1).all()
