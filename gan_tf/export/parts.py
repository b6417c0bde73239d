"""The parts of a generator that the web app runs, one image at a time; between them, images exchange their styles.

Progressive GAN has one part, "images", which generates the image in each size that the network has grown through. The
others have two: "style" computes what another image can use, and "images" generates an image of it. FastGAN is divided
after the largest map that excites others, StyleGAN2 between its mapping and its synthesis network.
"""

import numpy as np
import tensorflow as tf

from gan_tf import rng
from gan_tf.export.network import IMAGES, LABELS, LATENTS, folded
from gan_tf.models.network import map_shape
from gan_tf.models.pggan import resolution_of
from gan_tf.ops.forms import use_forms
from gan_tf.ops.resample import average_pool_to

FITTED, FITTED_BATCH = 128, 8  # images for `fitted_colours`: 2,048 pixels at 4x4, for maps of 512 channels
RIDGE = 1e-6


def traced_parts(trained, forms):
    """Returns {"style" and "images", or "images" alone: tf.function} of a TrainedGenerator.

    Inputs and outputs are named, with batch size 1, and float32, except `labels`, int32 [1], which only conditional
    generators have. Inputs: latents [1, Z], noise_0, noise_1, ... [1, h, w, 1]. Outputs: images_H [1, H, W, C] in
    [-1, 1] for each height H. Between the parts: for FastGAN map [1, h, w, C] and style_0, style_1, ... [1, 1, 1, C];
    for StyleGAN2 w [1, W], which becomes the input ws [1, S, W].
    """
    g = folded(trained, forms)
    inputs = [tf.TensorSpec([1, g.latent_size], tf.float32, LATENTS)]
    inputs += [tf.TensorSpec([1], tf.int32, LABELS)] if g.classes else []
    noise = [tf.TensorSpec([1, *shape], tf.float32, f"noise_{i}") for i, shape in enumerate(g.noise_shapes)]
    with use_forms(forms):
        build = {"fastgan": _fastgan, "pggan": _pggan, "stylegan2": _stylegan2}[trained.config.model]
        return build(g, inputs, noise)


def _fastgan(g, inputs, noise):
    styles, (height, _) = g.style_count, map_shape(g.excited_sizes[-1] // 16, g.base)  # of the map between the parts
    early = [spec for spec in noise if spec.shape[1] <= height]

    def style(*values):
        latents, labels, maps = _split(g, values)
        x, weights = g.map_and_style_of(latents, labels, maps)
        return {"map": x, **{f"style_{i}": one for i, one in enumerate(weights)}}

    def images(x, *values):
        return _clipped([g.images_of_map(x, values[:styles], values[styles:])])

    style = _traced(style, [*inputs, *early])
    between = [tf.TensorSpec(spec.shape, spec.dtype, name) for name, spec in outputs_of(style).items()]
    return {"style": style, "images": _traced(images, [*between, *noise[len(early) :]])}


def _pggan(g, inputs, noise):
    colours = fitted_colours(g)

    def images(*values):
        latents, labels, _ = _split(g, values)
        smaller = [x @ kernel + bias for x, (kernel, bias) in zip(g.maps(latents, labels), colours, strict=False)]
        return _clipped([*smaller, g(latents, labels)])

    return {"images": _traced(images, inputs)}


def fitted_colours(g):
    """Returns (kernel [F, C], bias [C]) for each size below the present one of a folded generator of Progressive GAN.

    They compute from the map of that size the colours nearest to those of the whole image, averaged over its pixels:
    the least squares solution over FITTED images. The layers that the network had at that size do not fit any more: the
    maps have changed in the training of the larger sizes.
    """
    if g.default_level == 0:
        return []
    sums = [0.0] * g.default_level
    for first in range(0, FITTED, FITTED_BATCH):
        draws = rng.Draws(0, tf.constant(first, tf.int64), FITTED_BATCH, path="colours/")
        labels = tf.range(first, first + FITTED_BATCH) % g.classes if g.classes else None
        latents = draws.normal("latents", (g.latent_size,))
        images = g(latents, labels)
        for level, x in enumerate(g.maps(latents, labels, g.default_level - 1)):
            colours = average_pool_to(images, x.shape[1]).numpy().reshape(-1, g.image_channels)
            x = tf.concat([x, tf.ones_like(x[..., :1])], axis=-1).numpy().reshape(-1, x.shape[-1] + 1)
            sums[level] += x.T.astype(np.float64) @ np.concatenate([x, colours], axis=1)
    fits = []
    for total in sums:
        count = len(total)
        ridge = RIDGE * np.trace(total[:, :count]) / count * np.eye(count)  # maps may depend on each other
        weights = np.linalg.solve(total[:, :count] + ridge, total[:, count:]).astype(np.float32)
        fits.append((weights[:-1], weights[-1]))
    return fits


def _stylegan2(g, inputs, noise):
    def style(*values):
        latents, labels, _ = _split(g, values)
        return {"w": g.mapping(latents, labels)[:, 0]}

    def images(ws, *maps):
        return _clipped([g.synthesis(ws, noise=maps)])

    ws = tf.TensorSpec([1, g.mapping.copies, g.w_size], tf.float32, "ws")
    return {"style": _traced(style, inputs), "images": _traced(images, [ws, *noise])}


def _split(g, values):
    """Splits the inputs of a first part into (latents, labels or None, list of noise maps)."""
    latents, *others = values
    return (latents, others[0], others[1:]) if g.classes else (latents, None, others)


def _clipped(images):
    """{"images_H": [1, H, W, C] clipped to [-1, 1]}: networks may exceed it a little."""
    return {f"{IMAGES}_{image.shape[1]}": tf.clip_by_value(image, -1.0, 1.0) for image in images}


def _traced(function, specs):
    function = tf.function(function, input_signature=specs, autograph=False)
    function.get_concrete_function()
    return function


def inputs_of(function) -> dict:
    """Returns {name: TensorSpec} of the inputs of a part."""
    return {spec.name: spec for spec in function.input_signature}


def outputs_of(function) -> dict:
    """Returns {name: TensorSpec} of the outputs of a part."""
    return dict(function.get_concrete_function().structured_outputs)


def sizes_of(g) -> list[tuple[int, int]]:
    """Returns the (height, width) of the images that a folded generator has an output for, largest first."""
    if hasattr(g, "default_level"):
        return [map_shape(resolution_of(level), g.base) for level in range(g.default_level, -1, -1)]
    return [g.image_shape[:2]]
