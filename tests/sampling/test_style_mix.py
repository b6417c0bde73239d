"""FastGAN's style mixing: excitation weights of another image, and the table of images."""

import numpy as np
import pytest

from gan_tf import rng
from gan_tf.models.network import fold
from gan_tf.models.variables import named_variables
from gan_tf.sampling.generate import mixed_images, mixed_table
from tests.models.test_folding import trained

from .trained import difference


@pytest.fixture(scope="module")
def g():
    """A generator of 128 pixels, with two excitations that are visibly different for each image."""
    plain = trained("fastgan", resolution=128)
    for name, variable in named_variables(plain).items():
        if name.startswith("excitations") and name.endswith("/u"):
            variable.assign(variable / 10)  # the kernel is divided by a norm that is taken along it
    return plain


@pytest.fixture(scope="module")
def folded(g):
    return fold(g)


def inputs(g, seeds):
    return rng.latents_of_seeds(seeds, g.latent_size), rng.noise_of_seeds(seeds, g.noise_shapes)


def mixed(g, content, style, batch_size=64):
    return np.concatenate(list(mixed_images(g, content, style, batch_size)))


def test_all_batches_use_one_traced_function(folded, monkeypatch):
    style_of, traces = folded.style_of, []
    monkeypatch.setattr(folded, "style_of", lambda *given, **options: traces.append(1) or style_of(*given, **options))
    parts = list(mixed_images(folded, [1, 2, 3, 4, 5], [6, 7, 8, 9, 1], 2))
    assert [len(part) for part in parts] == [2, 2, 1] and len(traces) == 1
    assert difference(np.concatenate(parts), mixed(folded, [1, 2, 3, 4, 5], [6, 7, 8, 9, 1])) <= 1


def test_mixing_equals_swapping_the_inputs_of_excitations(g, folded, monkeypatch):
    """In the training network, each excitation receives the small feature map of another image."""
    content, style = inputs(g, [1, 2]), inputs(g, [3, 4])
    excitation, sources = type(g.excitations[0]), []
    call = excitation.call

    def watched(self, source, training=False):
        sources.append(source)
        return call(self, source, training)

    monkeypatch.setattr(excitation, "call", watched)
    g(style[0], noise=style[1])
    swapped = iter(list(sources))
    monkeypatch.setattr(excitation, "call", lambda self, source, training=False: call(self, next(swapped)))
    expected = g(content[0], noise=content[1])[0].numpy()
    monkeypatch.undo()
    assert len(sources) == 2
    images = folded(content[0], noise=content[1], style=folded.style_of(style[0], noise=style[1])).numpy()
    assert np.abs(images - expected).max() < 1e-4 * np.abs(expected).max()
    assert np.abs(images - folded(content[0], noise=content[1]).numpy()).max() > 0.02 * np.abs(expected).max()


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
