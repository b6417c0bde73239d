"""Reference files, comparisons of quantities with their bounds, and the printed table."""

import dataclasses
import zipfile

import numpy as np
import tensorflow as tf

from gan_tf.errors import UsageError

NAME_WIDTH = 56


@dataclasses.dataclass(frozen=True)
class Quantity:
    """One compared number or array: its relative error and the largest one that is accepted."""

    name: str
    error: float
    bound: float

    @property
    def passed(self) -> bool:
        return bool(self.error <= self.bound)  # False for NaN


class Arrays(dict):
    """{key: array} of a reference file; a missing key raises UsageError."""

    def __init__(self, path: str, items: dict):
        super().__init__(items)
        self.path = path

    def __missing__(self, key):
        raise UsageError(f"{self.path} holds no array named {key!r}: give a reference file of the family asked for")

    def group(self, prefix: str) -> dict:
        """{rest of the key: array} of every key that starts with `prefix`; may be empty."""
        return {key[len(prefix) :]: value for key, value in self.items() if key.startswith(prefix)}


def read_arrays(path: str) -> Arrays:
    """Reads an .npz of plain arrays.

    Raises:
        UsageError: no such file, or not an .npz of plain arrays.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return Arrays(path, {key: archive[key] for key in archive.files})
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from None
    except (AttributeError, TypeError, ValueError, zipfile.BadZipFile):
        raise UsageError(f"{path} is not an .npz file of plain arrays") from None


def channels_last(images):
    """An array [N, C, H, W] as a tensor [N, H, W, C]."""
    return tf.constant(np.moveaxis(images, 1, 3))


def channels_first(images):
    """A tensor [N, H, W, C] as an array [N, C, H, W]."""
    return np.moveaxis(np.asarray(images), 3, 1)


def relative_l2(got, want) -> float:
    """|got - want| / |want| in Euclidean norm; infinite where shapes differ or `want` alone is zero."""
    return _relative(np.linalg.norm, got, want)


def relative_max(got, want) -> float:
    """max |got - want| / max |want|; infinite where shapes differ or `want` alone is zero."""
    return _relative(lambda x: np.max(np.abs(x), initial=0.0), got, want)


def _relative(norm, got, want):
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    return _ratio(norm(got - want), norm(want)) if got.shape == want.shape else np.inf


def forward(name: str, got, want, bound: float) -> Quantity:
    """Compares an output: the larger of relative L2 and relative maximum error."""
    return Quantity(name, max(relative_l2(got, want), relative_max(got, want)), bound)


def gradient(name: str, got, want, bound: float) -> Quantity:
    """Compares a gradient or an update by relative L2: a flipped leaky ReLU may change a single entry much."""
    return Quantity(name, relative_l2(got, want), bound)


def show(quantities) -> int:
    """Prints a line for each quantity and a summary; returns the exit code, 1 if any is over its bound."""
    quantities = list(quantities)
    print(f"{'quantity':<{NAME_WIDTH}} {'error':>9} {'bound':>9}  verdict")
    for q in quantities:
        print(f"{q.name:<{NAME_WIDTH}} {q.error:9.2e} {q.bound:9.0e}  {'ok' if q.passed else 'OVER THE BOUND'}")
    failed = [q for q in quantities if not q.passed]
    if not quantities:
        print("nothing was compared")
        return 1
    worst = max(quantities, key=lambda q: np.inf if np.isnan(q.error) else _ratio(q.error, q.bound))
    print(
        f"{len(quantities) - len(failed)} of {len(quantities)} quantities within their bounds; "
        f"nearest to its bound: {worst.name} ({worst.error:.2e} of {worst.bound:.0e})"
    )
    return 1 if failed else 0


def _ratio(difference: float, size: float) -> float:
    if difference == 0:
        return 0.0
    return float(difference / size) if size > 0 else np.inf
