"""Real and generated images in the form that metrics take, and the random order of the images of a set."""

import dataclasses
import hashlib

import numpy as np

from gan_tf.io import image_files
from gan_tf.metrics.score import size_entry

SEED = 0  # of the metrics' random choices; the same for all runs, so that their scores are comparable
MIN_SIDE = 16  # pixels; smaller images are enlarged
CHUNK_IMAGES = 64  # images that are processed at a time
# Entries of a protocol by the number of channels; metrics on RGB convert the images with `image_files.as_rgb`.
CHANNEL_PROTOCOLS = {1: {"channels": "grey"}, 3: {}, 4: {"channels": "rgba", "background": "#808080"}}


@dataclasses.dataclass(frozen=True, eq=False)
class RealImages:
    """A set of real images."""

    images: np.ndarray  # uint8 [N, H, W, C], an array or a memory map
    key: str  # hex digest that changes with the pixels; it names the cached features of the images
    source: str  # readable description of the set
    mirror: bool = False  # the generator is trained on the mirrored images too
    size: tuple | None = None  # (height, width) before `measurable` enlarged the images; None: their size

    @property
    def protocol(self):
        """The entries of a score's protocol that describe the real images."""
        protocol = {"reals": len(self.images), "reals_key": self.key[:16], "reals_source": self.source}
        protocol["resolution"] = size_entry(self.size or self.images.shape[1:3])
        return protocol | CHANNEL_PROTOCOLS[self.images.shape[3]]


def reals_at(image_set, height, mirror=False, class_name=None) -> RealImages:
    """Returns the images of a data.prepare.ImageSet at the size of a generator's images.

    Args:
        height: of the images.
        mirror: as in RealImages.
        class_name: name of a class, whose images are copied into memory; None for all images.
    """
    small = image_set.at(height)
    size = small.shape[:2]
    if class_name is None:
        return RealImages(measurable(small.images), small.key, small.name, mirror, size)
    rows = np.flatnonzero(image_set.labels == image_set.class_names.index(class_name))
    key = hashlib.sha256(f"{small.key}/class/{class_name}".encode()).hexdigest()[: len(small.key)]
    images = measurable(np.asarray(small.images[rows]))
    return RealImages(images, key, f"{small.name}, class {class_name}", mirror, size)


def measurable(images):
    """Enlarges images below MIN_SIDE pixels by repeating pixels: metrics need patches and pyramids of that size."""
    return image_files.enlarge(images, images.shape[1] * -(-MIN_SIDE // min(images.shape[1:3])))


class RgbImages:
    """Images uint8 [N, H, W, C] as RGB, converted when they are read. Transparent ones are on mid-grey.

    Both white and black edges are visible on that background.
    """

    def __init__(self, images):
        self._images, self.shape = images, (*images.shape[:3], 3)

    def __len__(self):
        return len(self._images)

    def __getitem__(self, index):
        return image_files.as_rgb(np.asarray(self._images[index]))


class StoredImages:
    """Generated images uint8 [N, H, W, C] from files, with the interface of a sampler (see `evaluate.Evaluator`)."""

    images_of_latents = mapping = None  # there is no generator, so no path length

    def __init__(self, images, source):
        self.images, self.source, self.available = images, source, len(images)

    def restart(self, count):
        """Starts a sequence of `count` images: a random choice if there are more, else all of them repeatedly."""
        self._order, self._next = random_order(self.available, count), 0

    def __call__(self, count):
        """Returns the next `count` images."""
        rows = self._order[self._next : self._next + count]
        self._next += count
        return np.asarray(self.images[rows])


def random_chunks(images, count):
    """Yields `count` images of a set in the order of `random_order`, in chunks."""
    order = random_order(len(images), count)
    for first in range(0, count, CHUNK_IMAGES):
        yield images[order[first : first + CHUNK_IMAGES]]


def random_order(available, count, seed=SEED):
    """Returns the indices of `count` images of a set in random order: int64 [count].

    A larger set gives a random subset; a smaller one is repeated, in a new order each time. Consecutive indices differ
    unless `available` is 1, so neighbours form random pairs. Equal arguments give equal sequences, so that the distance
    of a set to itself is 0.
    """
    random = np.random.default_rng([seed, 0])
    passes = [random.permutation(available) for _ in range(max(1, -(-count // available)))]
    for before, after in zip(passes, passes[1:], strict=False):
        if before[-1] == after[0]:
            after[[0, -1]] = after[[-1, 0]]
    return np.concatenate(passes)[:count]
