"""Runs a metric against a generator and says what the score was measured with."""

import dataclasses
import functools
import math

from gan_tf.errors import UsageError
from gan_tf.metrics import METRICS

CHUNK_IMAGES = 64  # images asked of a generator at a time


@dataclasses.dataclass(frozen=True)
class Score:
    """One measured value. `Score(**dataclasses.asdict(score))` is the same score again, by way of JSON too.

    protocol: everything else that must be equal for two values to be comparable (counts, levels, seed ...).
    """

    name: str
    value: float
    lower_is_better: bool
    protocol: dict

    def better_than(self, other) -> bool:
        """True if this score beats `other`, or if there is no other (None). A NaN never wins, and always loses.

        Raises:
            ValueError: the scores are of two metrics.
        """
        if math.isnan(self.value):
            return False
        if other is None:
            return True
        if other.name != self.name:
            raise ValueError(f"a score called {self.name} cannot be compared with one called {other.name}")
        if math.isnan(other.value):
            return True
        return self.value < other.value if self.lower_is_better else self.value > other.value


class Evaluator:
    """Scores generators against one set of real images, whose side is measured at the first call and kept.

    Args:
        metric: name in METRICS.
        real_images: uint8 [N, R, R, 3], N >= 1, an array or a memory map.
        seed: fixes every random choice of the measurement, so that one run's scores differ by the images alone.

    Raises:
        UsageError: no such metric.
    """

    def __init__(self, metric, real_images, seed):
        if metric not in METRICS:
            raise UsageError(f"--metric {metric!r} is unknown; choose from {', '.join(METRICS)}")
        self.name = metric
        self.metric = METRICS[metric]
        self.real_images = real_images
        self.seed = seed

    def __call__(self, sample) -> Score:
        """Scores a generator.

        Args:
            sample: sample(n) returns the next n images, uint8 [n, R, R, 3]; called until the metric has its number.

        Raises:
            ValueError: `sample` gave another number of images, or images of another kind than the reals.
        """
        value = self.metric.measure(self.real_side, self._chunks(sample))
        return Score(self.name, value, self.metric.lower_is_better, dict(self.real_side.protocol))

    @functools.cached_property
    def real_side(self):
        """The reals as the metric wants them."""
        return self.metric.prepare(self.real_images, self.metric.fakes, self.seed)

    def _chunks(self, sample):
        for first in range(0, self.metric.fakes, CHUNK_IMAGES):
            count = min(CHUNK_IMAGES, self.metric.fakes - first)
            images = sample(count)
            wanted = self.real_images.dtype, (count, *self.real_images.shape[1:])
            if (images.dtype, images.shape) != wanted:
                raise ValueError(f"{self.name} wants {wanted[0]} {wanted[1]}, got {images.dtype} {images.shape}")
            yield images
