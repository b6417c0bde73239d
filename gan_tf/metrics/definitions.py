"""The table of metrics, `METRICS`. A number in a name fixes the number of images: `fid5k` takes 5,000.

To add a metric, write its function and an entry here; `evaluate.Evaluator` runs it.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from gan_tf.errors import UsageError
from gan_tf.metrics import diversity, feature_metrics, swd
from gan_tf.metrics.image_sets import SEED
from gan_tf.metrics.memorisation import COPY_CHECK
from gan_tf.metrics.neighbour_index import SIDE, pixel_vectors
from gan_tf.metrics.score import Measurement

# The input of a metric, which determines how it is called; that of the copy check is its name, COPY_CHECK.
FEATURES = "features"  # measure(features.RealFeatures, features of the fakes [N, F]) -> Measurement
IMAGES = "images"  # prepare(images uint8 [N, H, W, 3], count) -> reals; measure(reals, chunks) -> Measurement
PATHS = "paths"  # perceptual path length, which needs a generator
INCEPTION, LITE2 = "inception", "lite2"  # networks of features; the names of metrics on Lite2 end in "-lite2"

KID_SUBSETS = 100
KID_SUBSET_ROWS = 1000  # fewer if a set is smaller
IS_SPLITS = 10


class Metric(NamedTuple):
    """A metric and the settings that its name fixes."""

    fakes: int  # number of generated images
    lower_is_better: bool
    needs: str  # one of these four inputs
    measure: Callable | None = None
    prepare: Callable | None = None
    least: int = 2  # real images, and generated ones, that it needs
    repeats: bool = False  # generated image files are repeated if there are fewer than `fakes`
    uses_lpips: bool = False  # needs LPIPS; `prepare` has it as a third argument
    on_logits: bool = False  # takes the logits of the fakes instead of their features, and no reals
    network: str = INCEPTION  # of the features


def fid(reals, fakes):
    """Fréchet distance between all reals and the fakes."""
    distance = feature_metrics.frechet_distance(*reals.moments, *feature_metrics.mean_and_covariance(fakes))
    return Measurement(distance, {}, {"covariance": "over N - 1"})


def kid(reals, fakes):
    """Kernel distance, the mean over random subsets."""
    features = reals.compute()
    rows = min(len(features), len(fakes), KID_SUBSET_ROWS)
    mean, std, error = feature_metrics.kernel_distance(features, fakes, KID_SUBSETS, rows, SEED)
    parts = {"standard_error": error, "std": std}
    if rows == len(features) == len(fakes):
        parts = {}  # every subset is the whole set, so both are 0
    return Measurement(mean, parts, {"subsets": KID_SUBSETS, "subset_size": rows, "seed": SEED})


def precision_and_recall(reals, fakes):
    """The harmonic mean of precision and recall, since each alone is easy to maximise."""
    return harmonic_mean(*feature_metrics.precision_recall(reals.compute(), fakes, k=3), {"k": 3})


def prepare_pixels(real_images, count):
    """Returns the pixel vectors of all real images, whatever the number of fakes."""
    return pixel_vectors(real_images)


def pixel_precision_and_recall(reals, chunks):
    """Precision and recall without a network: Euclidean distances of the copy check's pixel vectors.

    Precision is the share of the fakes within the radius of a real image, recall the share of the real images within
    the radius of a fake. The radius of an image is the distance to the third nearest other image of the same set: all
    real images, without mirrored copies, or all fakes. Pixel vectors have neither mean colour nor contrast.
    """
    fakes = np.concatenate([pixel_vectors(chunk) for chunk in chunks])
    return harmonic_mean(*feature_metrics.precision_recall(reals, fakes, k=3), {"k": 3, "space": f"pixels{SIDE}"})


def harmonic_mean(precision, recall, protocol):
    """Returns the Measurement of precision and recall, ranked by their harmonic mean."""
    mean = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return Measurement(mean, {"precision": precision, "recall": recall}, protocol)


def density_and_coverage(reals, fakes):
    """Coverage is the ranked value, since density has no upper bound."""
    density, coverage = feature_metrics.density_coverage(reals.compute(), fakes, k=5)
    return Measurement(coverage, {"density": density}, {"k": 5})


def inception_score(reals, logits):
    """Inception Score of the fakes; the reals are not used."""
    mean, std = feature_metrics.inception_score(logits, IS_SPLITS)
    return Measurement(mean, {"std": std}, {"splits": IS_SPLITS, "logits": "without bias"})


METRICS = {
    "fid5k": Metric(5_000, True, FEATURES, fid),
    "fid10k": Metric(10_000, True, FEATURES, fid),
    "fid50k": Metric(50_000, True, FEATURES, fid),
    "kid5k": Metric(5_000, True, FEATURES, kid),
    "kid50k": Metric(50_000, True, FEATURES, kid),
    "precision_recall": Metric(5_000, False, FEATURES, precision_and_recall, least=4),
    "precision_recall50k": Metric(50_000, False, FEATURES, precision_and_recall, least=4),
    "precision_recall-pixels": Metric(500, False, IMAGES, pixel_precision_and_recall, prepare_pixels, least=4),
    "density_coverage": Metric(5_000, False, FEATURES, density_and_coverage, least=6),
    "density_coverage50k": Metric(50_000, False, FEATURES, density_and_coverage, least=6),
    "fd5k-lite2": Metric(5_000, True, FEATURES, fid, network=LITE2),
    "kid5k-lite2": Metric(5_000, True, FEATURES, kid, network=LITE2),
    "precision_recall-lite2": Metric(5_000, False, FEATURES, precision_and_recall, least=4, network=LITE2),
    "density_coverage-lite2": Metric(5_000, False, FEATURES, density_and_coverage, least=6, network=LITE2),
    "is": Metric(5_000, False, FEATURES, inception_score, least=IS_SPLITS, on_logits=True),
    "is50k": Metric(50_000, False, FEATURES, inception_score, least=IS_SPLITS, on_logits=True),
    "swd2k": Metric(2_000, True, IMAGES, swd.measure, swd.prepare, repeats=True),
    "swd10k": Metric(10_000, True, IMAGES, swd.measure, swd.prepare, repeats=True),
    "ms_ssim": Metric(5_000, True, IMAGES, diversity.measure_ms_ssim, diversity.prepare_ms_ssim, repeats=True),
    "lpips_diversity": Metric(2_000, False, IMAGES, diversity.measure_lpips, diversity.prepare_lpips, uses_lpips=True),
    "ppl": Metric(5_000, True, PATHS, uses_lpips=True),
    "ppl50k": Metric(50_000, True, PATHS, uses_lpips=True),
    COPY_CHECK: Metric(1_000, True, COPY_CHECK),
}
# The same, of all images of a folder.
FOLDER_METRICS = {"fid": "fid5k", "kid": "kid5k", "swd": "swd2k", "fd-lite2": "fd5k-lite2", "kid-lite2": "kid5k-lite2"}


def metric_of(name) -> Metric:
    """Returns the metric of a name in METRICS or FOLDER_METRICS. Raises UsageError for any other."""
    if name not in METRICS and name not in FOLDER_METRICS:
        raise UsageError(f"--metrics: {name!r} is unknown; choose from {', '.join((*METRICS, *FOLDER_METRICS))}")
    return METRICS[FOLDER_METRICS.get(name, name)]


def warn_of_relatives(names, config, log):
    """Logs a warning if metrics use a network that is related to the one that a run was trained on."""
    if config.is_projected and (related := [name for name in names if metric_of(name).network == LITE2]):
        log(
            f"warning: {', '.join(related)} may be too good: this run was trained on features of EfficientNet-Lite0, "
            "which is similar to EfficientNet-Lite2"
        )


def family_of(metric: str) -> str:
    """Returns the name of a metric without its number of images: "fid" for "fid5k", "fd-lite2" for "fd5k-lite2"."""
    return re.sub(r"\d+k(?=-|$)", "", metric)


def default_metric(reals: int, network: str | None = INCEPTION) -> str:
    """Returns the metric that selects the best weights of a run, by the number of its real images and the network."""
    if network == INCEPTION:
        return "fid5k" if reals < 1000 else "fid10k"
    return "fd5k-lite2" if network else "swd2k"


def final_metric(metric: str, reals: int) -> str | None:
    """Returns the metric of the final score of a run, as in papers: 5,000 fakes below 1,000 reals, else 50,000.

    `metric` selects the best weights. None if it is not on features. Those on Lite2, which no paper has, stay the same.
    """
    family = family_of(metric)
    if metric_of(metric).network == LITE2:
        return metric
    return f"{family}{'5k' if reals < 1000 else '50k'}" if family in ("fid", "kid") else None
