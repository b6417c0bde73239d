"""Style mixing: the layout of one image with the colours and textures of another.

FastGAN's small maps weigh the channels of its large ones (skip-layer excitation). Where these weights come from the
small maps of another image, the image keeps its content and takes over the other's style: the excitation's input is
swapped, and nothing else.

Each of StyleGAN2's layers has a style w of its own. The layers of some sizes are given the style of another image: the
coarse ones (4 and 8 pixels: 0 to 2) say pose and shape, the middle ones (16 and 32: 3 to 6) smaller features, the fine
ones colours and texture.

Source: Liu et al. 2021 (FastGAN), section 3.1 and figure 7; Karras et al. 2019 (StyleGAN), section 3.1 and figure 3,
with the layers counted as in StyleGAN2's official program.
"""

import itertools
import re

import numpy as np
import tensorflow as tf

from gan_tf import rng
from gan_tf.errors import UsageError
from gan_tf.io import image_files
from gan_tf.sampling.generate import filled_rows, has_mapping, latents_of_seeds, truncated
from gan_tf.sampling.sheet import table

GAP = 1 / 16  # of an image's width, between headers and mixtures
FIRST_FINE = 7  # layer


def styled_layers(g, text=None):
    """The layers that take the style of the other image, as a user names them: a set of numbers from 0 on.

    Args:
        g: folded generator.
        text: numbers and ranges with commas between them; `7-` is a range to the last layer. None: the fine layers, in
            images of up to 32 pixels the upper half of all.

    Returns:
        Set of integers; None for a family whose style is one thing.

    Raises:
        UsageError: another text, or a layer that the generator does not have.
    """
    if not has_mapping(g):
        if text is not None:
            raise UsageError(f"--layers is {text}, but the layers of this generator have no styles; leave it out")
        return None
    last = g.mapping.copies - 1
    if text is None:
        return set(range(FIRST_FINE if last > FIRST_FINE else (last + 1) // 2, last + 1))
    found = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,4})\s*(-\s*(\d{1,4})?\s*)?", part, re.ASCII)
        if not match:
            raise UsageError(f"--layers {text!r}: {part.strip()!r} is no layer or range; give e.g. 0-3 or 7-")
        first = int(match[1])
        end = int(match[3]) if match[3] else last if match[2] else first
        if max(first, end) > last:
            raise UsageError(f"--layers {text!r}: the generator has the layers 0 to {last}")
        if end < first:
            raise UsageError(f"--layers {text!r}: the range {first}-{end} runs backwards; give {end}-{first}")
        found |= set(range(first, end + 1))
    return found


def mixed_images(g, content_seeds, style_seeds, batch_size, truncation=1.0, labels=None, layers=None):
    """Images with the content of some seeds and the style of others, pair by pair, batch by batch.

    Args:
        g: folded generator with `style_of`, or with a mapping network.
        content_seeds, style_seeds: N integers each, N >= 1.
        batch_size: images at once; the last batch is filled up, so that one function is traced for all.
        truncation: of the latents.
        labels: (classes of the contents [N], of the styles [N]), None for unconditional networks.
        layers: what `styled_layers` gives.

    Yields:
        uint8 [n, R, R, 3], n <= batch_size.
    """
    batch_size = min(batch_size, len(content_seeds))
    conditional = labels is not None
    if has_mapping(g):
        make = _compiled_ws(g, batch_size, truncation, conditional, styled_layers(g) if layers is None else layers)
    else:
        make = _compiled(g, batch_size, truncation, conditional)
    columns = [(content_seeds, tf.int64), (style_seeds, tf.int64), *((some, tf.int32) for some in labels or ())]
    for first in range(0, len(content_seeds), batch_size):
        picked = filled_rows(first, batch_size, len(content_seeds))
        images = make(*(tf.constant([column[k] for k in picked], kind) for column, kind in columns))
        yield image_files.to_uint8(images[: len(content_seeds) - first])


def mixed_table(g, rows, columns, batch_size, truncation=1.0, labels_of=None, layers=None):
    """All mixtures of two lists of seeds, and the images that they are mixed of.

    Args:
        g: folded generator, as for `mixed_images`.
        rows: seeds that give the content.
        columns: seeds that give the style.
        batch_size: images at once.
        truncation: of the latents.
        labels_of: function of seeds that gives their classes, None for unconditional networks.
        layers: as for `mixed_images`.

    Yields:
        (row, column, image uint8 [R, R, 3]); a row or column of -1 is the header: the image of the other's seed.
    """
    places = [(-1, j) for j in range(len(columns))] + [(i, -1) for i in range(len(rows))]
    places += [(i, j) for i in range(len(rows)) for j in range(len(columns))]
    content = [columns[j] if i < 0 else rows[i] for i, j in places]
    style = [rows[i] if j < 0 else columns[j] for i, j in places]  # a header's own
    how = {"labels": (labels_of(content), labels_of(style)) if labels_of else None, "layers": layers}
    made = itertools.chain.from_iterable(mixed_images(g, content, style, batch_size, truncation, **how))
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


def _compiled(g, count, truncation, conditional):
    """tf.function: content seeds, style seeds, int64 [count] each -> images float32 [count, R, R, 3].

    With `conditional` it takes the classes of both, int32 [count], as well.
    """

    @tf.function(input_signature=_signature(count, conditional), autograph=False)
    def make(content, style, content_labels=None, style_labels=None):
        latents, noise = _inputs(g, style, truncation)
        weights = g.style_of(latents, style_labels, noise=noise)
        latents, noise = _inputs(g, content, truncation)
        return g(latents, content_labels, noise=noise, training=False, style=weights)

    return make


def _compiled_ws(g, count, truncation, conditional, layers):
    """`_compiled` for styles of layers. Noise is the content's."""
    swapped = np.array([[layer in layers] for layer in range(g.mapping.copies)])  # [S, 1]

    @tf.function(input_signature=_signature(count, conditional), autograph=False)
    def make(content, style, content_labels=None, style_labels=None):
        pairs = ((content, content_labels), (style, style_labels))
        ws, others = (g.ws_of(latents_of_seeds(g, seeds), labels) for seeds, labels in pairs)
        noise = rng.noise_of_seeds(content, g.noise_shapes)
        return g(truncated(g, tf.where(swapped, others, ws), truncation), noise=noise, training=False)

    return make


def _signature(count, conditional):
    return [tf.TensorSpec([count], tf.int64)] * 2 + conditional * [tf.TensorSpec([count], tf.int32)] * 2


def _inputs(g, seeds, truncation):
    return latents_of_seeds(g, seeds, truncation), rng.noise_of_seeds(seeds, g.noise_shapes)
