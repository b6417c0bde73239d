"""Fréchet distance between Gaussians fitted to two sets of features: FID where the features are Inception's.

|mean_a - mean_b|^2 + trace(cov_a + cov_b - 2 (cov_a cov_b)^(1/2)).

The root's trace is computed without a matrix root. With cov_a = L L' and cov_b = M M' it is the sum of the singular
values of L'M, which are real and not negative by construction; rounding reaches them at its own size, whereas the
square root of an eigenvalue that should be 0 turns 1e-16 into 1e-8. The factors come from a Cholesky decomposition with
pivoting, which also stops at the rank of a covariance of few rows: 100 images in 2048 dimensions are no special case.

Source: Heusel et al. 2017 (two time-scale update rule), equation 6; Dowson and Landau 1982.
"""

import numpy as np
from scipy.linalg import svdvals
from scipy.linalg.lapack import dpstrf

from gan_tf.metrics.statistics import moments_of

ASYMMETRY = 1e-9  # of the largest entry: more is no covariance matrix
REMAINDER = 1e-9  # of the largest entry: more than rounding leaves of a covariance when its rank is reached


def frechet_distance(mean_a, cov_a, mean_b, cov_b):
    """Squared Fréchet distance of two Gaussians; symmetric in a and b up to rounding.

    Args:
        mean_a, mean_b: [F].
        cov_a, cov_b: [F, F], symmetric, without negative eigenvalues; any rank.

    Returns:
        float >= 0, squared feature units. The distance of equal Gaussians may round to about -1e-13 of the traces; that
        is returned as 0 here, so that no caller need know of it.

    Raises:
        ValueError: shapes that do not belong together, values that are not finite, a matrix that is no covariance.
    """
    mean_a, cov_a, mean_b, cov_b = (np.asarray(x, np.float64) for x in (mean_a, cov_a, mean_b, cov_b))
    features = mean_a.shape[0] if mean_a.ndim == 1 else 0
    wanted = (features,), (features, features), (features,), (features, features)
    got = mean_a.shape, cov_a.shape, mean_b.shape, cov_b.shape
    if not features or got != wanted:
        raise ValueError(f"need means [F] and covariances [F, F] of one F > 0, got {', '.join(map(str, got))}")
    if not all(np.isfinite(x).all() for x in (mean_a, cov_a, mean_b, cov_b)):
        raise ValueError("means and covariances must be finite, got NaN or infinity")
    shift = mean_a - mean_b
    root = svdvals(_factor(cov_a).T @ _factor(cov_b)).sum()
    return max(0.0, float(shift @ shift + np.trace(cov_a) + np.trace(cov_b) - 2 * root))


def frechet_distance_of_features(real, fake, ddof=1):
    """Squared Fréchet distance of Gaussians fitted to features.

    Args:
        real, fake: [N, F] and [M, F]. Small sets score higher: compare at equal N and M only.
        ddof: as `Moments.covariance` takes it.

    Returns:
        float >= 0.

    Raises:
        ValueError: F differs, a value is not finite, or a set has no more than `ddof` rows.
    """
    real, fake = moments_of(real), moments_of(fake)
    return frechet_distance(real.mean, real.covariance(ddof), fake.mean, fake.covariance(ddof))


def _factor(covariance):
    """[F, F] -> L [F, r] with L L' = covariance up to rounding, r its numerical rank.

    Raises:
        ValueError: not symmetric, or with negative eigenvalues.
    """
    features = len(covariance)
    size = np.abs(covariance).max()
    if np.abs(covariance - covariance.T).max() > ASYMMETRY * size:
        raise ValueError("a covariance matrix must be symmetric")
    factor, pivots, rank, _ = dpstrf(covariance, lower=1)
    out = np.zeros((features, rank))
    out[pivots - 1] = np.tril(factor[:, :rank])
    # The decomposition ends early at a rank below F, and at a negative eigenvalue: there something is left over.
    if rank < features and np.abs(covariance - out @ out.T).max() > REMAINDER * size:
        raise ValueError("a covariance matrix must not have negative eigenvalues")
    return out
