"""Precision, recall, density, coverage and realism: the overlap of two sets of features.

The manifold of a set is the union of balls around its points, each with the distance to the k-th nearest neighbour in
the set as its radius. Precision is the share of fakes in a ball of a real, recall the share of reals in a ball of a
fake; density counts the real balls around each fake, coverage is the share of real balls that contain a fake. Realism
rates a single fake. Balls are closed: a distance equal to the radius is inside.

Memory: blocks of at most BLOCK_VALUES numbers, whatever the number of rows; features may be memory maps.

Source: Kynkaanniemi et al. 2019 (Improved precision and recall), equations 1 to 4; Naeem et al. 2020 (Reliable fidelity
and diversity metrics), equations 3 and 5.
"""

import numpy as np

BLOCK_VALUES = 2**24  # float64 numbers, 128 MB
BLOCK_ROWS = 2048
NEAR = 1e-3  # of the squared lengths: smaller squared distances are summed directly
TIE = 1 + 1e-10  # squared distances that differ by less are equal
SMALLER_BALLS = 0.5  # share of the balls that realism uses


def precision_recall(real, fake, k=3):
    """Returns (precision, recall), each in [0, 1].

    Args:
        real, fake: [N, F] and [M, F] float, arrays or memory maps.
        k: the radius of a ball is the distance to the k-th nearest other point.

    Raises:
        ValueError: F differs, a value is not finite, or a set has at most k rows.
    """
    _check(real, fake, k, min(len(real), len(fake)))
    real_radii, fake_radii = squared_radii(real, k) * TIE, squared_radii(fake, k) * TIE
    fake_inside, real_inside = np.zeros(len(fake), bool), np.zeros(len(real), bool)
    for rows, columns, distances in _tiles(real, fake):
        fake_inside[columns] |= (distances <= real_radii[rows, None]).any(axis=0)
        real_inside[rows] |= (distances <= fake_radii[columns]).any(axis=1)
    return float(fake_inside.mean()), float(real_inside.mean())


def density_coverage(real, fake, k=5):
    """Returns (density, coverage).

    For two samples of one distribution, density is about 1, and coverage about 1 - 2^-k.

    Args, Raises: as for `precision_recall`; a single fake is enough.
    """
    _check(real, fake, k, len(real))
    radii = squared_radii(real, k) * TIE
    fakes_inside = np.zeros(len(real), np.int64)  # of each real ball
    for rows, _, distances in _tiles(real, fake):
        fakes_inside[rows] += (distances <= radii[rows, None]).sum(axis=1)
    return float(fakes_inside.sum() / (k * len(fake))), float((fakes_inside > 0).mean())


def smaller_balls(real, k=3):
    """Returns the centres [n, F] and radii [n] of the smaller half of the balls around features [N > k, F]."""
    radii = np.sqrt(squared_radii(real, k))
    kept = np.flatnonzero(radii <= np.quantile(radii, SMALLER_BALLS))
    return real[kept], radii[kept]


def realism(balls, fake):
    """Returns the realism of each generated image: the largest ratio of a ball's radius to the distance of its centre.

    It is 1 on the surface of a ball and larger inside. The larger half of the balls is not used, since those are where
    there are few real images. A copy of a real image has the highest realism, so combine it with a copy check.

    Args:
        balls: of `smaller_balls`.
        fake: [M, F] float.

    Returns:
        float64 [M], >= 0; infinite for a copy, but 0 for a copy of a real image that the set holds more than k times.
    """
    centres, all_radii = balls
    best = np.zeros(len(fake))
    for rows, columns, squared in _tiles(centres, fake):
        distances, radii = np.sqrt(squared), all_radii[rows, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = np.where(distances > 0, radii / distances, np.where(radii > 0, np.inf, 0.0))
        best[columns] = np.maximum(best[columns], ratios.max(axis=0))
    return best


def squared_radii(features, k):
    """Returns the squared distance of each row to its k-th nearest other row: [N, F] -> float64 [N].

    Duplicates of a row are other rows at distance 0.
    """
    centre = _mean(features)
    radii = np.empty(len(features))
    step = max(1, min(BLOCK_ROWS, BLOCK_VALUES // len(features)))
    for first in range(0, len(features), step):
        rows = features[first : first + step] - centre
        distances = np.empty((len(rows), len(features)))
        for start in range(0, len(features), BLOCK_ROWS):
            others = features[start : start + BLOCK_ROWS] - centre
            distances[:, start : start + BLOCK_ROWS] = squared_distances(rows, others)
        distances[np.arange(len(rows)), first + np.arange(len(rows))] = np.inf
        radii[first : first + step] = np.partition(distances, k - 1, axis=1)[:, k - 1]
    return radii


def squared_distances(x, y):
    """Returns the squared distances of all pairs of rows: float64 [n, F], [m, F] -> [n, m].

    A matrix product is 20 times as fast as scipy's `cdist` at 2,048 features. Where the distance is small compared with
    the lengths of the rows, it would be mostly rounding error; such pairs are summed directly, so that copies have
    distance 0.
    """
    lengths = np.square(x).sum(axis=1)[:, None] + np.square(y).sum(axis=1)
    squared = lengths - 2 * (x @ y.T)
    i, j = np.nonzero(squared < NEAR * lengths)
    for first in range(0, len(i), BLOCK_ROWS):
        pairs = i[first : first + BLOCK_ROWS], j[first : first + BLOCK_ROWS]
        squared[pairs] = np.square(x[pairs[0]] - y[pairs[1]]).sum(axis=1)
    return squared


def _tiles(x, y):
    """Yields (slice of x, slice of y, squared distances between them) for tiles of the matrix [N, M]."""
    centre = (_mean(x) + _mean(y)) / 2
    for first in range(0, len(x), BLOCK_ROWS):
        rows = slice(first, first + BLOCK_ROWS)
        for start in range(0, len(y), BLOCK_ROWS):
            columns = slice(start, start + BLOCK_ROWS)
            yield rows, columns, squared_distances(x[rows] - centre, y[columns] - centre)


def _mean(features):
    """Returns the mean row, float64 [F]; raises ValueError if a value is not finite.

    Features relative to it have the same distances and smaller rounding errors.
    """
    blocks = range(0, len(features), BLOCK_ROWS)
    mean = sum(features[i : i + BLOCK_ROWS].sum(axis=0, dtype=np.float64) for i in blocks) / len(features)
    if not np.isfinite(mean).all():
        raise ValueError("features must be finite, got NaN or infinity")
    return mean


def _check(real, fake, k, fewest):
    if real.ndim != 2 or fake.ndim != 2 or real.shape[1] != fake.shape[1] or not len(fake):
        raise ValueError(f"need features [N, F] and [M, F], got {real.shape} and {fake.shape}")
    if not 1 <= k < fewest:
        raise ValueError(f"need k >= 1 and more than k rows, got k = {k} and {len(real)} reals, {len(fake)} fakes")
