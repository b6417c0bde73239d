"""The table of metrics, `METRICS`: a number in a name fixes the number of images.

To add a metric, write a file with its maths and an entry here; `evaluate.Evaluator` runs it.
"""

from collections.abc import Callable
from typing import NamedTuple

from gan_tf.metrics import inception_metrics, lpips_diversity, msssim, precision_recall, swd
from gan_tf.metrics.image_sets import SEED
from gan_tf.metrics.score import Measurement

# The input of a metric, which decides how it is called:
FEATURES = "features"  # measure(features.RealFeatures, evaluate.FakeFeatures) -> Measurement
IMAGES = "images"  # prepare(images uint8 [N, R, R, 3], count, seed) -> reals; measure(reals, chunks) -> Measurement
PATHS = "paths"  # perceptual path length, which needs a generator
COPIES = "copies"  # copy check

KID_SUBSETS = 100
KID_SUBSET_ROWS = 1000  # fewer if a set is smaller
IS_SPLITS = 10


class Metric(NamedTuple):
    """A metric and the settings that its name fixes.

    fakes: number of generated images. needs: one of the four inputs above. least: images that either side needs.
    repeats: image files are repeated if there are fewer. uses_lpips: needs LPIPS, an additional argument of `prepare`.
    fakes_only: ignores the real images.
    """

    fakes: int
    lower_is_better: bool
    needs: str
    measure: Callable | None = None
    prepare: Callable | None = None
    least: int = 2
    repeats: bool = False
    uses_lpips: bool = False
    fakes_only: bool = False


def fid(real, fake):
    """Fréchet distance between all reals and the fakes."""
    distance = inception_metrics.frechet_distance(*real.moments, *inception_metrics.mean_and_covariance(fake.features))
    return Measurement(distance, {}, {"covariance": "over N - 1"})


def kid(real, fake):
    """Kernel distance, the mean over subsets."""
    rows = min(len(real.features), len(fake.features), KID_SUBSET_ROWS)
    mean, std, error = inception_metrics.kernel_distance(real.features, fake.features, KID_SUBSETS, rows, SEED)
    parts = {"standard_error": error, "std": std}
    if rows == len(real.features) == len(fake.features):
        parts = {}  # every subset is the whole set, so the deviation is 0
    return Measurement(mean, parts, {"subsets": KID_SUBSETS, "subset_size": rows, "seed": SEED})


def precision_and_recall(real, fake):
    """The harmonic mean of precision and recall, since each alone is easy to maximise."""
    precision, recall = precision_recall.precision_recall(real.features, fake.features, k=3)
    mean = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return Measurement(mean, {"precision": precision, "recall": recall}, {"k": 3})


def density_and_coverage(real, fake):
    """Coverage is the ranked value, since density has no upper bound."""
    density, coverage = precision_recall.density_coverage(real.features, fake.features, k=5)
    return Measurement(coverage, {"density": density}, {"k": 5})


def inception_score(real, fake):
    """Inception Score of the fakes."""
    mean, std = inception_metrics.inception_score(fake.logits, IS_SPLITS)
    return Measurement(mean, {"std": std}, {"splits": IS_SPLITS, "logits": "without bias"})


METRICS = {
    "fid5k": Metric(5_000, True, FEATURES, fid),
    "fid10k": Metric(10_000, True, FEATURES, fid),
    "fid50k": Metric(50_000, True, FEATURES, fid),
    "kid5k": Metric(5_000, True, FEATURES, kid),
    "kid50k": Metric(50_000, True, FEATURES, kid),
    "precision_recall": Metric(5_000, False, FEATURES, precision_and_recall, least=4),
    "precision_recall50k": Metric(50_000, False, FEATURES, precision_and_recall, least=4),
    "density_coverage": Metric(5_000, False, FEATURES, density_and_coverage, least=6),
    "density_coverage50k": Metric(50_000, False, FEATURES, density_and_coverage, least=6),
    "is": Metric(5_000, False, FEATURES, inception_score, least=IS_SPLITS, fakes_only=True),
    "is50k": Metric(50_000, False, FEATURES, inception_score, least=IS_SPLITS, fakes_only=True),
    "swd2k": Metric(2_000, True, IMAGES, swd.measure, swd.prepare, repeats=True),
    "swd10k": Metric(10_000, True, IMAGES, swd.measure, swd.prepare, repeats=True),
    "ms_ssim": Metric(5_000, True, IMAGES, msssim.measure, msssim.prepare, repeats=True),
    "lpips_diversity": Metric(2_000, False, IMAGES, lpips_diversity.measure, lpips_diversity.prepare, uses_lpips=True),
    "ppl": Metric(5_000, True, PATHS, uses_lpips=True),
    "ppl50k": Metric(50_000, True, PATHS, uses_lpips=True),
    "memorisation": Metric(1_000, True, COPIES),
}
FOLDER_METRICS = {"fid": "fid5k", "kid": "kid5k", "swd": "swd2k"}  # names without a number: all images of a folder


def default_metric(reals: int) -> str:
    """Returns the metric that selects the best weights of a run, by the number of its real images."""
    return "fid5k" if reals < 1000 else "fid10k"


def final_metric(metric: str, reals: int) -> str | None:
    """Returns the metric for the end of a run, as in papers: 5,000 fakes below 1,000 reals, else 50,000.

    None if the selection metric is neither FID nor KID.
    """
    family = metric.rstrip("0123456789k")
    return f"{family}{'5k' if reals < 1000 else '50k'}" if family in ("fid", "kid") else None
