"""Kernel distance between two sets of features: KID where the features are Inception's.

The squared maximum mean discrepancy under the kernel (x.y / F + 1)^3, averaged over random subsets. Everything is in
float64. Unlike the Fréchet distance it has no bias that depends on the number of images, so small sets can be compared;
two equal distributions score 0 on average, a little above or below in each measurement.

Source: Binkowski et al. 2018 (Demystifying MMD GANs), section 3.1; Gretton et al. 2012, lemma 6.
"""

from typing import NamedTuple

import numpy as np

KINDS = ("unbiased", "biased", "u-statistic")
LARGEST_SUBSET = 1000  # rows


class Kid(NamedTuple):
    """Mean over the subsets; their population standard deviation (ddof 0); the mean's standard error.

    The standard error is std / sqrt(subsets - 1): what the draw of the subsets leaves open, not that of the images.
    It is NaN for one subset.
    """

    mean: float
    std: float
    standard_error: float


def default_subset_size(real_count, fake_count) -> int:
    """Rows a subset has where nobody says otherwise: as many as both sets have, at most 1000."""
    return min(real_count, fake_count, LARGEST_SUBSET)


def kernel_distance(real, fake, subsets=100, subset_size=None, seed=0):
    """Unbiased squared discrepancy, averaged over random subsets.

    Args:
        real, fake: [N, F] and [M, F], arrays or memory maps.
        subsets: how many pairs of subsets. Each is drawn without replacement; two of them may share rows.
        subset_size: rows of each, of both sides; None: `default_subset_size`.
        seed: of the draws; for each pair of subsets the real one is drawn first.

    Returns:
        Kid. Its mean may be negative where the sets are alike.

    Raises:
        ValueError: F differs, a subset larger than a set or smaller than 2, no subset.
    """
    size = default_subset_size(len(real), len(fake)) if subset_size is None else subset_size
    if subsets < 1 or not 2 <= size <= min(len(real), len(fake)):
        raise ValueError(f"need subsets >= 1 of 2 to {min(len(real), len(fake))} rows, got {subsets} of {size}")
    random = np.random.default_rng(seed)
    values = []
    for _ in range(subsets):
        rows = [np.sort(random.choice(len(side), size, replace=False, shuffle=False)) for side in (real, fake)]
        values.append(mmd2(real[rows[0]], fake[rows[1]]))
    return summary(values)


def summary(values) -> Kid:
    """Kid of the values of all subsets."""
    std = float(np.std(values))
    error = std / np.sqrt(len(values) - 1) if len(values) > 1 else np.nan
    return Kid(float(np.mean(values)), std, float(error))


def mmd2(x, y, kind="unbiased"):
    """Squared maximum mean discrepancy of two samples, [m, F] and [n, F], under the cubic kernel.

    Args:
        kind: "unbiased" leaves out each row's kernel with itself, and keeps all m n values between the samples;
            "u-statistic" also leaves out those of row i of x with row i of y, and needs m = n;
            "biased" leaves out nothing, and is never negative.

    Raises:
        ValueError: F differs, fewer than two rows, values that are not finite, or an unknown kind.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    m, n = len(x), len(y)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or min(m, n) < 2:
        raise ValueError(f"need [m > 1, F] and [n > 1, F], got {x.shape} and {y.shape}")
    if kind not in KINDS or (kind == "u-statistic" and m != n):
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, u-statistic for m = n only; got {kind}, {m}, {n}")
    kernel_xx, kernel_yy, kernel_xy = kernel(x, x), kernel(y, y), kernel(x, y)
    total = kernel_xx.sum(), kernel_yy.sum(), kernel_xy.sum()
    if not np.isfinite(total).all():
        raise ValueError("features must be finite, and small enough to be cubed")
    if kind == "biased":
        return float(total[0] / m**2 + total[1] / n**2 - 2 * total[2] / (m * n))
    within = (total[0] - kernel_xx.trace()) / (m * (m - 1)) + (total[1] - kernel_yy.trace()) / (n * (n - 1))
    if kind == "unbiased":
        return float(within - 2 * total[2] / (m * n))
    return float(within - 2 * (total[2] - kernel_xy.trace()) / (m * (m - 1)))


def kernel(x, y):
    """(x.y / F + 1)^3 of each pair of rows: [m, F], [n, F] -> [m, n]."""
    base = x @ y.T
    base /= x.shape[1]
    base += 1
    return base * base * base
