"""Scores with the protocols that make them comparable."""

import dataclasses
import math
from typing import NamedTuple

NOT_COMPARED = ("fakes_source", "reals_source", "versions")  # may differ between comparable scores


class Measurement(NamedTuple):
    """Result of a metric: the value that is ranked, further numbers by name, and the settings of the measurement."""

    value: float
    parts: dict
    protocol: dict


def size_entry(size):
    """Returns a size (height, width) as a protocol stores it: one number for squares, else "WxH"."""
    height, width = size
    return height if height == width else f"{width}x{height}"


def image_size_of(protocol) -> str:
    """Returns the size of the images of a protocol, such as "256x256"; without one an empty string."""
    size = protocol.get("resolution", "")  # a `size_entry`
    return f"{size}x{size}" if isinstance(size, int) else size


@dataclasses.dataclass(frozen=True)
class Score:
    """One measured value. `from_stored(dataclasses.asdict(score))` is an equal score, also after a conversion to JSON.

    Two values are comparable only if their names and protocols are equal, the keys in NOT_COMPARED aside.
    """

    name: str  # of the metric, with a tag such as "-custom:1a2b3c4d" if its features differ from the published ones
    value: float  # the number that is ranked
    lower_is_better: bool
    protocol: dict  # settings and data of the measurement
    # Further numbers: a standard error, levels, that of the reals.
    parts: dict = dataclasses.field(default_factory=dict)

    def comparable_with(self, other) -> bool:
        """Returns True if both scores have the same name and protocol."""
        return (self.name, self.compared) == (other.name, other.compared)

    @property
    def compared(self) -> dict:
        """The part of the protocol that two comparable scores share."""
        return {key: value for key, value in self.protocol.items() if key not in NOT_COMPARED}

    def better_than(self, other) -> bool:
        """Returns True if this score is better than `other` or `other` is None; see `rank`.

        Raises:
            ValueError: the scores have different names or protocols.
        """
        if not math.isfinite(self.value):
            return False
        if other is None:
            return True
        if other.name != self.name:
            raise ValueError(f"a score called {self.name} cannot be compared with one called {other.name}")
        if not self.comparable_with(other):
            raise ValueError(f"two scores called {self.name} differ in {', '.join(differences(self, other))}")
        return self.rank < other.rank

    @property
    def rank(self) -> tuple:
        """Sorts comparable scores, the best first. A value that is not finite is worse than every number."""
        finite = math.isfinite(self.value)
        return not finite, (self.value if self.lower_is_better else -self.value) if finite else 0.0

    def text(self) -> str:
        """Returns the name and the value with four digits, and the standard error if there is one."""
        error = self.parts.get("standard_error")
        return f"{self.name} {number(self.value)}" + (f" ± {number(error)}" if error is not None else "")


def differences(one, other) -> list[str]:
    """Returns the differences between the protocols of two scores, such as "reals 100 and 160"."""
    left, right = one.compared, other.compared
    keys = [key for key in {**left, **right} if left.get(key) != right.get(key)]
    return [f"{key} {left.get(key)} and {right.get(key)}" for key in keys]


def number(value) -> str:
    """Formats a value with four significant digits, or all digits before the point: 41.05, 0.01234, 12841, n/a."""
    if not math.isfinite(value):
        return "n/a"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value + 0.0:.4g}"


def from_stored(stored) -> Score:
    """Returns the Score of a dict from `dataclasses.asdict`, also after a conversion to JSON: null is a NaN there."""
    parts = {name: math.nan if part is None else part for name, part in stored.get("parts", {}).items()}
    return Score(**{**stored, "value": math.nan if stored["value"] is None else stored["value"], "parts": parts})
