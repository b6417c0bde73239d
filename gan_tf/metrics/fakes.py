"""The generated side of an evaluation: image files as a sequence, features in a file, and the copy check's look."""

import functools

import numpy as np

from gan_tf.metrics.choice import choice
from gan_tf.metrics.definitions import SEED
from gan_tf.metrics.memorisation import CopyCheck
from gan_tf.metrics.pixel_space import pixel_vectors
from gan_tf.metrics.reals import FEATURES as WIDTH
from gan_tf.metrics.statistics import moments_of


class StoredFakes:
    """Images that another program made, as a sequence to be scored.

    Args:
        images: uint8 [N, R, R, 3], an array or a memory map.
        source: what they are, for people.
    """

    images_of_latents = mapping = None  # no generator: no path through its latents

    def __init__(self, images, source):
        self.images, self.source, self.available = images, source, len(images)

    def restart(self, wanted):
        """Begins the sequence of `wanted` images: a random choice of more, or all of fewer again and again."""
        self._order, self._next = choice(self.available, wanted, SEED), 0

    def __call__(self, count):
        rows = self._order[self._next : self._next + count]
        self._next += count
        return np.asarray(self.images[rows])


class FakeFeatures:
    """Features and logits of fakes, in a file without a name that is gone when it is closed.

    Args:
        file: of float32 rows [features, logits].
        count: rows that belong to it; the file may hold more.
    """

    def __init__(self, file, count, width):
        rows = np.memmap(file, np.float32, "r", shape=(count, width))
        self.features, self.logits = rows[:, :WIDTH], rows[:, WIDTH:]

    @functools.cached_property
    def moments(self):
        """Mean and covariance of the features."""
        return moments_of(self.features)


class Onlooker:
    """The copy check, looking at the first images of a pass that is made for something else.

    Args:
        galleries: of the training images: by pixels, and perhaps by features; none if nobody asked for the check.
        wanted: images it wants to see.

    Attributes:
        wanted: images it still wants to see.
    """

    def __init__(self, galleries, wanted):
        self._check = CopyCheck(*galleries) if galleries else None
        self.wanted = wanted

    def see(self, images, *features):
        """Takes uint8 images [n, R, R, 3], with their features [n, F] where there is a gallery of them."""
        if self.wanted:
            images, *features = (part[: self.wanted] for part in (images, *features))
            self._check.add(images, pixel_vectors(images), *features)
            self.wanted -= len(images)

    def result(self):
        """memorisation.Copies."""
        return self._check.result()


def take(waiting, count):
    """Takes the first `count` images out of a list of chunks."""
    taken = []
    while count:
        chunk = waiting.pop(0)
        taken.append(chunk[:count])
        if len(chunk) > count:
            waiting.insert(0, chunk[count:])
        count -= len(taken[-1])
    return np.concatenate(taken)
