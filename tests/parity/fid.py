"""Fréchet and kernel distance, precision and recall against four official programs.

These are pytorch-fid, clean-fid, torch-fidelity and StyleGAN2-ADA's metrics. Random subsets are drawn with NumPy's
legacy generator, like those of the programs. Every array of the file except the features is compared; an unknown array
counts as over its bound.
"""

import re

import numpy as np

from gan_tf.metrics.feature_metrics import (
    cubic_kernel,
    frechet_distance,
    mean_and_covariance,
    precision_recall,
    squared_mmd,
    squared_radii,
)
from tests.parity.report import Quantity, forward

BOUND = 1e-6  # relative
NEAR_ZERO = 1e-3  # below this, the absolute error of a Fréchet distance counts
ABSOLUTE_BOUND = 1e-5
STATISTICS_BOUND = 1e-12  # float64 on both sides
TORCH_FIDELITY_SEED = 2020
FRECHET_CASES = {  # case: real, fake
    "main": ("one", "two"),
    "rank_deficient": ("rank_deficient_one", "rank_deficient_two"),
    "rank_deficient_vs_full": ("rank_deficient_one", "two"),
    "identical": ("one", "one"),
    "identical_rank_deficient": ("rank_deficient_one", "rank_deficient_one"),
    "two_halves_of_one": ("first_half_of_one", "second_half_of_one"),
}
MANIFOLD_CASES = {  # case: real, fake
    "gen_two_real_one": ("one", "two"),
    "gen_one_real_two": ("two", "one"),
    "identical": ("one", "one"),
    "rank_deficient": ("rank_deficient_one", "rank_deficient_two"),
    "gen_three_real_one_from100": ("one_from_100", "three"),
}


def quantities(arrays):
    """Yields a Quantity for each array of a fid reference file."""
    sets = arrays.group("feat/")
    one = arrays["feat/one"]
    half = len(one) // 2
    sets |= {"first_half_of_one": one[:half], "second_half_of_one": one[half:], "one_from_100": one[100:]}
    compared = set()
    for part in (_statistics, _kernel, _drawn_subsets, _stylegan2_ada, _manifolds):
        for quantity in part(arrays, sets):
            compared.add(quantity.name)
            yield quantity
    for key in arrays:
        if key not in compared and key != "meta_json" and not key.startswith("feat/"):
            yield Quantity(f"{key} (unknown)", np.inf, BOUND)


def exact(name, got, want):
    """Returns the Quantity for arrays that must be equal."""
    got, want = np.asarray(got), np.asarray(want)
    return Quantity(name, np.inf if got.shape != want.shape else float((got != want).sum()), 0)


def frechet(name, got, want):
    """Returns the relative error, or the absolute error of a distance near 0 (official ones may be negative)."""
    return Quantity(name, abs(got - want), ABSOLUTE_BOUND) if want < NEAR_ZERO else forward(name, got, want, BOUND)


def _statistics(arrays, sets):
    """Means, covariances and Fréchet distances; the small sets must be parts of the large ones."""
    for name in ("one", "two"):
        part = sets[f"rank_deficient_{name}"]
        yield exact(f"feat/rank_deficient_{name}", sets[name][: len(part)], part)
        mean, covariance = mean_and_covariance(sets[name])
        yield forward(f"stat/mu_{name}", mean, arrays[f"stat/mu_{name}"], STATISTICS_BOUND)
        yield forward(f"stat/sigma_{name}", covariance, arrays[f"stat/sigma_{name}"], STATISTICS_BOUND)
    for case, (real, fake) in FRECHET_CASES.items():
        got = _fid(sets[real], sets[fake])
        for program, want in arrays.group(f"fid/{case}/").items():
            yield frechet(f"fid/{case}/{program}", got, want)


def _kernel(arrays, sets):
    """Kernel distance of whole sets, without draws; two of its estimates are made of gan_tf's kernel here."""
    one, two = sets["one"].astype(np.float64), sets["two"].astype(np.float64)
    x, y, n = one[:300], two[:300], 300
    xx, yy, xy = cubic_kernel(x, x), cubic_kernel(y, y), cubic_kernel(x, y)
    off_diagonal = sum(kernel.sum() - kernel.trace() for kernel in (xx, yy)) - 2 * (xy.sum() - xy.trace())
    results = {
        "kernel_first4x4": cubic_kernel(one[:4], two[:4]),
        "first300_vs_300/unbiased": squared_mmd(x, y),
        "first300_vs_300/biased": xx.mean() + yy.mean() - 2 * xy.mean(),
        "first300_vs_300/u-statistic": off_diagonal / (n * (n - 1)),
        "full_400_vs_300_unbiased_derived": squared_mmd(one, two),
        "identical_first300_unbiased": squared_mmd(x, x),
    }
    for key, got in results.items():
        yield forward(f"kid/{key}", got, arrays[f"kid/{key}"], BOUND)


def _drawn_subsets(arrays, sets):
    """Kernel distance over subsets. Torch-fidelity draws rows of the first set first, clean-fid of the second one."""
    one, two = sets["one"], sets["two"]
    rows = _torch_fidelity_rows(one, two, *arrays["kid/subset_idx_one"].shape, TORCH_FIDELITY_SEED)
    for side, drawn in zip(("one", "two"), rows, strict=True):
        yield exact(f"kid/subset_idx_{side}", drawn, arrays[f"kid/subset_idx_{side}"])
    per_subset = [squared_mmd(one[a], two[b]) for a, b in zip(*rows, strict=True)]
    yield forward("kid/per_subset_unbiased_f64", per_subset, arrays["kid/per_subset_unbiased_f64"], BOUND)
    for key, want in arrays.items():
        if found := re.fullmatch(r"kid/torch_fidelity_f\d+/subsets(\d+)_size(\d+)(?:_seed(\d+))?_mean_std", key):
            subsets, size, seed = (int(text or TORCH_FIDELITY_SEED) for text in found.groups())
            rows = _torch_fidelity_rows(one, two, subsets, size, seed)
            values = [squared_mmd(one[a], two[b]) for a, b in zip(*rows, strict=True)]
            yield forward(key, [np.mean(values), np.std(values)], want, BOUND)
        elif found := re.fullmatch(r"kid/clean_fid_npseed(\d+)_subsets(\d+)_maxsize(\d+)_f\d+", key):
            yield forward(key, _clean_fid(one, two, *map(int, found.groups())), want, BOUND)


def _stylegan2_ada(arrays, sets):
    """Covariances divided by N; draws as in clean-fid; features and distances rounded to float16."""
    one, two = sets["one"], sets["two"]
    key = "stylegan2ada/sigma_two"
    yield forward(key, mean_and_covariance(two, ddof=0)[1], arrays[key], STATISTICS_BOUND)
    key = "stylegan2ada/fid_one_real_two_gen"
    yield frechet(key, _fid(one, two, ddof=0), arrays[key])
    for key, want in arrays.group("stylegan2ada/kid_").items():
        seed, subsets, largest = map(int, re.fullmatch(r"npseed(\d+)_subsets(\d+)_max(\d+)", key).groups())
        yield forward(f"stylegan2ada/kid_{key}", _clean_fid(one, two, seed, subsets, largest), want, BOUND)
    key = "stylegan2ada/precision_recall_fp16_emulated"
    yield exact(key, np.float32(_float16_precision_recall(one, two)), np.float32(arrays[key]))


def _manifolds(arrays, sets):
    """Precision and recall exactly in float32, and their harmonic mean, which torch-fidelity adds."""
    for case, (real, fake) in MANIFOLD_CASES.items():
        for key, want in arrays.group(f"prc/{case}/").items():
            k = int(re.match(r"k(\d+)/precision_recall_fscore_f\d+", key).group(1))
            precision, recall = precision_recall(sets[real], sets[fake], k)
            name = f"prc/{case}/{key}"
            yield exact(name, np.float32([precision, recall]), np.float32(want[:2]))
            mean = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
            yield forward(f"{name}[2]", mean, want[2], BOUND)
    key = "prc/radius_one_k3"
    yield forward(key, np.sqrt(squared_radii(sets["one"], 3)), arrays[key], BOUND)


def _fid(real, fake, ddof=1):
    return frechet_distance(*mean_and_covariance(real, ddof), *mean_and_covariance(fake, ddof))


def _torch_fidelity_rows(one, two, subsets, size, seed):
    random = np.random.RandomState(seed)
    pairs = [[random.choice(len(side), size, replace=False) for side in (one, two)] for _ in range(subsets)]
    return np.array(pairs).swapaxes(0, 1)


def _clean_fid(one, two, seed, subsets, largest):
    random = np.random.RandomState(seed)
    size = min(len(one), len(two), largest)
    values = []
    for _ in range(subsets):
        second, first = (side[random.choice(len(side), size, replace=False)] for side in (two, one))
        values.append(squared_mmd(first, second))
    return np.mean(values)


def _float16_precision_recall(real, fake, k=3):
    """Precision and recall by full matrices, with features, distances and radii in float16."""
    real, fake = real.astype(np.float16).astype(np.float64), fake.astype(np.float16).astype(np.float64)

    def distances(x, y):
        squares = [np.square(row - y).sum(axis=1) for row in x]
        return np.sqrt(squares).astype(np.float32).astype(np.float16)

    real_radii, fake_radii = (np.sort(distances(side, side), axis=1)[:, k] for side in (real, fake))
    between = distances(fake, real)
    return (between <= real_radii).any(axis=1).mean(), (between <= fake_radii[:, None]).any(axis=0).mean()
