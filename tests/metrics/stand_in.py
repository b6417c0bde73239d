"""Stands in for Inception and LPIPS where the question is how scores are made, not what the networks see.

Its features are the means of 8x8 cells, so they are the same for an image whatever the images around it, and a distance
between two of them means something. `narrow` makes them few, for tests that do not need all columns.
"""

import contextlib
import types

import numpy as np
import pytest

from gan_tf.metrics import fakes, reals
from gan_tf.metrics.features import ahead, batched
from gan_tf.pretrained.inception import LOGITS

BATCH = 16
CELLS = 8  # a side
OFFICIAL = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"


class Extractor:
    """What `gan_tf.metrics.features.Extractor` is to an Evaluator.

    Attributes:
        streams: number of images that each call of `stream` has seen.
    """

    def __init__(self, resize="pytorch", custom=None, precision="float32"):
        tag = (f"-custom:{custom[:8]}" if custom else "") + (f"-{precision}" if precision != "float32" else "")
        self.name = tag or "inception"
        self.protocol = {"network": custom or OFFICIAL, "resize": resize, "features": precision}
        self.streams = []

    def stream(self, chunks, on_batch=None):
        """Yields (features float32 [n, reals.FEATURES], logits float32 [n, 1008]); `chunks` runs in a thread."""
        self.streams.append(0)
        with contextlib.closing(ahead(chunks if hasattr(chunks, "close") else iter(chunks))) as found:
            for images in batched(found, BATCH):
                self.streams[-1] += len(images)
                cells = cell_means(images)
                yield spread(cells, reals.FEATURES), spread(cells, LOGITS)
                if on_batch is not None:
                    on_batch(self.streams[-1])


def cell_means(images):
    """uint8 [n, R, R, 3] -> float32 [n, 192] in -4..4: near 0 for noise."""
    side = images.shape[1] // CELLS
    cells = images.reshape(len(images), CELLS, side, CELLS, side, 3).astype(np.float32)
    return cells.mean(axis=(2, 4)).reshape(len(images), -1) / 32 - 4


def spread(cells, width):
    """[n, F] -> [n, width]: the columns over and over."""
    return np.tile(cells, -(-width // cells.shape[1]))[:, :width]


class Lpips:
    """What `gan_tf.pretrained.lpips.Lpips` is to a metric: the mean squared difference."""

    protocol = {"network": "squares"}

    def __call__(self, a, b):
        return np.mean((np.asarray(a) - np.asarray(b)) ** 2, axis=(1, 2, 3))


def networks(**options):
    """What `gan_tf.metrics.networks.Networks` is to an Evaluator; `options` are those of Extractor."""
    return types.SimpleNamespace(extractor=Extractor(**options), lpips=Lpips(), has_lpips=False)


@contextlib.contextmanager
def narrow(width=192):
    """Features have so many columns: a Fréchet distance of 2048 takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reals, "FEATURES", width)
        patch.setattr(fakes, "WIDTH", width)
        yield


class Generator:
    """An endless sequence of images, as a generator's sampler gives it: `images` over and over.

    Args:
        images: uint8 [N, R, R, 3].
    """

    available, latent_size, source = None, 4, "a generator that goes through its images"
    mapping = None

    def __init__(self, images):
        self.images, self.asked = images, []
        self.restart()

    def restart(self, wanted=None):
        """Starts again."""
        self.made = 0
        self.asked.append(wanted)

    def __call__(self, count):
        return self.take(count)

    def take(self, count):
        """The next so many."""
        rows = np.arange(self.made, self.made + count)
        self.made += count
        return self.images.take(rows, axis=0, mode="wrap")

    def images_of_latents(self, latents, seeds):
        """float32 [N, 16, 16, 3]: a brightness that follows the latents."""
        return np.broadcast_to(np.tanh(np.asarray(latents)[:, :1, None, None]), (len(latents), 16, 16, 3))
