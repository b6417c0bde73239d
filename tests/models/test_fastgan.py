"""Shapes, interfaces and invariants of the FastGAN networks; the tables of docs/fastgan.md."""

import pathlib
import re

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.models.fastgan import RESOLUTIONS, FastGanDiscriminator, FastGanGenerator, quadrant, reconstruction_targets
from gan_tf.models.variables import named_variables
from gan_tf.ops.forms import PLAIN, use_forms
from tests.models.networks import flat, gradients, random, random_input, random_noise, values

DOCS = pathlib.Path(__file__).parents[2] / "docs" / "fastgan.md"


def small_networks(**changes):
    g, d = FastGanGenerator(64, ngf=4, latent_size=8), FastGanDiscriminator(64, ndf=4, **changes)
    g.build()
    d.build()
    return g, d


@pytest.mark.parametrize(("resolution", "small"), [(64, 32), (128, 64), (256, 128), (512, 128), (1024, 128)])
def test_shapes_of_every_size(resolution, small):
    g = FastGanGenerator(resolution, ngf=8, latent_size=16)
    d = FastGanDiscriminator(resolution, ndf=8)
    made = g(random(1, 16), noise=random_noise(g, 1))
    assert [images.shape for images in made] == [(1, resolution, resolution, 3), (1, small, small, 3)]
    d.build()
    logits = d(made)
    assert {value.dtype for value in (*made, logits)} == {tf.float32}
    again, rebuilt = d.logits_and_reconstructions(made, tf.constant(1))
    assert logits.shape == (1, 50)
    np.testing.assert_allclose(again, logits, rtol=1e-5)
    assert {name: value.shape for name, value in rebuilt.items()} == dict.fromkeys(
        ("big", "small", "part"), (1, small, small, 3)
    )


def test_further_decoders_rebuild_the_whole_image():
    _, d = small_networks(decoders=5)
    images, small = random_input("fastgan")
    _, rebuilt = d.logits_and_reconstructions((images, small), 0)
    targets = reconstruction_targets(images, 0, 32, d.reconstruction_names)
    assert list(rebuilt) == list(targets) == ["big", "small", "part", "map_32", "map_64"]
    np.testing.assert_array_equal(targets["map_64"], targets["big"])
    most = FastGanDiscriminator(1024, ndf=8, decoders=7)
    assert most.reconstruction_names[3:] == ("map_32", "map_64", "map_128", "map_256")


def test_targets_are_nearest_neighbours_of_the_whole_and_of_a_quadrant_in_reading_order():
    x = tf.reshape(tf.range(16), (1, 4, 4, 1))
    assert [quadrant(x, tf.constant(part)).numpy().ravel()[0] for part in range(4)] == [0, 2, 8, 10]
    images = random(2, 64, 64, 3)
    targets = reconstruction_targets(images, tf.constant(2), 32)
    np.testing.assert_array_equal(targets["big"], images[:, ::2, ::2])
    np.testing.assert_array_equal(targets["small"], targets["big"])
    np.testing.assert_array_equal(targets["part"], images[:, 32:, :32])


def test_noise_counts_once_its_strength_is_not_zero():
    g, _ = small_networks()
    z, noise = random(2, 8), random_noise(g, 2)
    np.testing.assert_array_equal(g(z, noise=noise)[0], g(z)[0])
    for name, variable in named_variables(g).items():
        if name.endswith("strength"):
            variable.assign([0.1])
    assert np.abs(g(z, noise=noise)[0] - g(z)[0]).max() > 0


def test_tanh_can_be_forced():
    forced = FastGanGenerator(64, ngf=4, latent_size=8, tanh=True)
    for plain, bounded in zip(small_networks()[0](random(2, 8)), forced(random(2, 8)), strict=True):
        np.testing.assert_allclose(bounded, np.tanh(plain), rtol=1e-5, atol=1e-7)


def test_a_call_without_reconstructions_leaves_the_decoders_untouched():
    _, d = small_networks()
    inputs, before = random_input("fastgan"), values(d)
    d(inputs, training=True)
    moved = {name for name, value in values(d).items() if not np.array_equal(value, before[name])}
    assert moved and not any(name.startswith("decoder_layers") for name in moved)
    d.logits_and_reconstructions(inputs, 0, training=True)
    assert not np.array_equal(d.decoder_layers["part"].to_rgb.u, before["decoder_layers/part/to_rgb/u"])


def test_fast_forms_give_the_plain_numbers():
    """Gradients through G alone: D's leaky ReLUs may flip on a rounding error, G is smooth."""
    slopes = [random(4, 64, 64, 3), random(4, 32, 32, 3, seed=1)]

    def run():
        g, d = small_networks()
        with tf.GradientTape() as tape:
            fakes = g(random(4, 8), training=True)
        found = gradients(fakes, g, tape, output_gradients=slopes, unconnected_gradients="zero")
        return [*fakes, d(fakes, training=True), flat(found)]

    fast = run()
    with use_forms(PLAIN):
        plain = run()
    for got, want in zip(fast, plain, strict=True):
        assert np.linalg.norm(got - want) <= 1e-4 * np.linalg.norm(want)


def test_gradients_reach_every_trainable_variable():
    g, d = small_networks(decoders=5)
    with tf.GradientTape(persistent=True) as tape:
        fakes = g(random(2, 8), noise=random_noise(g, 2), training=True)
        logits, rebuilt = d.logits_and_reconstructions(fakes, 3, training=True)
        loss = tf.reduce_mean(logits) + tf.add_n([tf.reduce_mean(image**2) for image in rebuilt.values()])
    for network in (g, d):
        for name, slope in gradients(loss, network, tape).items():
            assert slope is not None and np.isfinite(slope).all(), name


def table(heading):
    """Rows of the first table under `heading` in the documentation: a list of {column: cell}."""
    section = DOCS.read_text().split(f"## {heading}\n", 1)[1]
    lines = re.search(r"(?:^\|.*\n)+", section, re.MULTILINE).group().splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [dict(zip(rows[0], row, strict=True)) for row in rows[2:]]


def channels(row):
    """{map size: channels} of the columns that are map sizes, empty cells left out."""
    return {int(size): int(cell) for size, cell in row.items() if size.isdigit() and cell}


def pairs(row):
    return re.findall(r"\d+->(\d+)", row["excitation pairs"])


@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_the_tables_of_the_documentation(resolution):
    row = next(row for row in table("Generator") if row["R"] == str(resolution))
    g = FastGanGenerator(resolution)
    built = {4: g.stem.filters // 2} | {8 * 2**i: block.filters for i, block in enumerate(g.blocks)}
    assert channels(row) == built
    assert int(row["S"]) == g.small_resolution and int(row["latents"]) == g.latent_size
    assert [built[int(size)] for size in pairs(row)] == [excitation.filters for excitation in g.excitations]
    assert (row["ends in tanh"] == "yes") == g.tanh

    d = FastGanDiscriminator(resolution)
    row = next(row for row in table("Discriminator, big path") if row["R"] == str(resolution))
    built = [d.stem[-1].filters, *(block.filters for block in d.blocks)]
    assert list(channels(row).values()) == built and max(channels(row)) == d.largest_map
    assert int(row["head"]) == d.head.filters
    assert [channels(row)[int(size)] for size in pairs(row)] == [layer.filters for layer in d.excitations]
    small = next(row for row in table("Discriminator, small path") if str(resolution) in row["R"].split(", "))
    assert list(channels(small).values()) == [block.filters for block in d.small_blocks]
    assert int(small["S"]) == d.small_resolution
