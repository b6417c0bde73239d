"""The real side of an evaluation: images, and their Inception features, computed once and kept in the cache.

Features are written as they come. A process that is killed leaves what it has computed, and the next one goes on there:
on a CPU the features of a large set take an hour.
"""

import dataclasses
import functools
import hashlib
import os

import numpy as np

from gan_tf.io import image_files
from gan_tf.io.files import cache_root, locked
from gan_tf.metrics.statistics import moments_of

FORMAT = 1  # raised whenever the same images would get other features
FEATURES = 2048  # of a row
CHUNK_IMAGES = 64
LEAST_SIDE = 16  # pixels of an image that is measured
SYNC_IMAGES = 1024  # put on the disk after so many


@dataclasses.dataclass(frozen=True, eq=False)
class Reals:
    """Real images, and what they are called.

    Attributes:
        images: uint8 [N, R, R, 3], an array or a memory map.
        key: hex digest that changes whenever a pixel may have changed; names their features in the cache.
        source: where they come from, for people.
        mirror: True if the generator is trained on their mirror images as well.
        resolution: pixels, where `images` are enlarged; default their size.
    """

    images: np.ndarray
    key: str
    source: str
    mirror: bool = False
    resolution: int | None = None

    @property
    def protocol(self):
        """What a score says of its real side."""
        count, size = self.images.shape[:2]
        resolution = self.resolution or size
        return {"reals": count, "reals_key": self.key[:16], "reals_source": self.source, "resolution": resolution}


def reals_at(image_set, resolution, mirror=False, only=None) -> Reals:
    """The images of a data.prepare.ImageSet as a generator that has grown to `resolution` pixels should make them.

    `only`: name of the one class whose images they are, which are then copied into memory; None for all images.
    """
    small = image_set.at(resolution)
    if only is None:
        return Reals(measurable(small.images), small.key, small.name, mirror, resolution)
    rows = np.flatnonzero(image_set.labels == image_set.class_names.index(only))
    key = hashlib.sha256(f"{small.key}/class/{only}".encode()).hexdigest()[: len(small.key)]
    return Reals(measurable(np.asarray(small.images[rows])), key, f"{small.name}, class {only}", mirror, resolution)


def measurable(images):
    """Enlarges images below 16 pixels to 16 by repeating pixels: metrics look at patches and pyramids of that size."""
    return image_files.enlarge(images, LEAST_SIDE) if images.shape[1] < LEAST_SIDE else images


class RealFeatures:
    """Features of all real images: [N, F] float32 as a memory map, and their moments.

    Args:
        reals: Reals.
        extractor: features.Extractor.
    """

    def __init__(self, reals, extractor):
        self.reals, self.extractor = reals, extractor
        self._computed = {}

    def compute(self, progress=None, mirrored=False):
        """Returns the features [N, F] of the images or of their mirror images; computes them if they are not cached.

        Args:
            progress: called as progress(done, total, verb); may raise to stop. Features computed so far are kept.
        """
        if mirrored not in self._computed:
            self._computed[mirrored] = self._features(mirrored, progress or (lambda done, total, verb: None))
        return self._computed[mirrored]

    @property
    def features(self):
        """[N, F] of the images."""
        return self.compute()

    @functools.cached_property
    def moments(self):
        """Mean and covariance of `features`."""
        return moments_of(self.features)

    def _features(self, mirrored, progress):
        images = self.reals.images
        name = repr((FORMAT, self.reals.key, mirrored, sorted(self.extractor.protocol.items())))
        path = cache_root() / "features" / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.f32"
        size = len(images) * FEATURES * 4
        with locked(path.with_suffix(".lock")):  # a second process waits here, and then finds the file finished
            if not path.exists() or path.stat().st_size != size:
                partial = path.with_suffix(".partial")
                self._append(images[:, :, ::-1] if mirrored else images, partial, progress)
                os.replace(partial, path)
        return np.memmap(path, np.float32, "r", shape=(len(images), FEATURES))

    def _append(self, images, partial, progress):
        """Computes the rows that `partial` still lacks."""
        with open(partial, "r+b" if partial.exists() else "w+b") as file:
            done = min(file.seek(0, os.SEEK_END) // (FEATURES * 4), len(images))
            file.truncate(done * FEATURES * 4)
            file.seek(0, os.SEEK_END)
            left = (images[i : i + CHUNK_IMAGES] for i in range(done, len(images), CHUNK_IMAGES))
            for features, _ in self.extractor.stream(left):
                file.write(np.ascontiguousarray(features, np.float32).data)
                before, done = done, done + len(features)
                if done // SYNC_IMAGES > before // SYNC_IMAGES or done == len(images):
                    file.flush()
                    os.fsync(file.fileno())
                progress(done, len(images), "real images measured")
