"""One measured value, with everything that must be known to compare it."""

import dataclasses
import math

NOT_COMPARED = ("fakes_source", "reals_source", "versions")  # said for the record; other values are as comparable


@dataclasses.dataclass(frozen=True)
class Score:
    """One measured value. `Score(**dataclasses.asdict(score))` is the same score again, by way of JSON too.

    Attributes:
        name: name of the metric, with a tag such as "-custom:1a2b3c4d" where it is not quite the published one.
        value: what is ranked.
        lower_is_better: how it is ranked.
        protocol: what the value was measured with. Two values are comparable only if all of it is equal but
            NOT_COMPARED: where the images came from, and versions.
        parts: further numbers of the same measurement, {name: float}: a standard error, levels, the reals' own value.
    """

    name: str
    value: float
    lower_is_better: bool
    protocol: dict
    parts: dict = dataclasses.field(default_factory=dict)

    def comparable_with(self, other) -> bool:
        """True if the two were measured alike."""
        return (self.name, self.compared) == (other.name, other.compared)

    @property
    def compared(self) -> dict:
        """The part of the protocol that two comparable scores share."""
        return {key: value for key, value in self.protocol.items() if key not in NOT_COMPARED}

    def better_than(self, other) -> bool:
        """True if this score beats `other`, or if there is no other (None). A NaN never wins, and always loses.

        Raises:
            ValueError: the scores are of two metrics, or of two protocols.
        """
        if math.isnan(self.value):
            return False
        if other is None:
            return True
        if other.name != self.name:
            raise ValueError(f"a score called {self.name} cannot be compared with one called {other.name}")
        if not self.comparable_with(other):
            raise ValueError(f"two scores called {self.name} differ in {', '.join(differences(self, other))}")
        if math.isnan(other.value):
            return True
        return self.value < other.value if self.lower_is_better else self.value > other.value

    def text(self) -> str:
        """Name and value for people: four digits, with the standard error where there is one."""
        spread = self.parts.get("standard_error")
        return f"{self.name} {number(self.value)}" + (f" ± {number(spread)}" if spread is not None else "")


def differences(one, other) -> list[str]:
    """What two scores of one name differ in: "reals 100 and 160"."""
    left, right = one.compared, other.compared
    keys = [key for key in {**left, **right} if left.get(key) != right.get(key)]
    return [f"{key} {left.get(key)} and {right.get(key)}" for key in keys]


def number(value) -> str:
    """Four significant digits, or all in front of the point: 41.05, 0.01234, 12841."""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value + 0.0:.4g}"


def from_stored(stored) -> Score:
    """A score from its stored dict."""
    return Score(**stored)
