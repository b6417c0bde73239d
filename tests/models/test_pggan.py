"""Shapes, growth and invariances of the Progressive GAN networks."""

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.errors import UsageError
from gan_tf.losses import gradient_penalty
from gan_tf.models.pggan import PgganDiscriminator, PgganGenerator, blend, growth_of
from gan_tf.models.variables import named_variables
from gan_tf.ops.forms import PLAIN, use_forms
from gan_tf.ops.resample import average_pool_to, upsample_nearest
from tests.models.networks import flat, gradients, random
from tests.parity.report import relative_l2

SIZES = {"resolution": 32, "fmap_base": 128, "fmap_max": 16}


def generator(**changes):
    g = PgganGenerator(**{**SIZES, "latent_size": 8, **changes})
    g.build()
    return g


def discriminator(**changes):
    d = PgganDiscriminator(**{**SIZES, **changes})
    d.build()
    return d


@pytest.mark.parametrize("alpha", [None, 0.3])
@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_images_and_logits_of_every_level(level, alpha):
    g, d, size = generator(), discriminator(), 4 * 2**level
    images = g(random(4, 8), level=level, alpha=alpha)
    assert images.shape == (4, size, size, 3) and images.dtype == tf.float32
    logits = d(images, level=level, alpha=alpha)
    assert logits.shape == (4, 1) and logits.dtype == tf.float32
    if level == 3 and alpha is None:  # the default
        np.testing.assert_array_equal(g(random(4, 8)), images)
        np.testing.assert_array_equal(d(images), logits)
    if level == 0:  # alpha is ignored
        np.testing.assert_array_equal(g(random(4, 8), level=0), images)
        np.testing.assert_array_equal(d(images, level=0), logits)


@pytest.mark.parametrize("level", [1, 2, 3])
def test_alpha_0_gives_the_level_before_alpha_1_the_level_alone_and_between_both_a_mixture(level):
    g, d, z, size = generator(), discriminator(), random(4, 8), 4 * 2**level
    mixed = 0.3 * g(z, level=level, alpha=1.0) + 0.7 * g(z, level=level, alpha=0.0)
    np.testing.assert_allclose(g(z, level=level, alpha=tf.constant(0.3)), mixed, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(g(z, level=level, alpha=0.0), upsample_nearest(g(z, level=level - 1)))
    np.testing.assert_array_equal(g(z, level=level, alpha=1.0), g(z, level=level))
    images = random(4, size, size, 3)
    small = average_pool_to(images, size // 2)
    np.testing.assert_array_equal(d(images, level=level, alpha=0.0), d(small, level=level - 1))
    np.testing.assert_array_equal(d(images, level=level, alpha=1.0), d(images, level=level))


def test_blend_is_exact_at_both_ends_in_half_precision_too():
    new, old = (tf.cast(random(3, 5, seed=seed) * 100, tf.bfloat16) for seed in (0, 1))
    np.testing.assert_array_equal(blend(new, old, 1.0), new)
    np.testing.assert_array_equal(blend(new, old, 0.0), old)
    assert blend(new, old, tf.constant(0.999)).dtype == tf.bfloat16


@pytest.mark.parametrize("alpha", [None, 0.4])
def test_layers_beyond_the_level_get_no_gradient_and_all_others_do(alpha):
    g, d, level = generator(), discriminator(), 2
    with tf.GradientTape(persistent=True) as tape:
        fakes = g(random(4, 8), training=True, level=level, alpha=alpha)
        penalty = gradient_penalty(lambda x: d(x, level=level, alpha=alpha), fakes, 2)
        loss = tf.reduce_sum(penalty + d(fakes, training=True, level=level, alpha=alpha)[:, 0])
    blocks, ends = {0, 1}, {2} if alpha is None else {1, 2}
    for network in (g, d):
        for name, slope in gradients(loss, network, tape).items():
            part, index, *_ = name.split("/")
            used = part in ("stem", "head") or int(index) in (blocks if part == "blocks" else ends)
            assert (slope is not None) == used, name
            assert not used or (np.isfinite(slope).all() and np.any(slope)), name


def test_minibatch_stddev_sees_the_batch_and_can_be_left_out():
    images = random(8, 8, 8, 3)
    others = tf.concat([images[:2], random(6, 8, 8, 3, seed=1)], axis=0)
    for wanted in (True, False):
        d = discriminator(minibatch_stddev=wanted)
        before, after = (d(batch, level=1)[:2].numpy() for batch in (images, others))
        assert (relative_l2(after, before) > 1e-3) == wanted
        assert relative_l2(after, before) > 1e-3 or relative_l2(after, before) < 1e-5


@pytest.mark.parametrize("growth", [np.float32(-0.1), np.float32(3.1), np.float32(np.nan), np.zeros(2)])
def test_impossible_growth_is_refused(growth):
    with pytest.raises(UsageError, match="a file .*growth"):
        growth_of({"growth": growth}, 3, "a file")


def test_pixel_norm_can_be_left_out():
    assert relative_l2(generator(pixel_norm=False)(random(2, 8)), generator()(random(2, 8))) > 0.1


def test_batch_norm_takes_the_place_of_biases_and_learns_its_statistics():
    g, z = generator(batch_norm=True), random(16, 8)
    names = set(named_variables(g))
    assert "blocks/0/conv_norm/moving_mean" in names and "blocks/0/conv/bias" not in names
    for i in range(40):
        g(random(16, 8, seed=i), training=True)
    assert relative_l2(g(z, training=False), g(z, training=True)) < 0.3
    assert np.abs(g.stem.first_norm.moving_mean).max() > 0


def test_fast_forms_give_the_plain_numbers_up_to_the_second_derivative():
    """In float64, where no leaky ReLU flips on a rounding error."""
    g, d, z = generator(dtype="float64"), discriminator(dtype="float64"), random(4, 8)

    def run():
        with tf.GradientTape(persistent=True) as tape:
            fakes = g(z, level=3, alpha=0.5)
            penalty = gradient_penalty(lambda x: d(x, level=3, alpha=0.5), fakes)
        return [fakes, penalty, *(flat(gradients(penalty, n, tape, unconnected_gradients="zero")) for n in (g, d))]

    fast = run()
    with use_forms(PLAIN):
        plain = run()
    for got, want in zip(fast, plain, strict=True):
        assert relative_l2(got, want) < 1e-6


def test_initial_kernels_have_unit_spread_maps_keep_theirs_and_growth_starts_at_4x4_pixels():
    g = generator(fmap_base=2048, fmap_max=128, latent_size=128)
    assert float(g.growth.numpy()) == 0 and not g.growth.trainable
    assert abs(np.std(g.blocks[0].conv.kernel) - 1) < 0.02
    assert 0.3 < np.std(g(random(8, 128))) < 3


def test_channels_halve_as_maps_double_up_to_a_most():
    g = generator(resolution=64, fmap_base=256, fmap_max=32)
    d = discriminator(resolution=64, fmap_base=256, fmap_max=32)
    for layers in ((g.stem, *g.blocks), d.from_rgb):
        assert [layer.filters for layer in layers] == [32, 32, 32, 16, 8]
