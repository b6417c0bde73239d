"""Generates images from seeds, latents, or the mixed styles of two seeds, in batches.

The image of a seed depends on that seed alone, not on the batch size or on the other seeds. Batches have a fixed size:
the last one is padded with its last row, because another size would be traced and compiled again.

In all functions `g` is a folded generator (norms folded into its weights), `truncation` is explained in
`check_truncation`, and `labels` are class labels int32 [N], None for unconditional networks. S is the number of layers
with a style.

Style mixing combines the layout of one image with the colours and textures of another. FastGAN's skip-layer excitation
computes the channel weights of large feature maps from small ones; the weights are taken from another image, and
nothing else changes. In StyleGAN2 each layer has a style w, and some layers take it from another image: coarse layers
(4 and 8 pixels: 0 to 2) set pose and shape, middle ones (16 and 32: 3 to 6) smaller features, fine ones colours and
texture.

Source: Liu et al. 2021 (FastGAN), section 3.1 and figure 7; Karras et al. 2019 (StyleGAN), section 3.1 and figure 3,
with layers numbered as in the official StyleGAN2.
"""

import math

import numpy as np
import tensorflow as tf

from gan_tf import rng
from gan_tf.errors import UsageError
from gan_tf.io import image_files
from gan_tf.io.progress import log
from gan_tf.models import FAMILIES, family_of
from gan_tf.sampling.latents_file import MAX_TRUNCATION
from gan_tf.sampling.seeds import parse_ranges

BATCH_PIXELS = 16 * 256**2  # larger batches are not faster on a CPU
MAX_BATCH_SIZE = 64  # on a CPU
GPU_FACTOR = 4  # batches are larger on a GPU by this factor
MEAN_LATENTS = 1000  # random latents for the mean w of a class
FIRST_FINE = 7  # StyleGAN2's first fine layer
GAP = 1 / 16  # of an image's width, between the headers and the mixed images of a table


def suitable_batch_size(image_shape, on_gpu: bool) -> int:
    """Returns a batch size that is fast and needs little memory, for images of a shape (height, width, channels)."""
    images = max(1, min(MAX_BATCH_SIZE, BATCH_PIXELS // math.prod(image_shape[:2])))
    return images * GPU_FACTOR if on_gpu else images


def check_truncation(truncation: float, config, flag="--truncation"):
    """Checks the range of a truncation psi, and that the networks of `config` support it. `flag`: for messages.

    With a mapping network w becomes m + psi * (w - m), where m is the mean w (StyleGAN), for networks with classes that
    of the class; the official program uses that of all classes. Without a mapping network a latent z becomes psi * z
    (Glow's temperature), the same formula with mean 0; near 0, images of such short latents turn pale. A negative psi
    gives the opposite of an image. Prints a line for 0.

    Raises:
        UsageError: out of range, or unsupported by the family.

    Source: Karras et al. 2019 (StyleGAN), appendix B; Kingma and Dhariwal 2018 (Glow), section 6.
    """
    if not -MAX_TRUNCATION <= truncation <= MAX_TRUNCATION:
        limits = f"{-MAX_TRUNCATION:g} to {MAX_TRUNCATION:g}"
        raise UsageError(f"{flag} is {truncation:g}; give a number from {limits}, such as 0.9")
    reason = family_of(config).unsupported.get("truncation")
    if truncation != 1 and reason:
        raise UsageError(
            f"{flag} is {truncation:g}, but {config.model} {reason}; leave it out "
            "(gan-tf generate --best selects images)"
        )
    if truncation == 0:
        log(f"{flag} is 0: all images, or all of a class, are alike except for their noise")


def check_supported(config, feature, setting, run="this run"):
    """Raises UsageError if the networks of `config` do not support `feature`, a key of `models.Family.unsupported`.

    setting, run: names of the setting that needs it and of the run, for the message.
    """
    if reason := family_of(config).unsupported.get(feature):
        others = " or ".join(name for name, family in FAMILIES.items() if feature not in family.unsupported)
        raise UsageError(f"{setting} needs a run of {others}, and {run} is one of {config.model}, which {reason}")


def has_mapping(g):
    """Returns True if a folded generator has a mapping network, and so accepts w [N, 1, W] and ws [N, S, W] too."""
    return hasattr(g, "mapping")


def truncate(g, latents, truncation, labels=None):
    """Applies truncation to latents; see `check_truncation`.

    Without a mapping network [N, Z] -> [N, Z]. With one, [N, Z], [N, 1, W] or [N, S, W] -> ws [N, S, W], which include
    the classes `labels` [N]. A truncation of 1 returns `latents` unchanged; it may also be a tensor [N].
    """
    if tf.is_tensor(truncation):
        truncation = truncation[:, None, None] if has_mapping(g) else truncation[:, None]
    elif truncation == 1:
        return latents
    if not has_mapping(g):
        return latents * truncation
    if labels is None:
        return g.ws_of(latents, truncation=truncation)
    mean = tf.gather(class_means(g), labels)[:, None]  # [N, 1, W]
    return mean + truncation * (g.ws_of(latents, labels) - mean)


def class_means(g):
    """Returns the mean w of each class over the same MEAN_LATENTS random latents: float32 [classes, W]."""
    with tf.init_scope():  # once, not in each call of a function that is being traced
        z = rng.Draws(0, tf.constant(0, tf.int64), MEAN_LATENTS, path="truncation/").normal("z", (g.latent_size,))
        ws = (g.mapping(z, tf.fill([MEAN_LATENTS], label)) for label in range(g.classes))
        return tf.stack([tf.reduce_mean(w[:, 0], axis=0) for w in ws])


def latents_of_seeds(g, seeds, truncation=1.0, labels=None):
    """Returns the inputs of `g` for seeds int64 [N]: latents float32 [N, Z], or what `truncate` returns for them."""
    return truncate(g, rng.latents_of_seeds(seeds, g.latent_size), truncation, labels)


def compiled(g, truncation=1.0):
    """Returns a tf.function (seeds int64 [N], labels) -> images float32 [N, H, W, C]."""

    @tf.function(autograph=False)
    def images(seeds, labels=None):
        latents = latents_of_seeds(g, seeds, truncation, labels)
        return g(latents, labels, noise=rng.noise_of_seeds(seeds, g.noise_shapes), training=False)

    return images


def compiled_for_latents(g, truncation=1.0):
    """Returns a tf.function (latents, w or ws; seeds of the noise; labels; noise maps) -> images [N, H, W, C].

    Noise maps replace those of the seeds unless they are None.
    """

    @tf.function(autograph=False)
    def images(latents, seeds, labels=None, noise=None):
        noise = rng.noise_of_seeds(seeds, g.noise_shapes) if noise is None else noise
        return g(truncate(g, latents, truncation, labels), labels, noise=noise, training=False)

    return images


def images_in_batches(function, inputs, batch_size):
    """Calls `function` on batches of the rows of its inputs, and yields uint8 [n, H, W, C] with n <= batch_size.

    Args:
        function: takes tensors of `batch_size` rows; returns float images in [-1, 1].
        inputs: list of its arguments for all N rows: arrays [N, ...], lists of them, or None.
    """
    count = len(tf.nest.flatten(inputs)[0])
    for first in range(0, count, batch_size):
        rows = np.minimum(np.arange(first, first + batch_size), count - 1)
        batch = tf.nest.map_structure(
            lambda array, rows=rows: None if array is None else tf.constant(array[rows]), inputs
        )
        yield image_files.to_uint8(function(*batch)[: count - first])


def images_of_seeds(g, seeds, batch_size, truncation=1.0, labels=None):
    """Generates one image for each of a list of seeds. Yields (n seeds, uint8 [n, H, W, C]) with n <= batch_size."""
    batches = images_in_batches(compiled(g, truncation), [np.asarray(seeds, np.int64), labels], batch_size)
    for i, images in enumerate(batches):
        yield seeds[i * batch_size : (i + 1) * batch_size], images


def images_of_latents(g, latents, noise_seeds, batch_size, noise=None, labels=None, truncation=1.0):
    """Generates one image for each latent. Yields uint8 [n, H, W, C] with n <= batch_size.

    Args:
        latents: float32 [N, Z]; with a mapping network also w [N, 1, W] or ws [N, S, W], which ignore `labels`.
        noise_seeds: N integers; image i uses the noise maps of seed `noise_seeds[i]`.
        noise: list of noise maps float32 [N, h, w, 1], instead of `noise_seeds`.
    """
    inputs = [latents, np.asarray(noise_seeds, np.int64), labels, noise]
    return images_in_batches(compiled_for_latents(g, truncation), inputs, min(batch_size, len(latents)))


def style_layers(g, text=None, flag="--layers"):
    """Returns the layers that take the other image's style, as a set of integers; None without a mapping network.

    text: integers and ranges such as `0-3` or `7-`. None: the fine layers, below 64 pixels the upper half of all.
    flag: for messages.

    Raises:
        UsageError: invalid text, or layers that the generator does not have.
    """
    if not has_mapping(g):
        if text is not None:
            raise UsageError(f"{flag} is {text}, but the layers of this generator have no styles; leave it out")
        return None
    last = g.mapping.copies - 1
    if text is None:
        return set(range(FIRST_FINE if last > FIRST_FINE else (last + 1) // 2, last + 1))
    ranges = parse_ranges(text, flag, last, "0-3 or 7-", open_ended=True)
    return {layer for first, end in ranges for layer in range(first, end + 1)}


def mixed_images(g, content_seeds, style_seeds, batch_size, truncation=1.0, labels=(None, None), layers=None):
    """Generates images with the content of one seed and the style of another. Yields uint8 [n, H, W, C].

    Args:
        g: a generator with `style_of`, or with a mapping network.
        content_seeds, style_seeds: N integers each, N >= 1.
        labels: pair of labels: of the contents and of the styles.
        layers: result of `style_layers`; None for its default.
    """
    replaced = None
    if has_mapping(g):
        layers = layers or style_layers(g)
        replaced = np.array([layer in layers for layer in range(g.mapping.copies)])

    @tf.function(autograph=False)
    def mixed(content, style, labels):
        pairs = zip((content, style), labels, strict=True)
        sources = ((rng.latents_of_seeds(seeds, g.latent_size), seeds, label) for seeds, label in pairs)
        return mix(g, *sources, truncation, replaced)

    inputs = [np.asarray(content_seeds, np.int64), np.asarray(style_seeds, np.int64), labels]
    return images_in_batches(mixed, inputs, min(batch_size, len(content_seeds)))


def mix(g, content, style, truncation=1.0, replaced=None):
    """Returns images [N, H, W, C] with the content of one list of images and the style of another.

    Args:
        content, style: (latents [N, Z], seeds of the noise int64 [N], labels [N] or None).
        truncation: a number, or a tensor [N].
        replaced: bool [S] or [N, S], layers (or excitations of FastGAN) that take the style; None: all.
    """
    latents, noise_seeds, labels = content
    style_latents, style_seeds, style_labels = style
    noise = rng.noise_of_seeds(noise_seeds, g.noise_shapes)
    latents = truncate(g, latents, truncation, labels)
    style_latents = truncate(g, style_latents, truncation, style_labels)
    if has_mapping(g):
        ws, style_ws = g.ws_of(latents, labels), g.ws_of(style_latents, style_labels)
        return g(tf.where(replaced[..., None], style_ws, ws), noise=noise, training=False)
    weights = g.style_of(style_latents, style_labels, noise=rng.noise_of_seeds(style_seeds, g.noise_shapes))
    if replaced is not None:
        own = g.style_of(latents, labels, noise=noise)
        chosen = tf.unstack(replaced[..., None, None, None], axis=-4)
        weights = [tf.where(*parts) for parts in zip(chosen, weights, own, strict=True)]
    return g(latents, labels, noise=noise, training=False, style=weights)


def saved_images(g, saved, rows, batch_size):
    """Generates the images of a `latents_file.SavedImages` with the numbers `rows`. Yields (n rows, [n, H, W, C])."""
    mixes, truncated = saved.replaced.any(), (saved.truncation != 1).any()

    @tf.function(autograph=False)
    def images(content, style, replaced, truncation):
        truncation = 1.0 if truncation is None else truncation
        if style is not None:
            return mix(g, content, style, truncation, replaced)
        latents, seeds, labels = content
        noise = rng.noise_of_seeds(seeds, g.noise_shapes)
        return g(truncate(g, latents, truncation, labels), labels, noise=noise, training=False)

    inputs = [saved.content, saved.style if mixes else None, saved.replaced, saved.truncation if truncated else None]
    inputs = tf.nest.map_structure(lambda array: None if array is None else array[rows], inputs)
    for i, batch in enumerate(images_in_batches(images, inputs, batch_size)):
        yield rows[i * batch_size : (i + 1) * batch_size], batch


def mixed_table(g, rows, columns, batch_size, truncation, labels_of, layers, progress):
    """Returns a table of all mixtures of two lists of seeds, with the unmixed images as headers: uint8 [H, W, 3].

    The images of the content seeds `rows` are on the left, those of the style seeds `columns` on top.

    Args:
        rows, columns: lists of seeds.
        labels_of: function from seeds to their labels.
        progress: called with the number of images of each batch.
    """
    content = [*columns, *rows, *(row for row in rows for _ in columns)]
    style = [*columns, *rows, *columns * len(rows)]
    labels, batches = (labels_of(content), labels_of(style)), []
    for images in mixed_images(g, content, style, batch_size, truncation, labels, layers):
        batches.append(images)
        progress(len(images))
    top, left, mixed = np.split(np.concatenate(batches), [len(columns), len(columns) + len(rows)])
    height, width, _ = g.image_shape
    gap = max(2, round(GAP * width))
    table = np.full(((len(rows) + 1) * height + gap, (len(columns) + 1) * width + gap, 3), 255, np.uint8)
    top, left, mixed = (
        image_files.rgb_grid(images, count) for images, count in ((top, len(columns)), (left, 1), (mixed, len(columns)))
    )
    table[:height, width + gap :] = top
    table[height + gap :, :width] = left
    table[height + gap :, width + gap :] = mixed
    return table
