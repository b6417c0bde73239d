"""Inception score: how sure a classifier is of each generated image, and how varied its answers are.

exp of the mean divergence of each image's class probabilities from their average. It never looks at the real images, so
it says nothing of likeness to them; it is given because old papers give it.

Source: Salimans et al. 2016 (Improved techniques for training GANs), section 4.
"""

import numpy as np


def inception_score(logits, splits=10):
    """Mean and deviation of the score over `splits` parts of the images.

    Args:
        logits: [N, classes], in the order in which the images were made: part i is the i-th run of N / splits rows.
        splits: how many parts. The score grows with the size of a part: 5,000 images in the papers.

    Returns:
        (mean, std) of the parts' scores, each between 1 and the number of classes; the population deviation.

    Raises:
        ValueError: fewer rows than parts, not a matrix, or values that are not finite.
    """
    if logits.ndim != 2 or not 1 <= splits <= len(logits):
        raise ValueError(f"need logits [N, classes] and 1 <= splits <= N, got {logits.shape} and {splits}")
    edges = [len(logits) * i // splits for i in range(splits + 1)]
    scores = [_score(logits[first:end]) for first, end in zip(edges, edges[1:], strict=False)]
    return float(np.mean(scores)), float(np.std(scores))


def _score(logits):
    logits = np.asarray(logits, np.float64)
    if not np.isfinite(logits).all():
        raise ValueError("logits must be finite, got NaN or infinity")
    logs = logits - logits.max(axis=1, keepdims=True)
    logs -= np.log(np.exp(logs).sum(axis=1, keepdims=True))
    chances = np.exp(logs)
    average = chances.mean(axis=0)
    # A class that no image has a chance of takes part in no sum: 0 log 0 is 0 here.
    log_average = np.log(average, where=average > 0, out=np.zeros_like(average))
    return np.exp((chances * (logs - log_average)).sum(axis=1).mean())
