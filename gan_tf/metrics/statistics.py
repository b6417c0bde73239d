"""Mean and covariance of features that come in batches, without keeping the features."""

import numpy as np
from scipy.linalg.blas import dsyrk

BLOCK_ROWS = 1024  # rows folded in at a time, whatever the batches
READ_ROWS = 4096  # of a memory map at a time


def moments_of(features):
    """Moments of [N, F], an array or a memory map, which never sits in memory whole."""
    moments = Moments()
    for first in range(0, len(features), READ_ROWS):
        moments.add(features[first : first + READ_ROWS])
    return moments


class Moments:
    """Mean and covariance of rows that are added little by little, in float64.

    Rows are counted from the first one, so that nothing is lost where the mean is large against the spread. They are
    collected into blocks of a fixed size, each block is centred by its own mean, and the blocks' means and scatters are
    then combined: the result is the same bit for bit however the rows were cut into batches. Memory: one [F, F] and one
    block, whatever the number of rows.

    Source: Chan, Golub and LeVeque 1983, equation 2.1.
    """

    def __init__(self):
        self._block = None  # [BLOCK_ROWS, F] float64, allocated when F is known
        self._waiting = 0  # rows of the block that are in use
        self._folded = 0  # rows that are in the mean and the scatter
        self._origin = None  # [F], the first row; the block and the mean are relative to it
        self._mean = self._scatter = None  # [F]; [F, F], of which one triangle is kept

    def add(self, features):
        """Takes in rows, [n, F] of any float type, n >= 0.

        Raises:
            ValueError: not a matrix, another F than before, or a value that is not finite.
        """
        features = np.asarray(features)
        if features.ndim != 2 or (self._block is not None and features.shape[1] != self._block.shape[1]):
            wanted = "[n, F]" if self._block is None else f"[n, {self._block.shape[1]}]"
            raise ValueError(f"features must be {wanted}, got {features.shape}")
        if not np.isfinite(features).all():
            raise ValueError("features must be finite, got NaN or infinity")
        if not len(features):
            return
        if self._block is None:
            self._allocate(features[0])
        first = 0
        while first < len(features):
            taken = features[first : first + BLOCK_ROWS - self._waiting]
            np.subtract(taken, self._origin, out=self._block[self._waiting : self._waiting + len(taken)])
            self._waiting += len(taken)
            first += len(taken)
            if self._waiting == BLOCK_ROWS:
                self._folded, self._mean, self._scatter = self._fold(self._scatter)
                self._waiting = 0

    def merge(self, other):
        """Takes in every row of another Moments, as far as rounding allows; `other` stays as it is.

        Raises:
            ValueError: another F.
        """
        if not other.count:
            return
        count, mean, scatter = other._combined()
        if self._block is None:
            self._allocate(other._origin)
        if len(mean) != len(self._origin):
            raise ValueError(f"moments of {len(mean)} features cannot join those of {len(self._origin)}")
        before, here, total = self._combined()
        shift = (other._origin - self._origin) + mean - here
        self._folded, self._mean = before + count, here + shift * (count / (before + count))
        self._scatter = _add_outer(total + scatter, shift[None], before * count / (before + count))
        self._waiting = 0

    @property
    def count(self) -> int:
        """Rows taken in so far."""
        return self._folded + self._waiting

    @property
    def mean(self):
        """[F] float64. Raises ValueError before the first row."""
        if not self.count:
            raise ValueError("the mean of no rows is undefined")
        return self._origin + self._combined()[1]

    def covariance(self, ddof=1):
        """[F, F] float64, symmetric: the scatter about the mean divided by count - ddof.

        Args:
            ddof: 1 for the unbiased estimate, which the Fréchet distance of most programs uses; 0 to divide by the
                count, as the StyleGAN2 programs do.

        Raises:
            ValueError: no more than `ddof` rows.
        """
        if self.count <= ddof:
            raise ValueError(f"a covariance with ddof {ddof} needs more than {ddof} rows, got {self.count}")
        count, _, scatter = self._combined()
        scatter /= count - ddof
        lower = np.tril(scatter)
        return lower + np.tril(scatter, -1).T

    def state(self):
        """{name: array} for `np.savez`: everything that `from_state` needs. The mean in it is relative to "origin"."""
        if not self.count:
            raise ValueError("moments of no rows have no state")
        count, mean, scatter = self._combined()
        return {"count": np.int64(count), "origin": self._origin, "mean": mean, "scatter": np.tril(scatter)}

    @classmethod
    def from_state(cls, state):
        """The Moments that `state` was taken from; count, mean and covariance are the same bit for bit."""
        moments = cls()
        moments._allocate(state["origin"])
        moments._folded = int(state["count"])
        moments._mean = np.array(state["mean"], np.float64)
        moments._scatter = np.array(state["scatter"], np.float64, order="F")
        return moments

    def _allocate(self, origin):
        self._origin = np.array(origin, np.float64)
        self._block = np.empty((BLOCK_ROWS, len(origin)))
        self._mean = np.zeros(len(origin))
        self._scatter = np.zeros((len(origin), len(origin)), order="F")

    def _combined(self):
        """(count, mean, scatter) of every row, waiting ones too; arrays of the caller's own."""
        if not self._waiting:
            return self._folded, self._mean.copy(), self._scatter.copy("F")
        return self._fold(self._scatter.copy("F"))

    def _fold(self, scatter):
        """(count, mean, scatter) with the waiting rows in them; overwrites `scatter`."""
        block = self._block[: self._waiting]
        total = self._folded + len(block)
        centre = block.mean(axis=0)
        shift = centre - self._mean
        scatter = _add_outer(scatter, block - centre, 1)
        scatter = _add_outer(scatter, shift[None], self._folded * len(block) / total)
        return total, self._mean + shift * (len(block) / total), scatter


def _add_outer(scatter, rows, weight):
    """scatter + weight * rows' rows in the lower triangle, in place: [F, F] in Fortran order, [n, F]."""
    return dsyrk(weight, rows.T, beta=1, c=scatter, overwrite_c=1, lower=1)
