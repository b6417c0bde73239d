"""Stub networks for tests of scores: simple functions of the pixels instead of Inception and LPIPS.

The features are the means of 8x8 cells, so similar images have similar features.
"""

import contextlib
import types

import numpy as np

from gan_tf.metrics import features
from gan_tf.metrics.features import LITE_RESIZE, prefetch
from gan_tf.pretrained.inception import LOGITS

BATCH = 16
CELLS = 8  # in each direction
OFFICIAL = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"


LITE = "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"


class Extractor:
    """Replaces `gan_tf.metrics.features.Extractor`.

    Attributes:
        streams: number of images in each call of `stream`.
    """

    def __init__(self, resize="pytorch", custom=None, precision="float32", official=OFFICIAL):
        self.width = features.FEATURES
        self.tag = (f"-custom:{custom[:8]}" if custom else "") + (f"-{precision}" if precision != "float32" else "")
        self.protocol = {"network": custom or official, "resize": resize, "features": precision}
        self.streams = []

    def stream(self, chunks):
        """Yields (images, features float32 [n, features.FEATURES], logits float32 [n, 1008])."""
        self.streams.append(0)
        with contextlib.closing(prefetch(chunks)) as prefetched:
            for chunk in prefetched:
                for images in (chunk[i : i + BATCH] for i in range(0, len(chunk), BATCH)):
                    self.streams[-1] += len(images)
                    cells = cell_means(images)
                    yield images, repeated(cells, features.FEATURES), repeated(cells, LOGITS)


def cell_means(images):
    """uint8 [n, R, R, 3] -> float32 [n, 192] in -4..4: near 0 for noise."""
    side = images.shape[1] // CELLS
    cells = images.reshape(len(images), CELLS, side, CELLS, side, 3).astype(np.float32)
    return cells.mean(axis=(2, 4)).reshape(len(images), -1) / 32 - 4


def repeated(cells, width):
    """Repeats columns: [n, F] -> [n, width]."""
    return np.tile(cells, -(-width // cells.shape[1]))[:, :width]


class Lpips:
    """Replaces `gan_tf.pretrained.lpips.Lpips`: the mean squared difference."""

    protocol = {"network": "squares"}

    def __call__(self, a, b):
        return np.mean((np.asarray(a) - np.asarray(b)) ** 2, axis=(1, 2, 3))


def networks(weights=None, resize="pytorch", precision="float32", offline=False, log=print, alternative=""):
    """Replaces `gan_tf.metrics.features.Networks`."""
    inception, lite = Extractor(resize, weights, precision), Extractor(LITE_RESIZE, official=LITE)
    return types.SimpleNamespace(
        extractor=inception,
        lite=lite,
        extractor_of={"inception": inception, "lite2": lite}.get,
        choose_network=lambda: choose_network(),
        lpips=Lpips(),
        has_lpips=False,
    )


def choose_network():
    """Replaces the method of Networks."""
    return "inception"


def replace_networks(patch):
    """Replaces the networks of the metrics, with few features: a Fréchet distance of 2,048 features takes seconds."""
    patch.setattr(features, "Networks", networks)
    patch.setattr(features, "FEATURES", 192)


def blobs(count, side=64, seed=0):
    """uint8 images of six soft coloured spots each on grey: many degrees of freedom, like photographs."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side
    images = np.full((count, side, side, 3), 128.0)
    for _ in range(6):
        centre, width = random.uniform(0, 1, (2, count, 1, 1)), random.uniform(0.05, 0.2, (count, 1, 1))
        spot = np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (2 * width**2))
        images += spot[..., None] * random.uniform(-120, 120, (count, 1, 1, 3))
    return images.clip(0, 255).astype(np.uint8)


def noise(count, side=32, seed=0):
    """uint8 images [count, side, side, 3]."""
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), np.uint8)


def mapped(path, rows):
    """A memory map of `rows`."""
    copy = np.memmap(path, rows.dtype, "w+", shape=rows.shape)
    copy[:] = rows
    return copy


class Generator:
    """A sampler without end that repeats `images`, uint8 [N, R, R, 3]."""

    available, latent_size, source = None, 4, "a generator that repeats its images"
    mapping = None

    def __init__(self, images):
        self.images, self.restarts = images, []
        self.restart()

    def restart(self, count=None):
        self.made = 0
        self.restarts.append(count)

    def __call__(self, count):
        rows = np.arange(self.made, self.made + count)
        self.made += count
        return self.images.take(rows, axis=0, mode="wrap")

    def images_of_latents(self, latents, seeds):
        """float32 [N, 16, 16, 3]: the brightness is a function of the latents."""
        return np.broadcast_to(np.tanh(np.asarray(latents)[:, :1, None, None]), (len(latents), 16, 16, 3))
