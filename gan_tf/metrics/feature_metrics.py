"""Metrics on features: FID, KID, Inception Score, precision, recall, density, coverage and realism.

Features are [N, F] float of the reals and [M, F] of the fakes, arrays or memory maps. They are read in blocks, so that
memory does not grow with N times M. Values that are not finite raise ValueError.

FID: Heusel et al. 2017 (two time-scale update rule), equation 6; Dowson and Landau 1982.
KID: Binkowski et al. 2018 (Demystifying MMD GANs), section 3.1; Gretton et al. 2012, lemma 6.
Inception Score: Salimans et al. 2016 (Improved techniques for training GANs), section 4.
Precision, recall and realism: Kynkaanniemi et al. 2019 (Improved precision and recall), equations 1 to 4. Density and
coverage: Naeem et al. 2020 (Reliable fidelity and diversity metrics), equations 3 and 5. All of them take the union of
balls around the points of a set as its manifold; the radius of a ball is the distance to the k-th nearest other point
of the set. Balls are closed: a distance equal to the radius is inside.
"""

import numpy as np
from scipy.linalg import svdvals
from scipy.linalg.lapack import dpstrf
from scipy.special import rel_entr, softmax

BLOCK_ROWS = 1024
BLOCK_VALUES = 2**24  # float64 numbers, 128 MB
NEAR = 1e-3  # share of the squared lengths; smaller squared distances are summed directly
TIE = 1 + 1e-10  # squared distances that differ by a smaller factor are equal
SMALLER_BALLS = 0.5  # share of the balls, the smallest ones, that realism uses


def mean_and_covariance(features, ddof=1):
    """Returns the mean [F] and the covariance [F, F] of rows [N > ddof, F] in float64.

    ddof: 1 for the unbiased estimate of most programs; 0 to divide by N, as the StyleGAN2 programs do.
    """
    count, width = features.shape
    mean, scatter = _mean(features), np.zeros((width, width))
    for first in range(0, count, BLOCK_ROWS):
        centred = features[first : first + BLOCK_ROWS] - mean
        scatter += centred.T @ centred
    return mean, scatter / (count - ddof)


def frechet_distance(mean_a, cov_a, mean_b, cov_b):
    """Returns the squared Fréchet distance of two Gaussians.

    |mean_a - mean_b|^2 + trace(cov_a + cov_b - 2 (cov_a cov_b)^(1/2)). With cov_a = L L' and cov_b = M M', the trace of
    the root is the sum of the singular values of L'M. They cannot be negative, and rounding changes them by 1e-16,
    while the root of an eigenvalue 0 that was rounded to 1e-16 would be 1e-8.

    Means are [F], covariances [F, F], symmetric and positive semi-definite, of any rank.
    """
    shift = np.subtract(mean_a, mean_b)
    root = svdvals(_cholesky_factor(cov_a).T @ _cholesky_factor(cov_b)).sum()
    return max(0.0, float(shift @ shift + np.trace(cov_a) + np.trace(cov_b) - 2 * root))


def _cholesky_factor(covariance):
    """[F, F] -> L [F, rank] with L L' = covariance. Pivoting handles covariances of few rows, whose rank is below F."""
    factor, pivots, rank, _ = dpstrf(covariance, lower=1)
    out = np.zeros((len(covariance), rank))
    out[pivots - 1] = np.tril(factor[:, :rank])
    return out


def kernel_distance(real, fake, subsets, rows, seed=0):
    """Returns the unbiased squared maximum mean discrepancy over random pairs of subsets, of `rows` rows each.

    Unlike the Fréchet distance it has no bias that depends on the number of images. For two samples of one distribution
    it is 0 on average, and may be negative. Subsets are drawn without replacement, the real one of each pair first.

    Returns:
        (mean over the subsets, their standard deviation with ddof 0, standard error of the mean as far as it depends on
        the choice of the subsets).
    """
    random = np.random.default_rng(seed)
    values = []
    for _ in range(subsets):
        chosen = [np.sort(random.choice(len(side), rows, replace=False, shuffle=False)) for side in (real, fake)]
        values.append(squared_mmd(real[chosen[0]], fake[chosen[1]]))
    std = float(np.std(values))
    return float(np.mean(values)), std, float(std / np.sqrt(subsets - 1))


def squared_mmd(x, y):
    """Returns the unbiased squared maximum mean discrepancy of two samples [m > 1, F], [n > 1, F]; cubic kernel."""
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    kernels = cubic_kernel(x, x), cubic_kernel(y, y)
    within = sum((kernel.sum() - kernel.trace()) / (len(kernel) * (len(kernel) - 1)) for kernel in kernels)
    value = within - 2 * cubic_kernel(x, y).sum() / (len(x) * len(y))
    if not np.isfinite(value):
        raise ValueError("features must be finite, and small enough to be cubed")
    return float(value)


def cubic_kernel(x, y):
    """Returns (x.y / F + 1)^3 for each pair of rows: [m, F], [n, F] -> [m, n]."""
    base = x @ y.T / x.shape[1] + 1
    return base * base * base


def inception_score(logits, splits=10):
    """Returns the mean and the standard deviation (ddof 0) of the Inception Score over parts of the images.

    The score of a part is exp of the mean divergence between the class probabilities of an image and their average,
    between 1 and the number of classes. It ignores the real images; it exists for comparison with older papers.

    Args:
        logits: [N, classes] in the order of generation; part i is the i-th run of N / splits rows.
        splits: number of parts. The score grows with the size of a part, 5,000 images in the papers.
    """
    if not np.isfinite(logits).all():
        raise ValueError("logits must be finite, got NaN or infinity")
    edges = [len(logits) * i // splits for i in range(splits + 1)]
    scores = []
    for first, end in zip(edges, edges[1:], strict=False):
        probabilities = softmax(np.asarray(logits[first:end], np.float64), axis=1)
        divergence = rel_entr(probabilities, probabilities.mean(axis=0)).sum(axis=1)
        scores.append(np.exp(divergence.mean()))
    return float(np.mean(scores)), float(np.std(scores))


def precision_recall(real, fake, k=3):
    """Returns (precision, recall): the share of fakes in a ball of a real, and of reals in a ball of a fake.

    Both sets have more than k rows.
    """
    real_radii, fake_radii = squared_radii(real, k) * TIE, squared_radii(fake, k) * TIE
    fake_inside, real_inside = np.zeros(len(fake), bool), np.zeros(len(real), bool)
    for rows, columns, distances in _tiles(real, fake):
        fake_inside[columns] |= (distances <= real_radii[rows, None]).any(axis=0)
        real_inside[rows] |= (distances <= fake_radii[columns]).any(axis=1)
    return float(fake_inside.mean()), float(real_inside.mean())


def density_coverage(real, fake, k=5):
    """Returns (density, coverage): mean number of real balls that contain a fake, over k; share of balls with a fake.

    For two samples of one distribution, density is about 1, and coverage about 1 - 2^-k. A single fake is enough.
    """
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

    It is 1 on the surface of a ball and larger inside. The larger half of the balls is not used: real images are sparse
    there. A copy of a real image has the highest realism, so combine it with a copy check. `balls` are those of
    `smaller_balls`.

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
    """Returns the squared distance of each row to its k-th nearest other row: [N > k, F] -> float64 [N].

    Duplicates of a row are other rows at distance 0.
    """
    centre, radii = _mean(features), np.empty(len(features))
    step = max(1, min(BLOCK_ROWS, BLOCK_VALUES // len(features)))
    for first in range(0, len(features), step):
        rows = features[first : first + step] - centre
        blocks = (features[start : start + BLOCK_ROWS] - centre for start in range(0, len(features), BLOCK_ROWS))
        distances = np.concatenate([squared_distances(rows, block) for block in blocks], axis=1)
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
    centre = (_mean(x) + _mean(y)) / 2  # relative to it, distances have smaller rounding errors
    for first in range(0, len(x), BLOCK_ROWS):
        rows = slice(first, first + BLOCK_ROWS)
        for start in range(0, len(y), BLOCK_ROWS):
            columns = slice(start, start + BLOCK_ROWS)
            yield rows, columns, squared_distances(x[rows] - centre, y[columns] - centre)


def _mean(features):
    """Returns the mean row, float64 [F]; raises ValueError if a value is not finite."""
    blocks = range(0, len(features), BLOCK_ROWS)
    mean = sum(features[i : i + BLOCK_ROWS].sum(axis=0, dtype=np.float64) for i in blocks) / len(features)
    if not np.isfinite(mean).all():
        raise ValueError("features must be finite, got NaN or infinity")
    return mean
