"""Projection recovers known latents; noise stays noise, and latents keep their length."""

import numpy as np
import pytest
import tensorflow as tf

from gan_tf import rng
from gan_tf.io import image_files
from gan_tf.models import FAMILIES, fastgan
from gan_tf.sampling import project as projection
from gan_tf.sampling.project import distance_to, noise_autocorrelation, project, pyramid, step_size

from .trained import trained_pggan

SEED = 12345  # of the image to find


def fastgan_of(strength, contrast):
    """FastGAN with changed batch statistics and noise of some strength; untrained, its images have little contrast."""
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
    """FastGAN whose images depend strongly on noise."""
    return fastgan_of(0.2, contrast=10)


@pytest.fixture(scope="module")
def growing():
    """A Progressive GAN of 16 pixels, fully grown."""
    return trained_pggan(2.0, resolution=16, fmap_base=64, fmap_max=16).folded()


def image_of(g, seed=SEED):
    """Returns uint8 [R, R, 3]."""
    seeds = tf.constant([seed], tf.int64)
    noise = rng.noise_of_seeds(seeds, g.noise_shapes)
    return image_files.to_uint8(g(rng.latents_of_seeds(seeds, g.latent_size), noise=noise))[0]


def target_of(image):
    return tf.constant(image / 127.5 - 1, tf.float32)


def search(g, image, **options):
    given = {"seed": 0, "restarts": 4, "steps": 250, "samples": 200, "space": "z", "on_sphere": False, **options}
    return project(g, distance_to(target_of(image)), progress=lambda *done: None, **given)


def error(image, other):
    return np.sqrt(np.mean((image.astype(float) - other) ** 2))


@pytest.mark.slow
def test_a_known_image_of_fastgan_is_found():
    g = fastgan_of(0.0, contrast=80)
    image = image_of(g)
    result = search(g, image, samples=4)  # bad starts, so that the optimisation matters
    assert image.std() > 10 and error(image, result.start) > 2.5
    assert error(image, result.images[0]) < error(image, result.start) / 3
    assert 0.6 < np.sqrt(np.mean(result.latents[0] ** 2)) < 1.4


def test_optimised_noise_stays_noise(fast):
    image = image_of(fast)
    result = search(fast, image, restarts=2, samples=64)
    assert error(image, result.images[0]) < error(image, result.start) / 2
    for maps in result.noise:
        assert maps.shape[0] == 2
        np.testing.assert_allclose(maps.mean(axis=(1, 2, 3)), 0, atol=1e-4)
        np.testing.assert_allclose(maps.std(axis=(1, 2, 3)), 1, atol=1e-3)
        assert noise_autocorrelation(tf.constant(maps)).numpy().max() < 0.1
    again = fast(tf.constant(result.latents), noise=[tf.constant(maps) for maps in result.noise])
    assert np.abs(image_files.to_uint8(again).astype(int) - result.images).max() <= 1
    assert (np.diff(result.distances) >= 0).all()


def test_a_known_image_of_progressive_gan_is_found_exactly(growing):
    image = image_of(growing)
    result = search(growing, image, on_sphere=True, steps=249)
    assert error(image, result.start) > 5 and error(image, result.path[0][1]) > 5
    assert error(image, result.images[0]) < 0.6  # rounding
    assert [step for step, _ in result.path] == [*range(0, 249, 5), 249]
    np.testing.assert_array_equal(result.path[-1][1], result.images[0])
    np.testing.assert_allclose(np.sqrt(np.mean(result.latents**2, axis=1)), 1, rtol=1e-4)
    latent = rng.latents_of_seeds([SEED], growing.latent_size).numpy()[0]
    assert latent @ result.latents[0] / np.linalg.norm(latent) / np.linalg.norm(result.latents[0]) > 0.99


def test_the_search_starts_from_the_best_random_latents(growing):
    distance, calls = distance_to(target_of(image_of(growing))), []
    point, _ = projection.best_random(growing, distance, 0, 3, 100, lambda *call: calls.append(call))
    assert calls[-1] == (100, 100, "evaluated")
    latents = [projection.random_points(growing, 0, first)[0].latents for first in range(0, 100, projection.DRAW_COUNT)]
    latents = np.concatenate(latents)[:100]
    order = np.argsort(distance(growing(tf.constant(latents))).numpy())
    np.testing.assert_allclose(point.latents, latents[order[:3]], rtol=1e-5)
    result = search(growing, image_of(growing), steps=0, on_sphere=True)
    np.testing.assert_array_equal(result.images[0], result.start)
    assert len(result.path) == 1


def test_random_latents_do_not_depend_on_the_batch_size(fast, monkeypatch):
    distance, points = distance_to(target_of(image_of(fast))), []
    for batch_size in (64, 8, 4):
        monkeypatch.setattr(projection, "suitable_batch_size", lambda *arguments, size=batch_size: size)
        points.append(projection.best_random(fast, distance, 5, 2, 45, lambda *call: None)[0])
    for other in points[1:]:
        np.testing.assert_array_equal(points[0].latents, other.latents)
        np.testing.assert_array_equal(points[0].noise[0], other.noise[0])
    assert points[0].latents.shape == (2, 8) and not np.allclose(*points[0].latents)


def test_distance_is_the_mean_over_the_pyramid():
    target = np.zeros((16, 16, 3), np.float32)
    assert [level.shape[1] for level in pyramid(target[None])] == [16, 8, 4]
    even = np.full((1, 16, 16, 3), 0.5, np.float32)
    checks = np.where(np.indices((16, 16)).sum(axis=0) % 2, 0.5, -0.5)[None, :, :, None] * np.ones(3)
    distances = distance_to(tf.constant(target))(tf.constant(np.concatenate([even, checks]), tf.float32)).numpy()
    np.testing.assert_allclose(distances, [0.25, 0.25 / 3], rtol=1e-6)  # checks average to 0 on smaller levels


def test_values_beyond_white_equal_white():
    target = tf.constant([1.0, 1.0, 0.9, -1.0, 1.0])[None, :, None] * tf.ones((4, 5, 3))
    images = tf.constant([1.5, 0.8, 1.2, -2.0, -2.0])[None, None, :, None] * tf.ones((1, 4, 5, 3))
    clipped = projection.clip_like_target(images, target).numpy()[0, 0, :, 0]
    np.testing.assert_allclose(clipped, [1.0, 0.8, 1.2, -1.0, -2.0])


def test_lpips_is_added():
    class Perceptual:
        def features(self, images):
            return tf.reduce_mean(images, axis=[1, 2, 3])

        def distance_of_features(self, a, b):
            assert a.shape == (2,)
            return 100 * tf.abs(a - b)

    target = tf.zeros((512, 512, 3))
    distances = distance_to(target, Perceptual())(tf.stack([target, target + 0.1])).numpy()
    np.testing.assert_allclose(distances, [0, 10.01], rtol=1e-4)


def test_autocorrelation_separates_noise_from_images():
    noise = tf.random.stateless_normal((8, 32, 32, 1), (1, 2))
    ramp = tf.broadcast_to(tf.linspace(-1.7, 1.7, 32)[None, :, None, None], (1, 32, 32, 1))
    coarse = tf.repeat(tf.repeat(tf.random.stateless_normal((1, 8, 8, 1), (3, 4)), 4, axis=1), 4, axis=2)
    assert noise_autocorrelation(noise).numpy().max() < 0.3
    assert noise_autocorrelation(ramp).numpy()[0] > 1 and noise_autocorrelation(coarse).numpy()[0] > 1


def test_the_step_size_rises_and_falls():
    assert step_size(0) < 1e-6 and step_size(0.3) == 1 and step_size(1) == 0
    assert step_size(0.025) == pytest.approx(0.5) == step_size(0.8)
