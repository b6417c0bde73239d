"""Scores of generated images. `METRICS` maps a name to a `Metric`; the name fixes the number of images.

A metric is one file of NumPy maths and an entry here. `evaluate.Evaluator` runs one against a generator.
"""

from collections.abc import Callable
from typing import NamedTuple

from gan_tf.metrics import swd


class Metric(NamedTuple):
    """A score and what its name fixes.

    prepare(real_images uint8 [N, R, R, 3], fakes, seed) -> the real side, with a `protocol` dict; done once a run.
    measure(real side, iterable of uint8 [n, R, R, 3], `fakes` images in all) -> float.
    """

    fakes: int
    lower_is_better: bool
    prepare: Callable
    measure: Callable


METRICS = {"swd2k": Metric(2000, True, swd.prepare, swd.measure)}
