"""Style mixing: the layout of one image with the colours and textures of another.

FastGAN's small maps weigh the channels of its large ones (skip-layer excitation). Where these weights come from the
small maps of another image, the image keeps its content and takes over the other's style: the excitation's input is
swapped, and nothing else.

Source: Liu et al. 2021 (FastGAN), section 3.1 and figure 7.
"""

import itertools

import numpy as np
import tensorflow as tf

from gan_tf import pictures, rng
from gan_tf.sampling.generate import latents_of_seeds
from gan_tf.sampling.sheet import table

GAP = 1 / 16  # of an image's width, between headers and mixtures


def mixed_images(g, content_seeds, style_seeds, batch_size, truncation=1.0):
    """Images with the content of some seeds and the style of others, pair by pair, batch by batch.

    Args:
        g: folded generator with `style_of`.
        content_seeds, style_seeds: N integers each, N >= 1.
        batch_size: images at once; the last batch is filled up, so that one function is traced for all.
        truncation: of the latents.

    Yields:
        uint8 [n, R, R, 3], n <= batch_size.
    """
    batch_size = min(batch_size, len(content_seeds))
    make = _compiled(g, batch_size, truncation)
    for first in range(0, len(content_seeds), batch_size):
        picked = [min(k, len(content_seeds) - 1) for k in range(first, first + batch_size)]
        images = make(*(tf.constant([seeds[k] for k in picked], tf.int64) for seeds in (content_seeds, style_seeds)))
        yield pictures.to_uint8(images[: len(content_seeds) - first])


def mixed_table(g, rows, columns, batch_size, truncation=1.0):
    """All mixtures of two lists of seeds, and the images that they are mixed of.

    Args:
        g: folded generator with `style_of`.
        rows: seeds that give the content.
        columns: seeds that give the style.
        batch_size: images at once.
        truncation: of the latents.

    Yields:
        (row, column, image uint8 [R, R, 3]); a row or column of -1 is the header: the image of the other's seed.
    """
    places = [(-1, j) for j in range(len(columns))] + [(i, -1) for i in range(len(rows))]
    places += [(i, j) for i in range(len(rows)) for j in range(len(columns))]
    content = [columns[j] if i < 0 else rows[i] for i, j in places]
    style = [rows[i] if j < 0 else columns[j] for i, j in places]  # a header's own
    made = itertools.chain.from_iterable(mixed_images(g, content, style, batch_size, truncation))
    for place, image in zip(places, made, strict=True):
        yield *place, image


def mixed_picture(g, rows, columns, cells):
    """The table as a picture, sources as header column and header row, from what `mixed_table` yields."""
    shape = (g.resolution, g.resolution, 3)
    header, side = np.empty((len(columns), *shape), np.uint8), np.empty((len(rows), *shape), np.uint8)
    body = np.empty((len(rows), len(columns), *shape), np.uint8)
    for i, j, image in cells:
        place = header[j] if i < 0 else side[i] if j < 0 else body[i, j]
        place[:] = image
    return table(header, side, body, max(2, round(GAP * g.resolution)))


def _compiled(g, count, truncation):
    """tf.function: content seeds, style seeds, int64 [count] each -> images float32 [count, R, R, 3]."""

    @tf.function(input_signature=[tf.TensorSpec([count], tf.int64)] * 2, autograph=False)
    def make(content, style):
        latents, noise = _inputs(g, style, truncation)
        weights = g.style_of(latents, noise=noise)
        latents, noise = _inputs(g, content, truncation)
        return g(latents, noise=noise, training=False, style=weights)

    return make


def _inputs(g, seeds, truncation):
    return latents_of_seeds(g, seeds, truncation), rng.noise_of_seeds(seeds, g.noise_shapes)
