"""Which images of a set stand for it, and in which order: the same for both sides of a comparison."""

import numpy as np


def choice(count, wanted, seed):
    """Indices of `wanted` images of a set of `count`, in random order: [wanted] int64.

    Of a larger set a random part; a smaller one is gone through several times, in a new order each time. Consecutive
    indices differ unless count is 1, so neighbours make random pairs. Two sets of the same images, chosen from with the
    same arguments, give the same images in the same order: such a set is at distance 0 from itself.

    Raises:
        ValueError: an empty set.
    """
    if count < 1:
        raise ValueError(f"nothing can be chosen from {count} images")
    random = np.random.default_rng([seed, 0])
    passes = [random.permutation(count) for _ in range(max(1, -(-wanted // count)))]
    for before, after in zip(passes, passes[1:], strict=False):
        if before[-1] == after[0]:
            after[[0, -1]] = after[[-1, 0]]
    return np.concatenate(passes)[:wanted]
