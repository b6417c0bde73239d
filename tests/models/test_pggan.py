"""Shapes, growth and invariances of the Progressive GAN networks."""

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.losses import gradient_penalty
from gan_tf.models.pggan import PgganDiscriminator, PgganGenerator, blend
from gan_tf.models.variables import named_variables
from gan_tf.ops.forms import PLAIN, use_forms
from gan_tf.ops.resample import average_pool_to, upsample_nearest
from tests.models.networks import random
from tests.parity.report import relative_l2

SIZES = {"resolution": 32, "fmap_base": 128, "fmap_max": 16}
LEVELS = range(4)


def generator(**changes):
    g = PgganGenerator(**{**SIZES, "latent_size": 8, **changes})
    g.build()
    return g


def discriminator(**changes):
    d = PgganDiscriminator(**{**SIZES, **changes})
    d.build()
    return d


@pytest.mark.parametrize("alpha", [None, 0.3])
@pytest.mark.parametrize("level", LEVELS)
def test_images_and_logits_of_every_level(level, alpha):
    size = 4 * 2**level
    images = generator()(random(4, 8), level=level, alpha=alpha)
    assert images.shape == (4, size, size, 3) and images.dtype == tf.float32
    logits = discriminator()(images, level=level, alpha=alpha)
    assert logits.shape == (4, 1) and logits.dtype == tf.float32


def test_the_last_level_is_the_default():
    g, d, z = generator(), discriminator(), random(2, 8)
    np.testing.assert_array_equal(g(z), g(z, level=3))
    images = random(2, 32, 32, 3)
    np.testing.assert_array_equal(d(images), d(images, level=3))


@pytest.mark.parametrize("level", LEVELS[1:])
def test_at_alpha_0_the_level_before_is_seen_and_at_alpha_1_the_level_alone(level):
    g, d, z, size = generator(), discriminator(), random(4, 8), 4 * 2**level
    np.testing.assert_array_equal(g(z, level=level, alpha=0.0), upsample_nearest(g(z, level=level - 1)))
    np.testing.assert_array_equal(g(z, level=level, alpha=1.0), g(z, level=level))
    images = random(4, size, size, 3)
    small = average_pool_to(images, size // 2)
    np.testing.assert_array_equal(d(images, level=level, alpha=0.0), d(small, level=level - 1))
    np.testing.assert_array_equal(d(images, level=level, alpha=1.0), d(images, level=level))


def test_level_0_ignores_alpha():
    g, d, z, images = generator(), discriminator(), random(4, 8), random(4, 4, 4, 3)
    np.testing.assert_array_equal(g(z, level=0, alpha=0.5), g(z, level=0))
    np.testing.assert_array_equal(d(images, level=0, alpha=0.5), d(images, level=0))


def test_a_fade_is_linear_in_the_images():
    g, z = generator(), random(2, 8)
    old, new = (g(z, level=2, alpha=alpha).numpy() for alpha in (0.0, 1.0))
    np.testing.assert_allclose(g(z, level=2, alpha=tf.constant(0.3)), 0.3 * new + 0.7 * old, rtol=1e-5, atol=1e-6)


def test_blend_is_exact_at_both_ends_in_half_precision_too():
    new, old = (tf.cast(random(3, 5, seed=seed) * 100, tf.bfloat16) for seed in (0, 1))
    np.testing.assert_array_equal(blend(new, old, 1.0), new)
    np.testing.assert_array_equal(blend(new, old, 0.0), old)
    assert blend(new, old, tf.constant(0.999)).dtype == tf.bfloat16


def test_one_trace_serves_a_whole_fade():
    g = generator()
    traced = tf.function(lambda z, alpha: g(z, level=2, alpha=alpha), autograph=False)
    z = random(2, 8)
    for alpha in (0.1, 0.7):
        np.testing.assert_allclose(traced(z, tf.constant(alpha)), g(z, level=2, alpha=alpha), rtol=1e-4, atol=1e-5)
    assert traced.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("alpha", [None, 0.4])
def test_layers_beyond_the_level_get_no_gradient_and_all_others_do(alpha):
    g, d, level = generator(), discriminator(), 2
    with tf.GradientTape(persistent=True) as tape:
        fakes = g(random(4, 8), training=True, level=level, alpha=alpha)
        penalty = gradient_penalty(lambda x: d(x, level=level, alpha=alpha), fakes, 2)
        loss = tf.reduce_sum(penalty + d(fakes, training=True, level=level, alpha=alpha)[:, 0])
    blocks, ends = {0, 1}, {2} if alpha is None else {1, 2}
    for network in (g, d):
        reached = set()
        variables = {name: v for name, v in named_variables(network).items() if v.trainable}
        slopes = tape.gradient(loss, [v.value for v in variables.values()])
        for name, slope in zip(variables, slopes, strict=True):
            if slope is not None:
                assert np.isfinite(slope).all() and np.any(slope), name
                reached.add(name)
        assert reached == {name for name in variables if _within(name, blocks, ends)}


def _within(name, blocks, ends):
    part, index, *_ = name.split("/")
    return part in ("stem", "head") or int(index) in (blocks if part == "blocks" else ends)


def test_minibatch_stddev_sees_the_batch_and_can_be_left_out():
    images = random(8, 8, 8, 3)
    others = tf.concat([images[:2], random(6, 8, 8, 3, seed=1)], axis=0)
    for wanted in (True, False):
        d = discriminator(minibatch_stddev=wanted)
        before, after = (d(batch, level=1)[:2].numpy() for batch in (images, others))
        assert (relative_l2(after, before) > 1e-3) == wanted
        assert relative_l2(after, before) > 1e-3 or relative_l2(after, before) < 1e-5


def test_every_other_row_of_a_batch_is_judged_as_within_the_batch():
    d, images = discriminator(), random(16, 8, 8, 3)
    whole = d(images, level=1).numpy()
    for first in (0, 1):
        np.testing.assert_allclose(d(images[first::2], level=1), whole[first::2], rtol=1e-4, atol=1e-5)


def test_pixel_norm_can_be_left_out():
    z = random(2, 8)
    assert relative_l2(generator(pixel_norm=False)(z), generator()(z)) > 0.1


def test_batch_norm_takes_the_place_of_biases_and_learns_its_statistics():
    g, z = generator(batch_norm=True), random(16, 8)
    names = set(named_variables(g))
    assert "blocks/0/conv_norm/moving_mean" in names and "blocks/0/conv/bias" not in names
    for i in range(60):
        g(random(16, 8, seed=i), training=True)
    assert relative_l2(g(z, training=False), g(z, training=True)) < 0.3
    assert np.abs(g.stem.first_norm.moving_mean).max() > 0


def test_a_half_precision_discriminator_can_be_asked_for_float32():
    exact, d = discriminator(), discriminator(dtype="mixed_bfloat16")
    images, place = random(4, 32, 32, 3), {"level": 3, "alpha": 0.5}
    np.testing.assert_allclose(d(images, dtype="float32", **place), exact(images, **place), rtol=1e-5)
    assert relative_l2(d(images, **place), exact(images, **place)) > 1e-4
    want = gradient_penalty(lambda x: exact(x, **place), images)
    np.testing.assert_allclose(gradient_penalty(lambda x: d(x, dtype="float32", **place), images), want, rtol=1e-5)


def test_fast_forms_give_the_plain_numbers_up_to_the_second_derivative():
    """In float64, where no leaky ReLU flips on a rounding error."""
    g, d, z = generator(dtype="float64"), discriminator(dtype="float64"), random(4, 8)

    def run():
        with tf.GradientTape() as tape:
            fakes = g(z, level=3, alpha=0.5)
            penalty = gradient_penalty(lambda x: d(x, level=3, alpha=0.5), fakes)
            loss = tf.reduce_sum(penalty)
        variables = [v.value for v in (*g.trainable_variables, *d.trainable_variables)]
        slopes = tape.gradient(loss, variables, unconnected_gradients="zero")
        return [fakes, penalty, tf.concat([tf.reshape(slope, [-1]) for slope in slopes], 0)]

    fast = run()
    with use_forms(PLAIN):
        plain = run()
    for got, want in zip(fast, plain, strict=True):
        assert relative_l2(got, want) < 1e-6


def test_initial_kernels_have_unit_spread_and_maps_keep_theirs():
    g = generator(fmap_base=2048, fmap_max=128, latent_size=128)
    assert abs(np.std(g.blocks[0].conv.kernel) - 1) < 0.02
    assert 0.3 < np.std(g(random(8, 128))) < 3


def test_growth_starts_at_4x4_pixels_and_is_not_trained():
    g = generator()
    assert float(g.growth.numpy()) == 0 and not g.growth.trainable
    assert named_variables(g)["growth"] is g.growth


def test_channels_halve_as_maps_double_up_to_a_most():
    g = generator(resolution=64, fmap_base=256, fmap_max=32)
    assert [block.filters for block in (g.stem, *g.blocks)] == [32, 32, 32, 16, 8]
    assert [layer.filters for layer in discriminator(resolution=64, fmap_base=256, fmap_max=32).from_rgb] == [
        32,
        32,
        32,
        16,
        8,
    ]


def test_a_level_that_does_not_exist_or_fit_the_images_is_refused():
    with pytest.raises(ValueError, match="level must be 0 to 3, got 4"):
        generator()(random(2, 8), level=4)
    with pytest.raises(ValueError, match="level 2 takes images of 16 pixels, got 32"):
        discriminator()(random(2, 32, 32, 3), level=2)
    with pytest.raises(ValueError, match="known batch size"):
        tf.function(discriminator(), input_signature=[tf.TensorSpec([None, 32, 32, 3])]).get_concrete_function()


def test_two_replicas_have_the_gradients_of_one(two_cpus):
    """The whole of D's loss, penalty included, when each replica holds every other row."""
    images, place = random(8, 16, 16, 3), {"level": 2, "alpha": 0.5}

    def run(strategy):
        parts = strategy.num_replicas_in_sync
        with strategy.scope():
            d = discriminator(seed=1)

        @tf.function
        def step():
            replica = tf.distribute.get_replica_context()
            index = replica.replica_id_in_sync_group if parts > 1 else 0
            rows = tf.ensure_shape(images[index::parts], (8 // parts, 16, 16, 3))
            variables = [v.value for v in d.trainable_variables]
            with tf.GradientTape() as tape:
                penalty = gradient_penalty(lambda x: d(x, **place), rows)
                loss = tf.reduce_sum(penalty + d(rows, **place)[:, 0]) / 8
            slopes = tape.gradient(loss, variables, unconnected_gradients="zero")
            return replica.all_reduce("sum", tf.concat([tf.reshape(slope, [-1]) for slope in slopes], 0))

        return strategy.experimental_local_results(strategy.run(step))[0].numpy()

    assert relative_l2(run(two_cpus), run(tf.distribute.get_strategy())) < 1e-5
