"""Style mixing: the layout of one image with the colours and textures of another.

FastGAN's skip-layer excitation computes the channel weights of large feature maps from small ones. The weights are
taken from another image; nothing else changes. In StyleGAN2 each layer has a style w, and some layers take it from
another image: coarse layers (4 and 8 pixels: 0 to 2) set pose and shape, middle ones (16 and 32: 3 to 6) smaller
features, fine ones colours and texture.

Source: Liu et al. 2021 (FastGAN), section 3.1 and figure 7; Karras et al. 2019 (StyleGAN), section 3.1 and figure 3,
with layers numbered as in the official StyleGAN2.
"""

import itertools

import numpy as np
import tensorflow as tf

from gan_tf import rng
from gan_tf.errors import UsageError
from gan_tf.sampling.generate import has_mapping, images_in_batches, latents_of_seeds, truncate
from gan_tf.sampling.seeds import parse_ranges
from gan_tf.sampling.sheets import header_table

GAP = 1 / 16  # of an image's width, between headers and mixed images
FIRST_FINE = 7  # layer


def style_layers(g, text=None):
    """Returns the layers that take the other image's style, as a set of integers; None for FastGAN.

    Args:
        g: folded generator.
        text: integers and ranges such as `0-3` or `7-`. None: the fine layers, below 64 pixels the upper half of all.

    Raises:
        UsageError: invalid text, or layers that the generator does not have.
    """
    if not has_mapping(g):
        if text is not None:
            raise UsageError(f"--layers is {text}, but the layers of this generator have no styles; leave it out")
        return None
    last = g.mapping.copies - 1
    if text is None:
        return set(range(FIRST_FINE if last > FIRST_FINE else (last + 1) // 2, last + 1))
    ranges = parse_ranges(text, "--layers", last, "0-3 or 7-", open_ended=True)
    return {layer for first, end in ranges for layer in range(first, end + 1)}


def mixed_images(g, content_seeds, style_seeds, batch_size, truncation=1.0, labels=None, layers=None):
    """Generates images with the content of one seed and the style of another, for pairs of seeds.

    Args:
        g: folded generator with `style_of`, or with a mapping network.
        content_seeds, style_seeds: N integers each, N >= 1.
        batch_size: images per batch.
        truncation: see sampling.generate.
        labels: (classes of the contents [N], of the styles [N]), None for unconditional networks.
        layers: of `style_layers`; None for its default.

    Yields:
        uint8 [n, R, R, 3] with n <= batch_size.
    """
    mix = _ws_mixer(g, truncation, layers or style_layers(g)) if has_mapping(g) else _excitation_mixer(g, truncation)
    columns = [np.asarray(seeds, np.int64) for seeds in (content_seeds, style_seeds)]
    columns += [np.asarray(classes, np.int32) for classes in labels or ()]
    return images_in_batches(mix, columns, min(batch_size, len(content_seeds)))


def _excitation_mixer(g, truncation):
    """Returns a tf.function (content seeds, style seeds, and their classes) -> images [N, R, R, 3]."""

    def inputs(seeds):
        return latents_of_seeds(g, seeds, truncation), rng.noise_of_seeds(seeds, g.noise_shapes)

    @tf.function(autograph=False)
    def mix(content, style, content_labels=None, style_labels=None):
        latents, noise = inputs(style)
        weights = g.style_of(latents, style_labels, noise=noise)
        latents, noise = inputs(content)
        return g(latents, content_labels, noise=noise, training=False, style=weights)

    return mix


def _ws_mixer(g, truncation, layers):
    """Returns the same function for networks with styles. Noise is that of the content."""
    replaced = np.array([[layer in layers] for layer in range(g.mapping.copies)])  # [S, 1]

    @tf.function(autograph=False)
    def mix(content, style, content_labels=None, style_labels=None):
        ws = g.ws_of(latents_of_seeds(g, content), content_labels)
        style_ws = g.ws_of(latents_of_seeds(g, style), style_labels)
        noise = rng.noise_of_seeds(content, g.noise_shapes)
        return g(truncate(g, tf.where(replaced, style_ws, ws), truncation), noise=noise, training=False)

    return mix


def mixed_table(g, rows, columns, batch_size, truncation=1.0, labels_of=None, layers=None):
    """Generates all mixtures of two lists of seeds, and the images of the seeds as headers.

    Args:
        g, batch_size, truncation, layers: as for `mixed_images`.
        rows: content seeds.
        columns: style seeds.
        labels_of: function from seeds to their classes, None for unconditional networks.

    Yields:
        (row, column, image uint8 [R, R, 3]); row or column -1 is a header.
    """
    cells = [(-1, j) for j in range(len(columns))] + [(i, -1) for i in range(len(rows))]
    cells += [(i, j) for i in range(len(rows)) for j in range(len(columns))]
    content = [columns[j] if i < 0 else rows[i] for i, j in cells]
    style = [rows[i] if j < 0 else columns[j] for i, j in cells]
    labels = (labels_of(content), labels_of(style)) if labels_of else None
    batches = mixed_images(g, content, style, batch_size, truncation, labels, layers)
    for (i, j), image in zip(cells, itertools.chain.from_iterable(batches), strict=True):
        yield i, j, image


def table_image(g, rows, columns, cells):
    """Lays out the output of `mixed_table` as an image: content seeds on the left, style seeds on top."""
    images = np.zeros((len(rows) + 1, len(columns) + 1, g.resolution, g.resolution, 3), np.uint8)
    for i, j, image in cells:
        images[i + 1, j + 1] = image
    return header_table(images[0, 1:], images[1:, 0], images[1:, 1:], max(2, round(GAP * g.resolution)))
