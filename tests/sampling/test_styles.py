"""StyleGAN2 in the sampling tools: truncation, walks, mixtures and projection behind its mapping network."""

import types

import numpy as np
import pytest
import tensorflow as tf

import gan_tf
from gan_tf import rng
from gan_tf.errors import UsageError
from gan_tf.io import image_files
from gan_tf.models import FAMILIES
from gan_tf.models.stylegan2 import styles_of
from gan_tf.sampling.generate import images_of_latents, images_of_seeds, latents_of_seeds, truncate
from gan_tf.sampling.interpolate import interpolation_strip
from gan_tf.sampling.project import WSpace, distance_to, project
from gan_tf.sampling.style_mix import mixed_images, style_layers
from gan_tf.training.evaluation import Sampler

from .test_project import error
from .trained import make_run, make_styled, styled, styled_config

SEEDS = [3, 7, 11]


@pytest.fixture(scope="module")
def plain():
    return styled(styled_config())


@pytest.fixture(scope="module")
def g(plain):
    return FAMILIES["stylegan2"].fold(plain, "float32")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return gan_tf.load(make_styled(tmp_path_factory.mktemp("runs") / "run").folder)


def z_of(g, seeds):
    return rng.latents_of_seeds(seeds, g.latent_size)


def finished(plain, ws, seeds):
    """uint8 images of the network as it was trained."""
    noise = rng.noise_of_seeds(seeds, plain.noise_shapes)
    return image_files.to_uint8(plain.synthesis(tf.constant(ws), noise=noise))


def largest(a, b):
    return np.abs(np.asarray(a, int) - np.asarray(b, int)).max()


@pytest.mark.parametrize("psi", [0.0, 0.5, 1.0, 1.5])
def test_truncation_draws_w_to_its_mean_and_leaves_latents_alone(plain, g, psi):
    w, mean = plain.mapping(z_of(g, SEEDS)).numpy(), plain.mapping.average.numpy()
    wanted = finished(plain, mean + np.float32(psi) * (w - mean), SEEDS)
    [(_, made)] = images_of_seeds(g, SEEDS, 4, psi)
    assert largest(made, wanted) <= 1
    scaled = finished(plain, plain.mapping(psi * z_of(g, SEEDS)).numpy(), SEEDS)
    assert psi == 1 or largest(made, scaled) > 5


def test_points_of_all_kinds_are_taken(g):
    z = z_of(g, SEEDS)
    ws = g.ws_of(z)
    for points in (z, ws, ws[:, :1]):
        np.testing.assert_allclose(g.ws_of(points), ws, rtol=1e-6)
        np.testing.assert_allclose(g(points), g(z), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(truncate(g, points, 0.7), g.ws_of(z, truncation=0.7), rtol=1e-5, atol=1e-6)
    assert latents_of_seeds(g, tf.constant(SEEDS, tf.int64)).shape == (3, 8)
    [made] = images_of_latents(g, ws.numpy()[:, :1], SEEDS, 4, truncation=0.7)
    [(_, wanted)] = images_of_seeds(g, SEEDS, 4, 0.7)
    assert largest(made, wanted) <= 1


def test_a_walk_in_w_is_straight_between_two(plain, trained):
    w = plain.mapping(z_of(plain, [3, 7])).numpy()
    frames = trained.interpolate([3, 7], steps=4, space="w", truncation=0.8)
    mean = plain.mapping.average.numpy()
    for i, frame in enumerate(frames):
        between = w[:1] + (w[1:] - w[:1]) * np.float32(i / 4)
        assert largest(frame, finished(plain, mean + np.float32(0.8) * (between - mean), [3])[0]) <= 1
    in_z = trained.interpolate([3, 7], steps=4, truncation=0.8)
    assert largest(frames[[0, 4]], in_z[[0, 4]]) <= 1 and largest(frames[2], in_z[2]) > 5


def test_a_walk_at_truncation_0_stands_still(trained):
    for space in ("z", "w"):
        frames = trained.interpolate([3, 7, 11], steps=3, loop=True, truncation=0, space=space)
        assert len(frames) == 9 and largest(frames, frames[:1]) <= 1


@pytest.mark.slow
def test_columns_give_the_styles_of_their_layers(plain, g):
    ws = plain.mapping(z_of(plain, [1, 2])).numpy()
    for text, layers in (("0-2", [0, 1, 2]), ("4-", [4, 5]), ("1,5", [1, 5]), (None, [3, 4, 5])):
        mixed = ws[:1].copy()
        mixed[:, layers] = ws[1:, layers]
        assert style_layers(g, text) == set(layers)
        [made] = mixed_images(g, [1], [2], 4, layers=style_layers(g, text))
        assert largest(made, finished(plain, mixed, [1])) <= 1
        [(_, own)] = images_of_seeds(g, [1], 1)
        assert largest(made, own) > 5
    mean = plain.mapping.average.numpy()
    [made] = mixed_images(g, [1], [2], 4, 0.5)
    half = np.concatenate([ws[:1, :3], ws[1:, 3:]], axis=1)
    assert largest(made, finished(plain, mean + np.float32(0.5) * (half - mean), [1])) <= 1


@pytest.mark.parametrize("resolution, first", [(16, 3), (32, 4), (64, 7), (256, 7)])
def test_the_default_layers(resolution, first):
    count = styles_of(resolution)
    g = types.SimpleNamespace(mapping=types.SimpleNamespace(copies=count))
    assert style_layers(g) == set(range(first, count))


@pytest.mark.parametrize(
    "text, words",
    [
        ("x", "'x' is no layer"),
        ("6", "has the layers 0 to 5"),
        ("3-9", "0 to 5"),
        ("4-2", "runs backwards"),
        ("-", "'-'"),
    ],
)
def test_layers_that_there_are_not(g, text, words):
    with pytest.raises(UsageError, match=words) as refused:
        style_layers(g, text)
    assert "\n" not in str(refused.value)


def quiet(seed=0):
    """A generator without noise, whose images can come back."""
    made = styled(styled_config(seed=seed), noise=0.0)
    return FAMILIES["stylegan2"].fold(made, "float32")


@pytest.mark.parametrize("space", ["w", "w+"])
def test_a_known_image_comes_back(space):
    g = quiet()
    [(_, image)] = images_of_seeds(g, [12345], 1)
    target = tf.constant(image[0] / 127.5 - 1, tf.float32)
    found = project(g, distance_to(target), space=space, restarts=2, steps=250, samples=50)
    assert error(image[0], found.start) > 5 and error(image[0], found.path[0][1]) > 5
    assert error(image[0], found.images[0]) < 1.5
    assert found.latents.shape == (2, 1 if space == "w" else 6, 12)
    again = g(tf.constant(found.latents), noise=[tf.constant(maps) for maps in found.noise])
    assert largest(image_files.to_uint8(again), found.images) <= 1
    if space == "w":
        np.testing.assert_allclose(found.latents[0, 0], g.mapping(z_of(g, [12345]))[0, 0], atol=0.2)


def test_the_search_in_w_starts_at_the_mean_w(g):
    space = WSpace(g, per_layer=True)
    np.testing.assert_allclose(space.mean, g.mapping.average, atol=0.1)
    best = space.to_points(z_of(g, SEEDS))
    starts = space.starts(best).numpy()
    np.testing.assert_allclose(starts[0], np.tile(space.mean, (6, 1)), rtol=1e-6)
    np.testing.assert_array_equal(starts[1:], best[:2])
    lengths = [space.relative_length(w) for w in g.mapping(z_of(g, range(400))).numpy()]
    np.testing.assert_allclose(np.mean(np.square(lengths)), 1, rtol=0.1)
    assert (
        space.noise_scale(0) == pytest.approx(0.05 * space.deviation)
        and space.noise_scale(0.75) == space.noise_scale(1) == 0
    )


def test_no_steps_give_the_best_random_one_in_w_too(g):
    [(_, image)] = images_of_seeds(g, [5], 1)
    target = tf.constant(image[0] / 127.5 - 1, tf.float32)
    found = project(g, distance_to(target), space="w", restarts=2, steps=0, samples=20)
    np.testing.assert_array_equal(found.images[0], found.start)
    assert found.latents.shape == (2, 1, 12)


def test_the_sampler_takes_w(plain, g):
    sampler = Sampler(plain, g, 0, 4)
    z, seeds = z_of(g, SEEDS).numpy(), np.array(SEEDS)
    w = sampler.mapping(z, seeds).numpy()
    assert w.shape == (3, 1, 12)
    wanted = sampler.images_of_latents(z, seeds)
    np.testing.assert_allclose(sampler.images_of_latents(w, seeds), wanted, rtol=1e-5, atol=1e-5)


def test_the_reports_strip(g):
    picture = interpolation_strip(g, pairs=((0, 1), (2, 3)), columns=3)
    assert picture.shape[1] == 48
    [(_, own)] = images_of_seeds(g, [2], 1)
    assert largest(picture[-16:, :16], own[0]) <= 1


def test_the_api_gives_and_takes_ws(trained, plain):
    ws = trained.ws([3, 7], truncation=0.7)
    np.testing.assert_allclose(ws, plain.mapping(z_of(plain, [3, 7]), truncation=0.7), rtol=1e-5, atol=1e-6)
    made = trained.images_of(ws=ws, noise_seeds=[3, 7])
    assert largest(made, trained.sample([3, 7], truncation=0.7)) <= 1
    same = trained.images_of(ws=ws[:, :1], noise_seeds=[3, 7])
    assert largest(made, same) <= 1
    assert largest(trained.images_of(trained.latents([3]), noise_seeds=3), trained.sample([3])) <= 1
    assert largest(trained.mix([1], [2], layers="0-5"), trained.images_of(ws=trained.ws([2]), noise_seeds=1)) <= 1


def test_what_the_api_refuses(trained, tmp_path):
    with pytest.raises(UsageError, match="ws have the shape"):
        trained.images_of(ws=trained.ws([3])[:, :2])
    for given in ({}, {"latents": trained.latents([3]), "ws": trained.ws([3])}):
        with pytest.raises(UsageError, match="one of them"):
            trained.images_of(**given)
    with pytest.raises(UsageError, match="see `ws`"):
        trained.latents([3], truncation=0.5)
    with pytest.raises(UsageError, match="space is 'x'"):
        trained.interpolate([1, 2], space="x")
    fast = gan_tf.load(make_run(tmp_path / "run").folder)
    for call in (
        lambda: fast.ws([1]),
        lambda: fast.images_of(ws=[[[0.0]]]),
        lambda: fast.interpolate([1, 2], space="w"),
    ):
        with pytest.raises(UsageError, match="has no mapping network"):
            call()
    with pytest.raises(UsageError, match="--layers is 7-"):
        fast.mix([1], [2], layers="7-")
