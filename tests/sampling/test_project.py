"""Projection comes back to latents that are known, for each family; noise stays noise, latents keep their length."""

import numpy as np
import pytest
import tensorflow as tf

from gan_tf import rng
from gan_tf.io import image_files
from gan_tf.models import FAMILIES, fastgan, pggan
from gan_tf.sampling import project as projection
from gan_tf.sampling.project import distance_to, noise_likeness, project, pyramid, step_size
from gan_tf.sampling.search_space import length_penalty

SEED = 12345  # of the image to be found


def fastgan_of(strength, contrast):
    """FastGAN with statistics of its own and noise of some strength; untrained, its images are pale."""
    g = fastgan.FastGanGenerator(64, ngf=8, latent_size=8)
    g.build()
    for i in range(5):
        g(tf.random.stateless_normal((8, 8), (0, i)), training=True)
    for block in g.blocks[::2]:
        block.up_noise.strength.assign([strength])
        block.conv_noise.strength.assign([strength])
    folded = FAMILIES["fastgan"].fold(g, "float32")
    folded.to_rgb.kernel.assign(contrast * folded.to_rgb.kernel)
    return folded


@pytest.fixture(scope="module")
def fast():
    """FastGAN whose noise is a large part of its images."""
    return fastgan_of(0.2, contrast=10)


@pytest.fixture(scope="module")
def growing():
    """A Progressive GAN of 16 pixels, fully grown."""
    g = pggan.PgganGenerator(16, fmap_base=64, fmap_max=16, latent_size=8)
    g.build()
    g.growth.assign(2.0)
    g.to_rgb[2].kernel.assign(0.3 * g.to_rgb[2].kernel)  # untrained, it is glaring
    return FAMILIES["pggan"].fold(g, "float32")


def image_of(g, seed=SEED):
    """uint8 [R, R, 3]."""
    seeds = tf.constant([seed], tf.int64)
    noise = rng.noise_of_seeds(seeds, g.noise_shapes)
    return image_files.to_uint8(g(rng.latents_of_seeds(seeds, g.latent_size), noise=noise))[0]


def searched(g, image, **options):
    target = tf.constant(image / 127.5 - 1, tf.float32)
    options = {"restarts": 4, "steps": 250, "samples": 200, **options}
    return project(g, distance_to(target), **options)


def error(image, other):
    return np.sqrt(np.mean((image.astype(float) - other) ** 2))


@pytest.mark.slow
def test_a_known_image_of_fastgan_is_found():
    g = fastgan_of(0.0, contrast=80)
    image = image_of(g)
    found = searched(g, image, samples=4)  # bad ones to begin with: the search has to do it
    assert image.std() > 10 and error(image, found.start) > 2.5
    assert error(image, found.images[0]) < error(image, found.start) / 3
    assert 0.6 < np.sqrt(np.mean(found.latents[0] ** 2)) < 1.4


def test_noise_is_fitted_as_far_as_it_stays_noise(fast):
    image = image_of(fast)
    found = searched(fast, image)
    assert error(image, found.images[0]) < error(image, found.start) / 2
    for maps in found.noise:
        assert maps.shape[0] == 4
        np.testing.assert_allclose(maps.mean(axis=(1, 2, 3)), 0, atol=1e-4)
        np.testing.assert_allclose(maps.std(axis=(1, 2, 3)), 1, atol=1e-3)
        assert noise_likeness(tf.constant(maps)).numpy().max() < 0.1


def test_a_known_image_of_progressive_gan_is_found_exactly(growing):
    image = image_of(growing)
    found = searched(growing, image, on_sphere=True)
    assert error(image, found.start) > 5
    assert error(image, found.images[0]) < 0.6  # its rounding
    np.testing.assert_allclose(np.sqrt(np.mean(found.latents**2, axis=1)), 1, rtol=1e-4)
    known = rng.latents_of_seeds([SEED], growing.latent_size).numpy()[0]
    cosine = known @ found.latents[0] / np.linalg.norm(known) / np.linalg.norm(found.latents[0])
    assert cosine > 0.99


def test_what_is_stored_makes_the_image(fast):
    found = searched(fast, image_of(fast), steps=20)
    again = fast(tf.constant(found.latents), noise=[tf.constant(maps) for maps in found.noise])
    assert np.abs(image_files.to_uint8(again).astype(int) - found.images).max() <= 1
    assert (np.diff(found.distances) >= 0).all()


def test_the_path_leads_from_the_start_to_the_image(growing):
    image = image_of(growing)
    found = searched(growing, image, steps=101, frames=11, on_sphere=True)
    numbers = [number for number, _ in found.path]
    assert numbers[0] == 0 and numbers[-1] == 101 and len(numbers) == 11
    np.testing.assert_array_equal(found.path[-1][1], found.images[0])
    assert error(image, found.path[-1][1]) < error(image, found.path[0][1])


def test_the_seed_decides(growing):
    image = image_of(growing)
    one, same, other = (searched(growing, image, seed=seed, steps=3, on_sphere=True) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.latents, same.latents)
    assert not np.allclose(one.latents, other.latents)


def test_the_search_begins_with_the_best_of_the_random_ones(growing):
    image = image_of(growing)
    target = tf.constant(image / 127.5 - 1, tf.float32)
    distance = distance_to(target)
    told = []
    place, _ = projection.best_random(growing, distance, 0, 3, 100, lambda *done: told.append(done))
    assert told[-1] == (100, 100, "random ones tried")
    tried = [projection.random_places(growing, 0, first)[0].latents for first in range(0, 100, projection.DRAWN)]
    tried = np.concatenate(tried)[:100]
    order = np.argsort(distance(growing(tf.constant(tried))).numpy())
    np.testing.assert_allclose(place.latents, tried[order[:3]], rtol=1e-5)


def test_random_places_do_not_depend_on_how_many_are_tried_at_once(fast, monkeypatch):
    image = image_of(fast)
    target = tf.constant(image / 127.5 - 1, tf.float32)
    found = []
    for at_once in (64, 8, 4):
        monkeypatch.setattr(projection, "suitable_batch_size", lambda *arguments, at_once=at_once: at_once)
        found.append(projection.best_random(fast, distance_to(target), 5, 2, 45, lambda *done: None)[0])
    for other in found[1:]:
        np.testing.assert_array_equal(found[0].latents, other.latents)
        np.testing.assert_array_equal(found[0].noise[0], other.noise[0])
    assert found[0].latents.shape == (2, 8) and not np.allclose(*found[0].latents)


def test_no_steps_give_the_best_random_one(growing):
    found = searched(growing, image_of(growing), steps=0, on_sphere=True)
    np.testing.assert_array_equal(found.images[0], found.start)
    assert len(found.path) == 1


def test_distance_is_the_mean_over_the_pyramid():
    target = np.zeros((16, 16, 3), np.float32)
    assert [level.shape[1] for level in pyramid(target[None])] == [16, 8, 4]
    even = np.full((1, 16, 16, 3), 0.5, np.float32)
    checks = np.where(np.indices((16, 16)).sum(axis=0) % 2, 0.5, -0.5)[None, :, :, None] * np.ones(3)
    found = distance_to(tf.constant(target))(tf.constant(np.concatenate([even, checks]), tf.float32)).numpy()
    np.testing.assert_allclose(found, [0.25, 0.25 / 3], rtol=1e-6)  # a pattern is seen on the largest level only


def test_what_lies_beyond_white_is_white():
    target = tf.constant([1.0, 1.0, 0.9, -1.0, 1.0])[None, :, None] * tf.ones((4, 5, 3))
    images = tf.constant([1.5, 0.8, 1.2, -2.0, -2.0])[None, None, :, None] * tf.ones((1, 4, 5, 3))
    seen = projection.as_seen(images, target).numpy()[0, 0, :, 0]
    np.testing.assert_allclose(seen, [1.0, 0.8, 1.2, -1.0, -2.0])


def test_lpips_is_added():
    class Perceptual:
        def features(self, images):
            return tf.reduce_mean(images, axis=[1, 2, 3])

        def distance_of_features(self, a, b):
            assert a.shape == (2,)
            return 100 * tf.abs(a - b)

    target = tf.zeros((512, 512, 3))
    found = distance_to(target, Perceptual())(tf.stack([target, target + 0.1])).numpy()
    np.testing.assert_allclose(found, [0, 10.01], rtol=1e-4)


def test_noise_is_told_from_pictures():
    noise = tf.random.stateless_normal((8, 32, 32, 1), (1, 2))
    ramp = tf.broadcast_to(tf.linspace(-1.7, 1.7, 32)[None, :, None, None], (1, 32, 32, 1))
    coarse = tf.repeat(tf.repeat(tf.random.stateless_normal((1, 8, 8, 1), (3, 4)), 4, axis=1), 4, axis=2)
    assert noise_likeness(noise).numpy().max() < 0.3
    assert noise_likeness(ramp).numpy()[0] > 1 and noise_likeness(coarse).numpy()[0] > 1


def test_random_latents_pay_next_to_nothing_for_their_length():
    latents = rng.latents_of_seeds(range(50), 256)
    assert length_penalty(latents).numpy().max() < 0.1
    np.testing.assert_allclose(length_penalty(2.0 * tf.ones((1, 256))), [9.0])


def test_the_step_size_rises_and_falls():
    sizes = [step_size(i / 100) for i in range(101)]
    assert sizes[0] < 1e-6 and sizes[100] == 0 and max(sizes) == sizes[30] == 1
    assert all(a <= b for a, b in zip(sizes[:6], sizes[1:7], strict=True))
    assert all(a >= b for a, b in zip(sizes[60:], sizes[61:], strict=False))
