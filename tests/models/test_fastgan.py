"""Shapes, interfaces and invariants of the FastGAN networks."""

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.errors import UsageError
from gan_tf.models.fastgan import FastGanDiscriminator, FastGanGenerator, quadrant, reconstruction_targets
from gan_tf.models.variables import named_variables
from gan_tf.ops.forms import PLAIN, use_forms
from gan_tf.ops.resample import nearest_resize
from tests.models.networks import random, values


@pytest.mark.parametrize(("resolution", "small"), [(64, 32), (128, 64), (256, 128), (512, 128), (1024, 128)])
def test_shapes_of_every_size(resolution, small):
    g = FastGanGenerator(resolution, ngf=8, latent_size=16)
    d = FastGanDiscriminator(resolution, ndf=8)
    noise = [random(1, *shape) for shape in g.noise_shapes]
    images, small_images = g(random(1, 16), noise=noise)
    assert images.shape == (1, resolution, resolution, 3) and images.dtype == tf.float32
    assert small_images.shape == (1, small, small, 3) and small_images.dtype == tf.float32
    assert g.small_resolution == d.small_resolution == small
    logits, rebuilt = d.logits_and_reconstructions((images, small_images), tf.constant(1))
    assert logits.shape == (1, 50)
    assert {name: value.shape for name, value in rebuilt.items()} == dict.fromkeys(
        ("big", "small", "part"), (1, small, small, 3)
    )
    np.testing.assert_allclose(d((images, small_images)), logits, rtol=1e-5)


@pytest.mark.parametrize(("resolution", "most"), [(64, 5), (128, 6), (256, 7), (512, 7), (1024, 7)])
def test_further_decoders_read_larger_maps_up_to_a_limit(resolution, most):
    d = FastGanDiscriminator(resolution, ndf=8, decoders=most)
    assert d.reconstruction_names[3:] == ("map_32", "map_64", "map_128", "map_256")[: most - 3]
    with pytest.raises(UsageError, match=f"0 to {most} at resolution {resolution}, got {most + 1}"):
        FastGanDiscriminator(resolution, ndf=8, decoders=most + 1)


def test_further_decoders_rebuild_the_whole_image():
    d = FastGanDiscriminator(64, ndf=4, decoders=5)
    images = random(2, 64, 64, 3)
    _, rebuilt = d.logits_and_reconstructions((images, nearest_resize(images, 32)), 0)
    targets = reconstruction_targets(images, 0, 32, d.reconstruction_names)
    assert set(rebuilt) == set(targets) == {"big", "small", "part", "map_32", "map_64"}
    np.testing.assert_array_equal(targets["map_64"], targets["big"])


def test_quadrants_in_reading_order():
    x = tf.reshape(tf.range(16), (1, 4, 4, 1))
    corners = [quadrant(x, tf.constant(part))[0, 0, 0, 0].numpy() for part in range(4)]
    assert corners == [0, 2, 8, 10]
    assert quadrant(x, 3).shape == (1, 2, 2, 1)


def test_targets_are_nearest_neighbours_of_the_whole_and_of_the_quadrant():
    images = random(2, 64, 64, 3)
    targets = reconstruction_targets(images, tf.constant(2), 32)
    np.testing.assert_array_equal(targets["big"], images[:, ::2, ::2])
    np.testing.assert_array_equal(targets["small"], targets["big"])
    np.testing.assert_array_equal(targets["part"], images[:, 32:, :32])


def test_noise_counts_once_its_strength_is_not_zero():
    g = FastGanGenerator(64, ngf=4, latent_size=8)
    z = random(2, 8)
    noise = [random(2, *shape, seed=i) for i, shape in enumerate(g.noise_shapes)]
    np.testing.assert_array_equal(g(z, noise=noise)[0], g(z)[0])
    for name, variable in named_variables(g).items():
        if name.endswith("strength"):
            variable.assign([0.1])
    assert np.abs(g(z, noise=noise)[0] - g(z)[0]).max() > 0


def test_tanh_is_official_at_1024_and_can_be_forced():
    assert FastGanGenerator(1024, ngf=8).tanh and not FastGanGenerator(512, ngf=8).tanh
    g = FastGanGenerator(64, ngf=4, latent_size=8)
    forced = FastGanGenerator(64, ngf=4, latent_size=8, tanh=True)
    z = random(2, 8)
    for plain, bounded in zip(g(z), forced(z), strict=True):
        np.testing.assert_allclose(bounded, np.tanh(plain), rtol=1e-5, atol=1e-7)


def test_judging_alone_leaves_the_decoders_untouched():
    d = FastGanDiscriminator(64, ndf=4)
    images = random(2, 64, 64, 3)
    inputs = images, nearest_resize(images, 32)
    d.build()
    before = values(d)
    d(inputs, training=True)
    moved = {name for name, value in values(d).items() if not np.array_equal(value, before[name])}
    assert moved and not any(name.startswith("decoder_layers") for name in moved)
    d.logits_and_reconstructions(inputs, 0, training=True)
    assert not np.array_equal(d.decoder_layers["part"].to_rgb.u, before["decoder_layers/part/to_rgb/u"])


def test_fast_forms_give_the_plain_numbers():
    """Gradients through G alone: D's leaky ReLUs may flip on a rounding error, G is smooth."""
    g, d = FastGanGenerator(64, ngf=4, latent_size=8), FastGanDiscriminator(64, ndf=4)
    z, slopes = random(4, 8), [random(4, 64, 64, 3), random(4, 32, 32, 3, seed=1)]

    def run():
        with tf.GradientTape() as tape:
            fakes = g(z, training=True)
        gradients = tape.gradient(
            fakes, [v.value for v in g.trainable_variables], output_gradients=slopes, unconnected_gradients="zero"
        )
        return [*fakes, d(fakes, training=True), tf.concat([tf.reshape(slope, [-1]) for slope in gradients], 0)]

    g.build()
    d.build()
    state = [(v, v.numpy()) for v in (*g.variables, *d.variables)]
    fast = run()
    for variable, value in state:
        variable.assign(value)
    with use_forms(PLAIN):
        plain = run()
    for got, want in zip(fast, plain, strict=True):
        assert np.linalg.norm(got - want) <= 1e-4 * np.linalg.norm(want)


def test_gradients_reach_every_trainable_variable():
    g, d = FastGanGenerator(64, ngf=4, latent_size=8), FastGanDiscriminator(64, ndf=4, decoders=5)
    noise = [random(2, *shape, seed=i) for i, shape in enumerate(g.noise_shapes)]
    with tf.GradientTape(persistent=True) as tape:
        fakes = g(random(2, 8), noise=noise, training=True)
        logits, rebuilt = d.logits_and_reconstructions(fakes, 3, training=True)
        loss = tf.reduce_mean(logits) + tf.add_n([tf.reduce_mean(image**2) for image in rebuilt.values()])
    for network in (g, d):
        slopes = tape.gradient(loss, [v.value for v in network.trainable_variables])
        assert all(slope is not None and np.isfinite(slope).all() for slope in slopes)
