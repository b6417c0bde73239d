"""Realism: how near one generated image is to the real ones, as a number for each image.

The real images' manifold is the union of balls around them, as for precision and recall. A generated image's realism is
the largest ratio of a ball's radius to the image's distance from its centre: 1 on the surface of a ball, more inside.
The half of the balls that is largest is left out, as they lie where there are few real images. A copy of a real image
is as near as can be (infinity), so a choice by realism wants the copy check beside it.

Source: Kynkaanniemi et al. 2019 (Improved precision and recall), section 5 and equation 4.
"""

from typing import NamedTuple

import numpy as np

from gan_tf.metrics.precision_recall import squared_radii

BLOCK_ROWS = 256
KEPT = 0.5  # share of the balls: the smaller ones


class Balls(NamedTuple):
    """real: [N, F], the centres of all balls. radii: float64 [N]. kept: numbers of those that count."""

    real: object
    radii: np.ndarray
    kept: np.ndarray


def balls_of(real, k=3):
    """The Balls around real images; see `realism`. Raises ValueError if there are no more than k."""
    if real.ndim != 2 or len(real) <= k:
        raise ValueError(f"need features [N > {k}, F], got {list(real.shape)}")
    radii = np.sqrt(squared_radii(real, k))
    return Balls(real, radii, np.flatnonzero(radii <= np.quantile(radii, KEPT)))


def realism(real, fake, k=3):
    """Realism of generated images.

    Args:
        real, fake: [N, F] and [M, F] float, arrays or memory maps.
        k: the neighbour that sets a ball's radius; the point itself does not count.

    Returns:
        float64 [M], >= 0; infinite for a copy, but 0 at a real image that stands in the set more than k times.

    Raises:
        ValueError: F differs, or there are no more than k reals.
    """
    return realism_in(balls_of(real, k), fake)


def realism_in(balls, fake):
    """`realism` of generated images [M, F] among Balls, which are the same for all of them: [M]."""
    real, radii, kept = balls
    if fake.ndim != 2 or real.shape[1] != fake.shape[1]:
        raise ValueError(f"need features [M, {real.shape[1]}], got {list(fake.shape)}")
    found = np.zeros(len(fake))
    for first in range(0, len(kept), BLOCK_ROWS):
        rows = kept[first : first + BLOCK_ROWS]
        centres = np.asarray(real[rows], np.float64)
        for start in range(0, len(fake), BLOCK_ROWS):
            part = slice(start, start + BLOCK_ROWS)
            distances = _distances(np.asarray(fake[part], np.float64), centres)
            with np.errstate(divide="ignore", invalid="ignore"):
                ratios = np.where(distances > 0, radii[rows] / distances, np.where(radii[rows] > 0, np.inf, 0.0))
            found[part] = np.maximum(found[part], ratios.max(axis=1))
    return found


def _distances(a, b):
    """[n, F], [m, F] -> [n, m]; what the fast form leaves of nearly equal rows is summed up directly."""
    sizes = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1)
    squared = sizes - 2 * a @ b.T
    near = np.nonzero(squared < 1e-9 * sizes)
    squared[near] = np.square(a[near[0]] - b[near[1]]).sum(axis=1)
    return np.sqrt(squared)


def mean_rank(scores):
    """Joins several judgements: {name: [M], larger is better} -> the mean of the ranks, float64 [M], 1 is best."""
    ranks = []
    for values in scores.values():
        order = np.argsort(-np.asarray(values, np.float64), kind="stable")
        rank = np.empty(len(order))
        rank[order] = np.arange(1, len(order) + 1)
        ranks.append(rank)
    return np.mean(ranks, axis=0)
