"""FastGAN's style mixing: excitation weights of another image, and the table of images."""

import numpy as np
import pytest
import tensorflow as tf

from gan_tf import rng
from gan_tf.models.network import fold
from gan_tf.models.variables import named_variables
from gan_tf.sampling.style_mix import mixed_images, mixed_table, table_image
from tests.models.test_folding import trained


@pytest.fixture(scope="module", params=[64, 256])
def g(request):
    """A generator with visibly different excitations for each image."""
    plain = trained("fastgan", resolution=request.param)
    for name, variable in named_variables(plain).items():
        if name.startswith("excitations") and name.endswith("/u"):
            variable.assign(variable / 10)  # the kernel is divided by a norm that is taken along it
    return plain


def inputs(g, seeds):
    return rng.latents_of_seeds(seeds, g.latent_size), rng.noise_of_seeds(seeds, g.noise_shapes)


def difference(a, b):
    return np.abs(a.astype(int) - b.astype(int)).max()


def mixed(g, content, style, batch_size=64):
    return np.concatenate(list(mixed_images(g, content, style, batch_size)))


def test_all_batches_use_one_traced_function(g, monkeypatch):
    folded, traces = fold(g), []
    style_of = folded.style_of
    monkeypatch.setattr(folded, "style_of", lambda *given, **options: traces.append(1) or style_of(*given, **options))
    parts = list(mixed_images(folded, [1, 2, 3, 4, 5], [6, 7, 8, 9, 1], 2))
    assert [len(part) for part in parts] == [2, 2, 1] and len(traces) == 1
    assert difference(np.concatenate(parts), mixed(folded, [1, 2, 3, 4, 5], [6, 7, 8, 9, 1])) <= 1


def test_an_image_mixed_with_itself_does_not_change(g):
    folded = fold(g)
    z, noise = inputs(g, [1, 2, 3])
    same = folded(z, noise=noise, style=folded.style_of(z, noise=noise))
    np.testing.assert_allclose(same, folded(z, noise=noise), rtol=1e-5, atol=1e-5)


def test_mixing_changes_the_image(g):
    folded = fold(g)
    assert difference(mixed(folded, [1], [2]), mixed(folded, [1], [1])) > 5


def test_mixing_equals_swapping_the_inputs_of_excitations(g, monkeypatch):
    """In the training network, each excitation receives the small feature map of another image."""
    content, style = inputs(g, [1, 2]), inputs(g, [3, 4])
    sources, calls = [], [type(excitation).call for excitation in g.excitations]

    def watched(self, source, training=False):
        sources.append(source)
        return calls[0](self, source, training)

    monkeypatch.setattr(type(g.excitations[0]), "call", watched)
    g(style[0], noise=style[1])
    swapped = iter(list(sources))
    monkeypatch.setattr(
        type(g.excitations[0]), "call", lambda self, source, training=False: calls[0](self, next(swapped))
    )
    wanted = g(content[0], noise=content[1])[0].numpy()
    monkeypatch.undo()
    folded = fold(g)
    got = folded(content[0], noise=content[1], style=folded.style_of(style[0], noise=style[1])).numpy()
    assert np.abs(got - wanted).max() < 1e-4 * np.abs(wanted).max()
    assert np.abs(got - folded(content[0], noise=content[1]).numpy()).max() > 0.02 * np.abs(wanted).max()


def test_colours_are_scaled_and_the_layout_stays():
    """If the channels of the last feature map are the colours, mixing multiplies each colour by one factor.

    The factor is the weight from the style's excitation divided by that from the content's.
    """
    folded = fold(trained("fastgan"))
    kernel = np.zeros((3, 3, folded.to_rgb.kernel.shape[2], 3), np.float32)
    kernel[1, 1, :3] = np.eye(3)
    folded.to_rgb.kernel.assign(kernel)
    content, style = inputs(folded, [1]), inputs(folded, [2])
    own, other = folded.style_of(*content)[-1][0, 0, 0, :3], folded.style_of(*style)[-1][0, 0, 0, :3]
    image = folded(content[0], noise=content[1]).numpy()
    mixed = folded(content[0], noise=content[1], style=folded.style_of(*style)).numpy()
    np.testing.assert_allclose(mixed, image * np.asarray(other / own), rtol=1e-4, atol=1e-5)
    assert np.abs(np.asarray(other / own) - 1).max() > 0.01
    layout = [(part - part.mean((1, 2))) / part.std((1, 2)) for part in (image, mixed)]
    np.testing.assert_allclose(layout[0], layout[1], atol=1e-3)


def test_the_table_has_unmixed_images_as_headers(g):
    folded = fold(g)
    size, gap = folded.resolution, folded.resolution // 16
    table = table_image(folded, [1, 2], [3, 4, 5], mixed_table(folded, [1, 2], [3, 4, 5], batch_size=4))
    assert table.shape == (3 * size + gap, 4 * size + gap, 3)
    assert (table[:size, :size] == 255).all() and (table[size : size + gap] == 255).all()
    sources = mixed(folded, [1, 2, 3, 4, 5], [1, 2, 3, 4, 5])
    np.testing.assert_array_less(np.abs(table[size + gap : 2 * size + gap, :size].astype(int) - sources[0]), 2)
    assert difference(table[2 * size + gap :, :size], sources[1]) <= 1
    assert difference(table[:size, 2 * size + gap : 3 * size + gap], sources[3]) <= 1
    cell = table[2 * size + gap :, size + gap : 2 * size + gap]
    assert difference(cell, mixed(folded, [2], [3])[0]) <= 1


def test_style_weights_need_no_large_feature_maps(g):
    folded = fold(g)
    made = []
    for i, block in enumerate(folded.blocks):
        inner, size = block.up.call, 2 ** (i + 3)
        block.up.call = lambda *x, size=size, inner=inner, **options: made.append(size) or inner(*x, **options)
    z, noise = inputs(g, [1])
    weights = folded.style_of(z, noise=noise)
    assert max(made, default=4) <= folded.resolution // 16
    assert [tuple(w.shape[:3]) for w in weights] == [(1, 1, 1)] * len(folded.excitations)
    assert all(float(tf.reduce_min(w)) > 0 for w in weights)
