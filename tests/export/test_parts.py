"""Parts of generators for the web app: together they are the generator, and images exchange styles between them."""

import dataclasses
import functools

import numpy as np
import pytest
import tensorflow as tf

from gan_tf import rng
from gan_tf.export import network
from gan_tf.export.parts import fitted_colours, inputs_of, outputs_of, sizes_of, traced_parts
from gan_tf.models import FAMILIES
from gan_tf.models.network import map_shape
from gan_tf.ops.resample import average_pool_to
from gan_tf.runs.weights import load_generator
from tests import conditional
from tests.sampling import trained as networks
from tests.sampling.trained import CONFIG

# FastGAN at 256 pixels: several excited maps, and noise before and after the division.
LARGE = dataclasses.replace(CONFIG, resolution=256, ngf=8)

# Maps so low that noise after the division has no more rows than the side of square maps before it.
LOW = dataclasses.replace(LARGE, size="512x128")

# Conditional batch norm: the vectors of the classes are part of the style.
PROJECTED = dataclasses.replace(
    CONFIG, discriminator="projected", ndf=64, up_blocks="full", conditional=True, classes=3
)


def trained_fastgan(config):
    g = FAMILIES["fastgan"].generator(config, "float32")
    networks.change(g, rng.Draws(0, tf.constant(0, tf.int64), batch=2), strength=0.3)
    return dataclasses.replace(networks.trained_fastgan(), generator=g, config=config)


def wide_stylegan2():
    config = networks.styled_config(size="96x64", channel_max=32)
    return dataclasses.replace(networks.trained_stylegan2(), generator=networks.styled(config), config=config)


MADE = {
    "fastgan": networks.trained_fastgan,
    "large fastgan": lambda: trained_fastgan(LARGE),
    "projected fastgan": lambda: trained_fastgan(PROJECTED),
    "pggan": networks.trained_pggan,
    "pggan in a fade": lambda: networks.trained_pggan(2.5),
    "pggan at 4x4": lambda: networks.trained_pggan(0.0),
    "stylegan2": networks.trained_stylegan2,
    "low fastgan": lambda: trained_fastgan(LOW),
    "rgba fastgan": lambda: trained_fastgan(dataclasses.replace(CONFIG, size="96x64", channels="rgba")),
    "grey pggan": lambda: networks.trained_pggan(4.0, size="96x64", channels="grey"),
    "wide stylegan2": wide_stylegan2,
}
CONDITIONAL = [f"conditional {model}" for model in FAMILIES]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Function from a name in MADE or CONDITIONAL to (TrainedGenerator, its folded generator, its parts)."""

    @functools.cache
    def make(name):
        model = name.removeprefix("conditional ")
        if name in MADE:
            trained = MADE[name]()
        else:
            trained = load_generator(conditional.make_run(tmp_path_factory.mktemp("runs") / model, model))
        return trained, network.folded(trained, network.FAST), traced_parts(trained, network.FAST)

    return make


def inputs(g, seed, label=1):
    """Returns ({name of an input: tensor} of a seed, labels or None, noise maps or None)."""
    latents, noise = rng.latents_of_seeds([seed], g.latent_size), rng.noise_of_seeds([seed], g.noise_shapes)
    labels = tf.constant([label]) if g.classes else None
    named = {"latents": latents, "labels": labels, **{f"noise_{i}": one for i, one in enumerate(noise)}}
    return named, labels, noise or None


def run(part, values):
    """Adds the outputs of a part to the dict `values`."""
    return values | part(*[values[name] for name in inputs_of(part)])


SLOW = ("pggan", "conditional fastgan", "conditional pggan")


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in (*MADE, *CONDITIONAL)],
)
def test_parts_are_the_generator(made, name):
    _, g, parts = made(name)
    values, labels, noise = inputs(g, 3)
    expected = np.clip(g(values["latents"], labels, noise=noise), -1, 1)
    for part in parts.values():
        if "ws" in inputs_of(part):
            values["ws"] = tf.repeat(values["w"][:, None], g.mapping.copies, axis=1)
        values = run(part, values)
    got = values[f"images_{g.image_shape[0]}"].numpy()
    assert got.shape == (1, *g.image_shape) and got.std() > 0.005 and np.abs(got - expected).max() < 1e-5
    assert set(parts) == ({"images"} if "pggan" in name else {"style", "images"})
    used = {name for part in parts.values() for name in inputs_of(part)} - {
        "ws",
        *outputs_of(next(iter(parts.values()))),
    }
    assert used == {name for name, value in values.items() if value is not None and name in inputs(g, 3)[0]}


@pytest.mark.parametrize("name", ["fastgan", "pggan", "stylegan2"])
def test_images_part_has_no_tensor_of_five_dimensions(made, name):
    """WebGPU in LiteRT.js has none, and the page uses it only if it can run the whole images part."""
    images = traced_parts(made(name)[0], network.TRANSPOSED)["images"].get_concrete_function()
    ranks = [tensor.shape.rank for op in images.graph.get_operations() for tensor in op.outputs]
    assert max(rank for rank in ranks if rank is not None) == 4


@pytest.mark.parametrize("name", ["fastgan", "large fastgan", "low fastgan"])
def test_fastgan_takes_the_excitations_of_another_image(made, name):
    _, g, parts = made(name)
    own, _, noise = inputs(g, 3)
    other, _, other_noise = inputs(g, 8)
    own, other = run(parts["style"], own), run(parts["style"], other)
    weights = g.style_of(other["latents"], noise=other_noise)
    lent = {key: value for key, value in other.items() if key.startswith("style_")}
    assert len(lent) == len(weights) == (1 if name == "fastgan" else 3)
    mixed = run(parts["images"], own | lent)[f"images_{g.image_shape[0]}"]
    expected = tf.clip_by_value(g(own["latents"], noise=noise, style=weights), -1, 1)
    assert np.abs(mixed - expected).max() < 1e-5
    assert np.abs(mixed - tf.clip_by_value(g(own["latents"], noise=noise), -1, 1)).max() > 1e-3


def test_stylegan2_takes_layers_of_another_image(made):
    _, g, parts = made("stylegan2")
    own, _, noise = inputs(g, 3)
    other, _, _ = inputs(g, 8)
    ws = [tf.repeat(run(parts["style"], one)["w"][:, None], g.mapping.copies, axis=1) for one in (own, other)]
    mixed = tf.concat([ws[0][:, :3], ws[1][:, 3:]], axis=1)
    got = run(parts["images"], own | {"ws": mixed})["images_16"]
    assert np.abs(got - tf.clip_by_value(g(mixed, noise=noise), -1, 1)).max() < 1e-5


@pytest.mark.parametrize("name, sizes", [("pggan", 4), ("pggan in a fade", 4), ("pggan at 4x4", 1), ("grey pggan", 5)])
def test_pggan_has_an_output_for_each_size(made, name, sizes):
    trained, g, parts = made(name)
    values = run(parts["images"], inputs(trained.generator, 3)[0])
    found = {output: values[output].numpy() for output in outputs_of(parts["images"])}
    shapes = [map_shape(4 * 2**level, g.base) for level in range(sizes)]
    assert {name: image.shape for name, image in found.items()} == {
        f"images_{shape[0]}": (1, *shape, g.image_channels) for shape in shapes
    }
    assert sizes_of(g) == shapes[::-1]
    for level in range(1, sizes - 1):  # nearer to the whole image than the layer of that size
        pooled = average_pool_to(values[f"images_{g.resolution}"], 4 * 2**level)
        own = trained.generator(values["latents"], level=level)
        fitted = found[f"images_{4 * 2**level}"]
        assert np.abs(fitted - pooled).mean() < 0.7 * np.abs(own - pooled).mean()


def test_fitted_colours_are_those_of_the_layer_where_the_image_is_its_output(made):
    """Just after a new size was added, the image is that of the size before, upsampled."""
    trained = networks.trained_pggan(2.0 + 1e-6)
    g, layer = network.folded(trained, network.FAST), trained.generator.to_rgb[2]
    kernel, bias = fitted_colours(g)[2]
    x = tf.random.stateless_normal([1, 16, 16, len(kernel)], [1, 2])
    np.testing.assert_allclose(x @ kernel + bias, layer(x), atol=0.02 * np.abs(layer(x)).max())
