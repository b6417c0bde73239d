"""Fréchet distance (FID), kernel distance (KID) and Inception Score: numbers from the outputs of Inception.

FID: Heusel et al. 2017 (two time-scale update rule), equation 6; Dowson and Landau 1982.
KID: Binkowski et al. 2018 (Demystifying MMD GANs), section 3.1; Gretton et al. 2012, lemma 6.
Inception Score: Salimans et al. 2016 (Improved techniques for training GANs), section 4.
"""

import numpy as np
from scipy.linalg import svdvals
from scipy.linalg.lapack import dpstrf
from scipy.special import rel_entr, softmax

BLOCK_ROWS = 1024  # of a memory map at a time


def mean_and_covariance(features, ddof=1):
    """Returns the mean [F] and the covariance [F, F] of rows in float64.

    Args:
        features: [N, F], an array or a memory map; it is read in blocks.
        ddof: 1 for the unbiased estimate of most programs; 0 to divide by N, as the StyleGAN2 programs do.

    Raises:
        ValueError: at most `ddof` rows, or a value that is not finite.
    """
    count, width = features.shape
    if count <= ddof:
        raise ValueError(f"a covariance with ddof {ddof} needs more than {ddof} rows, got {count}")
    blocks = [slice(first, first + BLOCK_ROWS) for first in range(0, count, BLOCK_ROWS)]
    mean = sum(features[block].sum(axis=0, dtype=np.float64) for block in blocks) / count
    if not np.isfinite(mean).all():
        raise ValueError("features must be finite, got NaN or infinity")
    scatter = np.zeros((width, width))
    for block in blocks:
        centred = features[block] - mean
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
    """Returns the unbiased squared maximum mean discrepancy, averaged over random subsets.

    Unlike the Fréchet distance it has no bias that depends on the number of images. For two samples of one distribution
    it is 0 on average, and may be negative.

    Args:
        real, fake: [N, F] and [M, F], arrays or memory maps.
        subsets: number of pairs of subsets, at least 2.
        rows: rows of each subset, which is drawn without replacement.
        seed: of the draws. Of each pair the real subset is drawn first.

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
    """Returns the unbiased squared maximum mean discrepancy of two samples [m, F] and [n, F] for the cubic kernel.

    Raises:
        ValueError: F differs, fewer than two rows, or values that are not finite.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    m, n = len(x), len(y)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or min(m, n) < 2:
        raise ValueError(f"need [m > 1, F] and [n > 1, F], got {x.shape} and {y.shape}")
    kernel_xx, kernel_yy = cubic_kernel(x, x), cubic_kernel(y, y)
    within = (kernel_xx.sum() - kernel_xx.trace()) / (m * (m - 1)) + (kernel_yy.sum() - kernel_yy.trace()) / (
        n * (n - 1)
    )
    value = within - 2 * cubic_kernel(x, y).sum() / (m * n)
    if not np.isfinite(value):
        raise ValueError("features must be finite, and small enough to be cubed")
    return float(value)


def cubic_kernel(x, y):
    """Returns (x.y / F + 1)^3 for each pair of rows: [m, F], [n, F] -> [m, n]."""
    base = x @ y.T / x.shape[1] + 1
    return base * base * base


def inception_score(logits, splits=10):
    """Returns the mean and the standard deviation (ddof 0) of the Inception Score over parts of the images.

    The score is exp of the mean divergence between the class probabilities of an image and their average. It ignores
    the real images; it exists for comparison with older papers.

    Args:
        logits: [N, classes] in the order of generation; part i is the i-th run of N / splits rows.
        splits: number of parts. The score grows with the size of a part, 5,000 images in the papers.

    Returns:
        (mean, std); each score is between 1 and the number of classes.

    Raises:
        ValueError: values that are not finite.
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
