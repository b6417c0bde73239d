"""Sampling with styles: StyleGAN2's w, and the style mixing of FastGAN with excitation weights of another image."""

import types

import numpy as np
import pytest
import tensorflow as tf

import gan_tf
from gan_tf import rng
from gan_tf.data.class_labels import ClassLabels
from gan_tf.errors import UsageError
from gan_tf.io import image_files
from gan_tf.models import FAMILIES
from gan_tf.models.network import fold
from gan_tf.models.stylegan2 import styles_of
from gan_tf.models.variables import named_variables
from gan_tf.sampling import project as projection
from gan_tf.sampling.api import Trained
from gan_tf.sampling.generate import (
    images_of_latents,
    images_of_seeds,
    latents_of_seeds,
    mix,
    mixed_images,
    mixed_table,
    style_layers,
    truncate,
)
from gan_tf.sampling.project import w_statistics
from tests.models.test_folding import trained as folding_network

from .test_project import error, search
from .trained import difference, styled, styled_config, write_run

SEEDS = [3, 7, 11]


@pytest.fixture(scope="module")
def plain():
    return styled(styled_config())


@pytest.fixture(scope="module")
def g(plain):
    return fold(plain)


@pytest.fixture(scope="module")
def trained(plain, tmp_path_factory):
    return gan_tf.load(write_run(tmp_path_factory.mktemp("runs") / "run", styled_config(), plain).folder)


def z_of(g, seeds):
    return rng.latents_of_seeds(seeds, g.latent_size)


def synthesised(plain, ws, seeds):
    """uint8 images of the training network."""
    noise = rng.noise_of_seeds(seeds, plain.noise_shapes)
    return image_files.to_uint8(plain.synthesis(tf.constant(ws), noise=noise))


def truncated_w(plain, w, psi):
    mean = plain.mapping.average.numpy()
    return mean + np.float32(psi) * (w - mean)


@pytest.mark.parametrize("psi", [0.0, 0.5, 1.5, -1.0])
def test_truncation_moves_w_towards_its_mean_and_does_not_scale_latents(plain, g, psi):
    w = plain.mapping(z_of(g, SEEDS)).numpy()
    [(_, images)] = images_of_seeds(g, SEEDS, 4, psi)
    assert difference(images, synthesised(plain, truncated_w(plain, w, psi), SEEDS)) <= 1
    scaled = synthesised(plain, plain.mapping(psi * z_of(g, SEEDS)).numpy(), SEEDS)
    assert difference(images, scaled) > 5


@pytest.mark.slow
def test_truncation_moves_w_towards_the_mean_of_its_class(capsys):
    plain = FAMILIES["stylegan2"].generator(styled_config(classes=2, conditional=True), "float32")
    plain.mapping.average.assign(np.full(12, 9.0))  # of all classes: without effect
    g, z, labels = fold(plain), z_of(plain, range(4)), np.array([0, 1, 1, 0], np.int32)
    w = g.mapping(z, labels)[:, 0].numpy()
    means = np.stack([g.mapping(z_of(g, range(100, 3100)), np.full(3000, k))[:, 0].numpy().mean(0) for k in (0, 1)])
    apart = np.abs(means[0] - means[1]).max()
    for psi in (0.0, 0.5, -1.0):
        want = means[labels] + psi * (w - means[labels])
        for points in (z, w[:, None]):
            ws = truncate(g, points, psi, labels).numpy()
            np.testing.assert_allclose(ws, np.repeat(want[:, None], 6, axis=1), atol=0.1 * apart)
    trained = Trained(g, styled_config(classes=2, conditional=True), 0, ClassLabels(("red", "blue"), (5, 5)))
    first, second, third = trained.images_of(ws=trained.ws([1, 2, 3], 0, ["red", "red", "blue"]))
    assert difference(first, second) == 0 and difference(first, third) > 5
    mixed = trained.mix([1], [2], 0, classes="red", layers="0-")
    assert difference(mixed[0], trained.sample([1], 0, classes="red")[0]) <= 1
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["truncation is 0: all images, or all of a class, are alike except for their noise"] * 3


def test_latents_w_and_ws_are_accepted(g):
    z = z_of(g, SEEDS)
    ws = g.ws_of(z)
    for points in (z, ws, ws[:, :1]):
        np.testing.assert_allclose(g.ws_of(points), ws, rtol=1e-6)
        np.testing.assert_allclose(g(points), g(z), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(truncate(g, points, 0.7), g.ws_of(z, truncation=0.7), rtol=1e-5, atol=1e-6)
    assert latents_of_seeds(g, tf.constant(SEEDS, tf.int64)).shape == (3, 8)
    [images] = images_of_latents(g, ws.numpy()[:, :1], SEEDS, 4, truncation=0.7)
    [(_, expected)] = images_of_seeds(g, SEEDS, 4, 0.7)
    assert difference(images, expected) <= 1


def test_interpolation_in_w_is_straight_between_two_seeds(plain, trained):
    w = plain.mapping(z_of(plain, [3, 7])).numpy()
    frames = trained.interpolate([3, 7], steps=4, space="w", truncation=0.8)
    for i, frame in enumerate(frames):
        between = w[:1] + (w[1:] - w[:1]) * np.float32(i / 4)
        assert difference(frame, synthesised(plain, truncated_w(plain, between, 0.8), [3])[0]) <= 1
    in_z = trained.interpolate([3, 7], steps=4, truncation=0.8)
    assert difference(frames[[0, 4]], in_z[[0, 4]]) <= 1 and difference(frames[2], in_z[2]) > 5


def test_interpolation_at_truncation_0_gives_one_image(trained):
    for space in ("z", "w"):
        frames = trained.interpolate([3, 7, 11], steps=3, loop=True, truncation=0, space=space)
        assert len(frames) == 9 and difference(frames, frames[:1]) <= 1


@pytest.mark.slow
def test_layers_take_the_style_of_the_other_seed(plain, g):
    ws = plain.mapping(z_of(plain, [1, 2])).numpy()
    [(_, unmixed)] = images_of_seeds(g, [1], 1)
    for text, layers in (("0-2", [0, 1, 2]), ("4-", [4, 5]), ("1,5", [1, 5]), (None, [3, 4, 5])):
        expected = ws[:1].copy()
        expected[:, layers] = ws[1:, layers]
        assert style_layers(g, text) == set(layers)
        [images] = mixed_images(g, [1], [2], 4, layers=style_layers(g, text))
        assert difference(images, synthesised(plain, expected, [1])) <= 1
        assert difference(images, unmixed) > 5
    [images] = mixed_images(g, [1], [2], 4, 0.5)
    half = np.concatenate([ws[:1, :3], ws[1:, 3:]], axis=1)
    assert difference(images, synthesised(plain, truncated_w(plain, half, 0.5), [1])) <= 1


@pytest.mark.parametrize("resolution, first", [(16, 3), (32, 4), (64, 7), (256, 7)])
def test_default_layers(resolution, first):
    count = styles_of(resolution)
    g = types.SimpleNamespace(mapping=types.SimpleNamespace(copies=count))
    assert style_layers(g) == set(range(first, count))
    for text in ("x", str(count), f"3-{count}", "4-2", "-"):
        with pytest.raises(UsageError, match=f"--layers '{text}'"):
            style_layers(g, text)


@pytest.mark.parametrize("space", ["w", pytest.param("w+", marks=pytest.mark.slow)])
def test_a_known_image_is_found(space):
    g = fold(styled(styled_config(seed=0), noise=0.0))
    [(_, image)] = images_of_seeds(g, [12345], 1)
    result = search(g, image[0], space=space, restarts=2, samples=50)
    assert error(image[0], result.start) > 5 and error(image[0], result.path[0][1]) > 5
    assert error(image[0], result.images[0]) < 1.5
    assert result.latents.shape == (2, 1 if space == "w" else 6, 12)
    again = g(tf.constant(result.latents), noise=[tf.constant(maps) for maps in result.noise])
    assert difference(image_files.to_uint8(again), result.images) <= 1
    if space == "w":
        np.testing.assert_allclose(result.latents[0, 0], g.mapping(z_of(g, [12345]))[0, 0], atol=0.2)


def test_the_search_in_w_starts_at_the_mean_w(g):
    mean, deviation = w_statistics(g)
    np.testing.assert_allclose(mean, g.mapping.average, atol=0.1)
    squares = np.sum((g.mapping(z_of(g, range(400))).numpy()[:, 0] - mean) ** 2, axis=1)
    np.testing.assert_allclose(squares.mean() / deviation**2, 1, rtol=0.1)
    result = search(g, np.full((16, 16, 3), 127.5), space="w+", restarts=1, steps=1, samples=4)
    noise = [tf.constant(maps) for maps in projection.random_points(g, 0, 0)[0].noise]
    start = g(tf.tile(mean[None, None], (4, 6, 1)), noise=[maps[:4] for maps in noise])
    assert min(difference(result.path[0][1], image) for image in image_files.to_uint8(start)) <= 1


def test_ws_in_python(trained, plain):
    ws = trained.ws([3, 7], truncation=0.7)
    np.testing.assert_allclose(ws, plain.mapping(z_of(plain, [3, 7]), truncation=0.7), rtol=1e-5, atol=1e-6)
    images = trained.images_of(ws=ws, noise_seeds=[3, 7])
    assert difference(images, trained.sample([3, 7], truncation=0.7)) <= 1
    assert difference(images, trained.images_of(ws=ws[:, :1], noise_seeds=[3, 7])) <= 1
    assert difference(trained.images_of(trained.latents([3]), noise_seeds=3), trained.sample([3])) <= 1
    assert difference(trained.mix([1], [2], layers="0-5"), trained.images_of(ws=trained.ws([2]), noise_seeds=1)) <= 1
    for call, reason in (
        (lambda: trained.images_of(ws=ws[:, :2]), "ws have the shape"),
        (lambda: trained.images_of(), "either latents or ws"),
        (lambda: trained.images_of(trained.latents([3]), ws=ws), "either latents or ws"),
        (lambda: trained.latents([3], truncation=0.5), "see `ws`"),
    ):
        with pytest.raises(UsageError, match=reason):
            call()


# FastGAN


@pytest.fixture(scope="module")
def fast():
    """A generator of 128 pixels, with two excitations that are visibly different for each image."""
    plain = folding_network("fastgan", resolution=128)
    for name, variable in named_variables(plain).items():
        if name.startswith("excitations") and name.endswith("/u"):
            variable.assign(variable / 10)  # the kernel is divided by a norm that is taken along it
    return plain


@pytest.fixture(scope="module")
def folded(fast):
    return fold(fast)


def inputs(g, seeds):
    return rng.latents_of_seeds(seeds, g.latent_size), rng.noise_of_seeds(seeds, g.noise_shapes)


def mixed(g, content, style):
    return np.concatenate(list(mixed_images(g, content, style, batch_size=64)))


def test_all_batches_use_one_traced_function(folded, monkeypatch):
    style_of, traces = folded.style_of, []
    monkeypatch.setattr(folded, "style_of", lambda *given, **options: traces.append(1) or style_of(*given, **options))
    parts = list(mixed_images(folded, [1, 2, 3, 4, 5], [6, 7, 8, 9, 1], 2))
    assert [len(part) for part in parts] == [2, 2, 1] and len(traces) == 1
    assert difference(np.concatenate(parts), mixed(folded, [1, 2, 3, 4, 5], [6, 7, 8, 9, 1])) <= 1


def test_mixing_equals_swapping_the_inputs_of_excitations(fast, folded, monkeypatch):
    """In the training network, each excitation receives the small feature map of another image."""
    content, style = inputs(fast, [1, 2]), inputs(fast, [3, 4])
    excitation, sources = type(fast.excitations[0]), []
    call = excitation.call

    def watched(self, source, training=False):
        sources.append(source)
        return call(self, source, training)

    monkeypatch.setattr(excitation, "call", watched)
    fast(style[0], noise=style[1])
    swapped = iter(list(sources))
    monkeypatch.setattr(excitation, "call", lambda self, source, training=False: call(self, next(swapped)))
    expected = fast(content[0], noise=content[1])[0].numpy()
    monkeypatch.undo()
    assert len(sources) == 2
    images = folded(content[0], noise=content[1], style=folded.style_of(style[0], noise=style[1])).numpy()
    assert np.abs(images - expected).max() < 1e-4 * np.abs(expected).max()
    assert np.abs(images - folded(content[0], noise=content[1]).numpy()).max() > 0.02 * np.abs(expected).max()


def test_excitations_that_are_not_chosen_keep_the_weights_of_the_image(folded):
    sources = [(*inputs(folded, seeds)[:1], np.int64(seeds), None) for seeds in ([1, 2], [3, 4])]
    replaced = np.array([[True, False], [False, True]])
    images = mix(folded, *sources, replaced=replaced)
    (latents, noise), (style_latents, style_noise) = (inputs(folded, seeds) for seeds in ([1, 2], [3, 4]))
    style = folded.style_of(style_latents, noise=style_noise)
    first, second = (folded(latents, noise=noise, style=chosen) for chosen in ([style[0], None], [None, style[1]]))
    np.testing.assert_allclose(images, [first[0], second[1]], rtol=1e-4, atol=1e-5)
    assert np.abs(images - folded(latents, noise=noise)).max(axis=(1, 2, 3)).min() > 0.01 * np.abs(images).max()


def test_the_table_has_unmixed_images_as_headers(folded):
    size, gap, done = folded.resolution, folded.resolution // 16, []
    table = mixed_table(folded, [1, 2], [3, 4, 5], 4, 1.0, lambda seeds: None, None, done.append)
    assert sum(done) == 3 * 4 - 1 and table.shape == (3 * size + gap, 4 * size + gap, 3)
    assert (table[:size, :size] == 255).all() and (table[size : size + gap] == 255).all()
    sources = mixed(folded, [1, 2, 3, 4, 5], [1, 2, 3, 4, 5])
    assert difference(table[size + gap : 2 * size + gap, :size], sources[0]) <= 1
    assert difference(table[2 * size + gap :, :size], sources[1]) <= 1
    assert difference(table[:size, 2 * size + gap : 3 * size + gap], sources[3]) <= 1
    cell = table[2 * size + gap :, size + gap : 2 * size + gap]
    assert difference(cell, mixed(folded, [2], [3])[0]) <= 1
