"""Precision and recall, density and coverage: which fakes look like reals, and which reals the fakes reach.

A set's manifold is the union of balls around its points, each reaching to the point's k-th nearest neighbour in the
set. Precision is the share of fakes in a ball of a real, recall the share of reals in a ball of a fake; density counts
how many real balls a fake lies in, coverage the share of real balls that hold a fake. Balls are closed: a distance
equal to the radius is inside.

All comparisons come out as if each squared distance were summed up directly, in float64, from the differences of the
features, so a copy is at distance 0 exactly and neither order nor block size can change a score. Most of it is done by
matrix products of centred features all the same: those give each squared distance with a bound on their rounding error,
and only what falls within that bound of its threshold is summed up directly. Memory: a few blocks of BLOCK_VALUES
numbers, whatever the number of rows; features may be memory maps.

Source: Kynkaanniemi et al. 2019 (Improved precision and recall), equations 1 to 3; Naeem et al. 2020 (Reliable fidelity
and diversity metrics), equations 3 and 5.
"""

import numpy as np

BLOCK_VALUES = 2**24  # float64 numbers of the largest array, 128 MB
COLUMN_ROWS = 2048  # rows converted to float64 at a time
DIRECT_PAIRS = 2048  # pairs summed up directly at a time


def precision_recall(real, fake, k=3):
    """Precision and recall.

    Args:
        real, fake: [N, F] and [M, F] float, arrays or memory maps.
        k: the neighbour that sets a ball's radius; the point itself does not count.

    Returns:
        (precision, recall), each in [0, 1].

    Raises:
        ValueError: F differs, a value is not finite, or a set has no more than k rows.
    """
    _check(real, fake, k, fake)
    real_radii, fake_radii = squared_radii(real, k), squared_radii(fake, k)
    fake_hits, real_hits = np.zeros(len(fake), bool), np.zeros(len(real), bool)
    for rows, columns, distances in _tiles(real, fake):
        fake_hits[columns] |= distances.within(real_radii[rows, None]).any(axis=0)
        real_hits[rows] |= distances.within(fake_radii[None, columns]).any(axis=1)
    return float(fake_hits.mean()), float(real_hits.mean())


def density_coverage(real, fake, k=5):
    """Density and coverage.

    Args:
        real, fake: [N, F] and [M, F] float, arrays or memory maps, M >= 1.
        k: the neighbour that sets a real ball's radius; the point itself does not count.

    Returns:
        (density, coverage): density >= 0, about 1 for two sets of one distribution; coverage in [0, 1], then about
        1 - 2^-k.

    Raises:
        ValueError: F differs, a value is not finite, or there are no more than k reals.
    """
    _check(real, fake, k)
    radii = squared_radii(real, k)
    held = np.zeros(len(real), np.int64)  # fakes in each real ball
    for rows, _, distances in _tiles(real, fake):
        held[rows] += distances.within(radii[rows, None]).sum(axis=1)
    return float(held.sum() / (k * len(fake))), float((held > 0).mean())


def squared_radii(features, k):
    """Squared distance of each row to its k-th nearest other row: [N, F] -> [N] float64.

    A row that stands in the set several times is its own neighbour at distance 0.
    """
    centre = _centre(features)
    radii = np.empty(len(features))
    step = max(1, min(COLUMN_ROWS, BLOCK_VALUES // len(features)))
    for first in range(0, len(features), step):
        rows = slice(first, min(first + step, len(features)))
        distances = _Distances(features, rows, features, slice(0, len(features)), centre)
        distances.leave_out(np.arange(rows.stop - rows.start), np.arange(rows.start, rows.stop))
        radii[rows] = distances.smallest(k)
    return radii


class _Distances:
    """Squared distances of some rows of x to some rows of y, known up to a bound on their error.

    approximate [n, m] is within reach_x[i] + reach_y[j] of the directly summed value; infinite where left out.
    """

    def __init__(self, x, rows, y, columns, centre):
        self.x, self.rows, self.y, self.columns = x, rows, y, columns
        left = x[rows] - centre  # float64, since the centre is
        size_x = np.square(left).sum(axis=1)
        self.approximate = np.empty((len(left), columns.stop - columns.start))
        size_y = np.empty(columns.stop - columns.start)
        left *= -2
        for first in range(0, len(size_y), COLUMN_ROWS):
            part = slice(first, min(first + COLUMN_ROWS, len(size_y)))
            right = y[columns.start + part.start : columns.start + part.stop] - centre
            size_y[part] = np.square(right).sum(axis=1)
            np.matmul(left, right.T, out=self.approximate[:, part])
        self.approximate += size_x[:, None]
        self.approximate += size_y
        # Rounding of a sum of F products is below F eps / 2 of the sum of their sizes, in any order (Higham 2002,
        # section 3.1): here twice |x||y| <= |x|^2 + |y|^2, and again for the sizes and for the direct sum, which are of
        # no more than 2 (|x|^2 + |y|^2). The factor 4 covers them all with room for centring.
        reach = 4 * (x.shape[1] + 16) * np.finfo(np.float64).eps
        self.reach_x, self.reach_y = reach * size_x, reach * size_y

    def leave_out(self, i, j):
        """Takes pairs out of all that follows."""
        self.approximate[i, j] = np.inf

    def within(self, limits):
        """True where the squared distance is at most `limits`, which broadcasts to [n, m]."""
        limits = np.broadcast_to(limits, self.approximate.shape)
        slack = self.reach_x[:, None] + self.reach_y
        inside = self.approximate <= limits + slack
        i, j = np.nonzero(inside)
        close = self.approximate[i, j] > limits[i, j] - slack[i, j]
        i, j = i[close], j[close]
        inside[i, j] = self.direct(i, j) <= limits[i, j]
        return inside

    def smallest(self, k):
        """The k-th smallest of each row: [n]."""
        upper = self.approximate + self.reach_y
        upper = np.partition(upper, k - 1, axis=1)[:, k - 1] + self.reach_x
        lower = self.approximate - self.reach_x[:, None]
        lower -= self.reach_y
        i, j = np.nonzero(lower <= upper[:, None])
        out = np.empty(len(upper))
        edges = np.searchsorted(i, np.arange(len(out) + 1))
        for row, (first, end) in enumerate(zip(edges, edges[1:], strict=False)):
            out[row] = self._kth(row, j[first:end], k)
        return out

    def _kth(self, row, candidates, k):
        """k-th smallest directly summed distance of a row, of which all smaller ones are among the candidates."""
        found = np.empty(0)
        for part in (candidates[: 4 * k], candidates[4 * k :]):
            found = np.sort(np.append(found, self.direct(np.full(len(part), row), part)))[:k]
            if len(found) == k and found[-1] == 0:
                break  # nothing is nearer: saves hours where a set holds one row thousands of times
        return found[-1]

    def direct(self, i, j):
        """Squared distances of the pairs, summed up from differences: [p], [p] -> [p]."""
        out = np.empty(len(i))
        for first in range(0, len(i), DIRECT_PAIRS):
            part = slice(first, first + DIRECT_PAIRS)
            left = self.x[self.rows.start + i[part]].astype(np.float64)
            left -= self.y[self.columns.start + j[part]]
            out[part] = np.square(left, out=left).sum(axis=1)  # one order of summation, whatever the pair's place
        return out


def _tiles(x, y):
    """Cuts [N, M] into tiles: yields (slice of x, slice of y, _Distances)."""
    centre = (_centre(x) + _centre(y)) / 2
    side = max(1, min(COLUMN_ROWS, int(BLOCK_VALUES**0.5)))
    for first in range(0, len(x), side):
        rows = slice(first, min(first + side, len(x)))
        for start in range(0, len(y), side):
            columns = slice(start, min(start + side, len(y)))
            yield rows, columns, _Distances(x, rows, y, columns, centre)


def _centre(features):
    """Mean of the rows, [F] float64: distances do not change by it, but rounding errors shrink.

    Raises:
        ValueError: a value is not finite.
    """
    total = np.zeros(features.shape[1])
    for first in range(0, len(features), COLUMN_ROWS):
        block = features[first : first + COLUMN_ROWS]
        if not np.isfinite(block).all():
            raise ValueError("features must be finite, got NaN or infinity")
        total += block.sum(axis=0, dtype=np.float64)
    return total / len(features)


def _check(real, fake, k, *others):
    shapes = real.shape, fake.shape
    if real.ndim != 2 or fake.ndim != 2 or real.shape[1] != fake.shape[1] or not len(fake):
        raise ValueError(f"need features [N, F] and [M, F], got {shapes[0]} and {shapes[1]}")
    if k < 1 or min(map(len, (real, *others))) <= k:
        raise ValueError(f"need k >= 1 and more than k rows, got k = {k} and {len(real)} reals, {len(fake)} fakes")
