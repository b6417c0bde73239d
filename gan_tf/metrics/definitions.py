"""What can be measured. `METRICS` maps a name to a `Metric`; a number in the name fixes the number of images.

A metric is one file of NumPy maths, a few lines here that call it, and an entry. `evaluate.Evaluator` runs them.
"""

from collections.abc import Callable
from typing import NamedTuple

from gan_tf.metrics import fid, inception_score, kid, lpips_diversity, msssim, precision_recall, swd

# What a metric is measured on, and with that how it is called:
FEATURES = "features"  # measure(reals.RealFeatures, fakes.FakeFeatures, seed) -> Measured
IMAGES = "images"  # prepare(reals uint8 [N, R, R, 3], fakes, seed, networks) -> side; measure(side, chunks) -> Measured
PATHS = "paths"  # steps through a generator's latents; called by evaluate.Evaluator
COPIES = "copies"  # each fake's nearest training image; called by evaluate.Evaluator

SEED = 0  # of a measurement's own random choices: the same for all runs, so that their scores are comparable
KID_SUBSETS = 100
IS_SPLITS = 10


class Measured(NamedTuple):
    """What a measurement gives: the value that is ranked, further numbers, and what it was measured with."""

    value: float
    parts: dict
    protocol: dict


class Metric(NamedTuple):
    """A score and what its name fixes.

    fakes: number of images. needs: one of the four above. least: images that either side must have.
    repeats: fewer image files are gone through several times. perceptual: looks through LPIPS. alone: looks at the
    fakes alone.
    """

    fakes: int
    lower_is_better: bool
    needs: str
    measure: Callable | None = None
    prepare: Callable | None = None
    least: int = 2
    repeats: bool = False
    perceptual: bool = False
    alone: bool = False


def fid_of(real, fake, seed):
    """Fréchet distance between all reals and the fakes."""
    sides = [(moments.mean, moments.covariance()) for moments in (real.moments, fake.moments)]
    return Measured(fid.frechet_distance(*sides[0], *sides[1]), {}, {"covariance": "over N - 1"})


def kid_of(real, fake, seed):
    """Kernel distance, the mean over subsets."""
    size = kid.default_subset_size(len(real.features), len(fake.features))
    got = kid.kernel_distance(real.features, fake.features, KID_SUBSETS, size, seed)
    parts = {"standard_error": got.standard_error, "std": got.std}
    if size == len(real.features) == len(fake.features):
        parts = {}  # every subset is the whole set, and a spread of 0 would say nothing
    return Measured(got.mean, parts, {"subsets": KID_SUBSETS, "subset_size": size, "seed": seed})


def precision_recall_of(real, fake, seed):
    """Their harmonic mean is what is ranked: each alone is easy to win."""
    precision, recall = precision_recall.precision_recall(real.features, fake.features, k=3)
    both = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return Measured(both, {"precision": precision, "recall": recall}, {"k": 3})


def density_coverage_of(real, fake, seed):
    """Coverage is what is ranked: density has no upper bound."""
    density, coverage = precision_recall.density_coverage(real.features, fake.features, k=5)
    return Measured(coverage, {"density": density}, {"k": 5})


def inception_score_of(real, fake, seed):
    """Looks at the fakes alone."""
    mean, std = inception_score.inception_score(fake.logits, IS_SPLITS)
    return Measured(mean, {"std": std}, {"splits": IS_SPLITS, "logits": "without bias"})


def prepare_swd(reals, fakes, seed, networks):
    """Projections of the reals."""
    return swd.prepare(reals, fakes, seed)


def swd_of(side, chunks):
    """Distance per level, and their mean."""
    levels = swd.scores(side, chunks)
    return Measured(levels.pop("mean"), {f"level {size}": value for size, value in levels.items()}, side.protocol)


def prepare_similarity(reals, fakes, seed, networks):
    """How alike pairs of reals are."""
    return msssim.prepare(reals, fakes, seed)


def similarity_of(side, chunks):
    """How far pairs of fakes are from being as alike as pairs of reals; `difference` says in which direction."""
    found = msssim.scores(side, chunks)
    return Measured(abs(found["difference"]), found, side.protocol)


def prepare_diversity(reals, fakes, seed, networks):
    """How different pairs of reals are."""
    own = lpips_diversity.lpips_diversity(lpips_diversity.shuffled(reals, fakes, seed), networks.lpips)
    return own, networks.lpips


def diversity_of(side, chunks):
    """How different pairs of fakes are."""
    own, lpips = side
    found = lpips_diversity.lpips_diversity(chunks, lpips)
    parts = {"standard_error": found.standard_error, "reals": own.mean}
    return Measured(found.mean, parts, {"pairs": found.pairs, **lpips.protocol})


METRICS = {
    "fid5k": Metric(5_000, True, FEATURES, fid_of),
    "fid10k": Metric(10_000, True, FEATURES, fid_of),
    "fid50k": Metric(50_000, True, FEATURES, fid_of),
    "kid5k": Metric(5_000, True, FEATURES, kid_of),
    "kid50k": Metric(50_000, True, FEATURES, kid_of),
    "precision_recall": Metric(5_000, False, FEATURES, precision_recall_of, least=4),
    "precision_recall50k": Metric(50_000, False, FEATURES, precision_recall_of, least=4),
    "density_coverage": Metric(5_000, False, FEATURES, density_coverage_of, least=6),
    "density_coverage50k": Metric(50_000, False, FEATURES, density_coverage_of, least=6),
    "is": Metric(5_000, False, FEATURES, inception_score_of, least=IS_SPLITS, alone=True),
    "is50k": Metric(50_000, False, FEATURES, inception_score_of, least=IS_SPLITS, alone=True),
    "swd2k": Metric(2_000, True, IMAGES, swd_of, prepare_swd, repeats=True),
    "swd10k": Metric(10_000, True, IMAGES, swd_of, prepare_swd, repeats=True),
    "ms_ssim": Metric(5_000, True, IMAGES, similarity_of, prepare_similarity, repeats=True),
    "lpips_diversity": Metric(2_000, False, IMAGES, diversity_of, prepare_diversity, perceptual=True),
    "ppl": Metric(5_000, True, PATHS, perceptual=True),
    "ppl50k": Metric(50_000, True, PATHS, perceptual=True),
    "memorisation": Metric(1_000, True, COPIES),
}
ALL_OF_A_SET = {"fid": "fid5k", "kid": "kid5k", "swd": "swd2k"}  # names without a number: all images of a folder


def default_metric(reals: int) -> str:
    """The score that picks the best weights of a run, by the number of its images."""
    return "fid5k" if reals < 1000 else "fid10k"


def final_metric(gate: str, reals: int) -> str | None:
    """The papers' score at the end of a run: of 5,000 fakes below 1,000 reals, else of 50,000. None after SWD."""
    family = gate.rstrip("0123456789k")
    return f"{family}{'5k' if reals < 1000 else '50k'}" if family in ("fid", "kid") else None
