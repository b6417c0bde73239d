"""Generates images from seeds or latents, in batches.

The image of a seed depends on that seed alone, not on the batch size or on the other seeds. Batches have a fixed size:
the last one is padded with its last row, because another size would be traced and compiled again.
"""

import numpy as np
import tensorflow as tf

from gan_tf import rng
from gan_tf.errors import UsageError
from gan_tf.io import image_files
from gan_tf.models import FAMILIES

BATCH_PIXELS = 16 * 256**2  # larger batches are not faster on a CPU
MAX_BATCH_SIZE = 64
GPU_FACTOR = 4
MAX_TRUNCATION = 2.0


def suitable_batch_size(resolution: int, on_gpu: bool) -> int:
    """Returns a batch size that is fast and needs little memory."""
    images = max(1, min(MAX_BATCH_SIZE, BATCH_PIXELS // resolution**2))
    return images * GPU_FACTOR if on_gpu else images


def check_truncation(truncation: float, model: str):
    """Checks the range of a truncation psi, and that the family `model` supports it.

    With a mapping network w becomes m + psi * (w - m), where m is the mean w (StyleGAN). Without one a latent z becomes
    psi * z, the same in a space of mean 0 (Glow's temperature). Far below 1, images of such short latents turn pale.

    Raises:
        UsageError: out of range, or unsupported by the family.

    Source: Karras et al. 2019 (StyleGAN), appendix B; Kingma and Dhariwal 2018 (Glow), section 6.
    """
    if not 0 <= truncation <= MAX_TRUNCATION:
        raise UsageError(f"--truncation is {truncation:g}; give a number from 0 to {MAX_TRUNCATION:g}, such as 0.9")
    reason = FAMILIES[model].unsupported.get("truncation")
    if truncation != 1 and reason:
        raise UsageError(
            f"--truncation is {truncation:g}, but {model} {reason}; leave it out (--best selects the better images)"
        )


def has_mapping(g):
    """Returns True if a folded generator has a mapping network, and so accepts w [N, 1, W] and ws [N, S, W] too."""
    return hasattr(g, "mapping")


def truncate(g, latents, truncation, labels=None):
    """Applies truncation to latents; see `check_truncation`.

    Without a mapping network [N, Z] -> [N, Z]. With one, [N, Z], [N, 1, W] or [N, S, W] -> ws [N, S, W], which include
    the classes `labels` [N]; the mean w is that of all classes. A truncation of 1 returns `latents` unchanged.
    """
    if truncation == 1:
        return latents
    return g.ws_of(latents, labels, truncation=truncation) if has_mapping(g) else latents * truncation


def latents_of_seeds(g, seeds, truncation=1.0, labels=None):
    """Returns the inputs of `g` for seeds int64 [N]: latents float32 [N, Z], or what `truncate` returns for them."""
    return truncate(g, rng.latents_of_seeds(seeds, g.latent_size), truncation, labels)


def compiled(g, truncation=1.0):
    """Returns a tf.function (seeds int64 [N], labels int32 [N] or None) -> images float32 [N, R, R, 3]."""

    @tf.function(autograph=False)
    def images(seeds, labels=None):
        latents = latents_of_seeds(g, seeds, truncation, labels)
        return g(latents, labels, noise=rng.noise_of_seeds(seeds, g.noise_shapes), training=False)

    return images


def images_of_seeds(g, seeds, batch_size, truncation=1.0, labels=None):
    """Generates one image for each seed.

    Args:
        g: folded generator.
        seeds: list of integers.
        batch_size: images per batch; fewer seeds are padded to one batch.
        truncation: see `check_truncation`.
        labels: classes [N], None for unconditional networks.

    Yields:
        (list of seeds, uint8 [n, R, R, 3]) with n <= batch_size.
    """
    columns = [np.asarray(seeds, np.int64)] + ([] if labels is None else [np.asarray(labels, np.int32)])
    for i, images in enumerate(images_in_batches(compiled(g, truncation), columns, batch_size)):
        yield seeds[i * batch_size : (i + 1) * batch_size], images


def images_of_latents(g, latents, noise_seeds, batch_size, noise=None, labels=None, truncation=1.0):
    """Generates one image for each latent.

    Args:
        g: folded generator.
        latents: float32 [N, Z]; with a mapping network also w [N, 1, W] or ws [N, S, W].
        noise_seeds: N integers; image i uses the noise maps of seed `noise_seeds[i]`.
        batch_size: images per batch, at most.
        noise: list of noise maps float32 [N, h, w, 1], instead of `noise_seeds`.
        labels: classes [N], None for unconditional networks; ignored for w and ws.
        truncation: see `check_truncation`.

    Yields:
        uint8 [n, R, R, 3] with n <= batch_size.
    """
    columns = [np.asarray(latents, np.float32)] + ([] if labels is None else [np.asarray(labels, np.int32)])
    columns += [np.asarray(noise_seeds, np.int64)] if noise is None else [np.asarray(one, np.float32) for one in noise]

    @tf.function(autograph=False)
    def images(latents, *rest):
        batch_labels, rest = (None, rest) if labels is None else (rest[0], rest[1:])
        maps = rng.noise_of_seeds(rest[0], g.noise_shapes) if noise is None else list(rest)
        return g(truncate(g, latents, truncation, batch_labels), batch_labels, noise=maps, training=False)

    yield from images_in_batches(images, columns, min(batch_size, len(latents)))


def images_in_batches(function, columns, batch_size):
    """Calls `function` on batches of rows of `columns`, a list of arrays [N, ...].

    Args:
        function: takes a tensor [batch_size, ...] for each column; returns float images in [-1, 1].

    Yields:
        uint8 [n, R, R, 3], without the padding of the last batch.
    """
    count = len(columns[0])
    for first in range(0, count, batch_size):
        rows = np.minimum(np.arange(first, first + batch_size), count - 1)
        images = function(*(tf.constant(column[rows]) for column in columns))
        yield image_files.to_uint8(images[: count - first])
