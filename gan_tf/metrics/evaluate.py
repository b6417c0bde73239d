"""Runs metrics on the images of a generator, or on image files.

All metrics on Inception features share one pass over the images; each metric on images makes its own pass over the same
images. Images are not kept: they become features, or the metric reduces them, as they are generated.
"""

import dataclasses
import functools
import importlib.metadata
import time
from typing import NamedTuple

import numpy as np
import PIL
import scipy
import tensorflow as tf

from gan_tf.errors import UsageError
from gan_tf.io.scratch import scratch_array
from gan_tf.metrics import memorisation, ppl
from gan_tf.metrics.definitions import COPIES, FEATURES, FOLDER_METRICS, IMAGES, METRICS, PATHS
from gan_tf.metrics.features import RealFeatures, full_float32
from gan_tf.metrics.image_sets import CHUNK_IMAGES, SEED
from gan_tf.metrics.neighbour_index import NeighbourIndex, pixel_index
from gan_tf.metrics.score import Measurement, Score

TRIAL_IMAGES = 32  # for an estimate of the duration


class Evaluation(NamedTuple):
    """Scores by the requested name, and the panel of the copy check: uint8 [H, W, 3] or None."""

    scores: dict
    panel: np.ndarray | None


class FakeFeatures(NamedTuple):
    """Outputs of Inception for generated images."""

    features: np.ndarray  # [N, F]
    logits: np.ndarray  # [N, 1008]


class Evaluator:
    """Scores generators against one set of real images, which is measured once and kept.

    Args:
        names: of METRICS or, for image files, of FOLDER_METRICS.
        reals: image_sets.RealImages.
        networks: features.Networks.

    Raises:
        UsageError: unknown metric.
    """

    def __init__(self, names, reals, networks):
        for name in names:
            if name not in METRICS and name not in FOLDER_METRICS:
                raise UsageError(f"metric {name!r} is unknown; choose from {', '.join((*METRICS, *FOLDER_METRICS))}")
        self.names, self.reals, self.networks = tuple(names), reals, networks
        self._prepared, self._indexes = {}, []

    @functools.cached_property
    def real_features(self):
        """Features of the reals, computed when a metric first needs them."""
        return RealFeatures(self.reals, self.networks.extractor)

    def load_networks(self):
        """Loads the networks that the metrics need. Raises UsageError if their weights are missing."""
        metrics = [metric_of(name) for name in self.names]
        if any(metric.needs == FEATURES for metric in metrics):
            _ = self.networks.extractor
        if any(metric.uses_lpips for metric in metrics):
            _ = self.networks.lpips

    def __call__(self, sampler, metrics=None, progress=None) -> Evaluation:
        """Scores a sequence of generated images.

        Args:
            sampler: sampler.restart(count) starts a sequence of `count` images; sampler(n) returns the next n, uint8
                [n, R, R, 3]; `source` describes them; `available` is their number, None if unlimited;
                `images_of_latents`, `mapping` and `latent_size` are the arguments of ppl, in w if there is a mapping;
                `images_of_latents` is None if there is no generator.
            metrics: names of the metrics to run; default all.
            progress: called as progress(done, total, verb) during the evaluation; may raise to stop it.

        Raises:
            UsageError: fewer images than a metric needs, or a metric of generators for image files.
            ValueError: `sampler` returned another number of images, or another size than the reals.
        """
        progress = progress or (lambda done, total, verb: None)
        names = self.names if metrics is None else tuple(metrics)
        counts = {name: self.image_count(name, sampler) for name in names}
        inputs = (FEATURES, IMAGES, PATHS, COPIES)
        by_input = {needs: [name for name in names if metric_of(name).needs == needs] for needs in inputs}
        check = None
        if by_input[COPIES]:
            count = max(counts[name] for name in by_input[COPIES])
            check = memorisation.CopyCheck(self._training_indexes(bool(by_input[FEATURES]), progress), count)
        measured = {}
        if by_input[FEATURES]:
            measured |= self._measure_features(sampler, by_input[FEATURES], counts, check, progress)
        for name in by_input[IMAGES]:
            measured[name] = self._measure_images(sampler, name, counts[name], check, progress)
        for name in by_input[PATHS]:
            measured[name] = self._measure_paths(sampler, counts[name], progress)
        panel = None
        if check:
            copies = self._finish(check, sampler, progress)
            panel = memorisation.draw_panel(copies.pairs, self.reals.images)
            protocol = self.networks.extractor.protocol if by_input[FEATURES] else {}
            measured |= {name: measurement_of_copies(copies, protocol) for name in by_input[COPIES]}
        return Evaluation({name: self._score(name, measured[name], counts[name], sampler) for name in names}, panel)

    def image_count(self, name, sampler):
        """Returns the number of generated images for a metric. Raises UsageError if it cannot be measured."""
        metric, available = metric_of(name), sampler.available
        for count, source in ((available, sampler.source), (len(self.reals.images), self.reals.source)):
            if count is not None and count < metric.least:
                raise UsageError(f"metric {name!r} needs at least {metric.least} images, but {source} has {count}")
        if name in FOLDER_METRICS:
            if available is None:
                raise UsageError(f"metric {name!r} takes all images of a folder; give {FOLDER_METRICS[name]} for a run")
            return available
        if metric.needs == PATHS and sampler.images_of_latents is None:
            raise UsageError(f"metric {name!r} needs a generator; give a run, not image files")
        if available is None or available >= metric.fakes or metric.needs == IMAGES and metric.repeats:
            return metric.fakes
        family = name.rstrip("0123456789k")
        if family != name:
            remedy = f"metric {family}, which takes all of them"
            raise UsageError(
                f"metric {name} takes {metric.fakes} images, but {sampler.source} has {available}; give {remedy}"
            )
        return available

    def expected_seconds(self, sampler, name):
        """Estimates the duration of a metric on features or images from a few fakes, without the real images."""
        metric = metric_of(name)
        if metric.needs != FEATURES:
            reals = self._prepare(metric, self.reals.images[:TRIAL_IMAGES], TRIAL_IMAGES)

        def trial():
            chunks = self._chunks(sampler, TRIAL_IMAGES)
            if metric.needs == FEATURES:
                for _ in self.networks.extractor.stream(chunks):
                    pass
            else:
                metric.measure(reals, chunks)

        trial()  # traces the networks
        started = time.monotonic()
        trial()
        return (time.monotonic() - started) * metric.fakes / TRIAL_IMAGES

    def _training_indexes(self, with_features, progress):
        """Returns the indexes of the copy check: of pixels, and of Inception features if those are computed anyway."""
        if not self._indexes:
            self._indexes.append(pixel_index(self.reals.images, self.reals.mirror, SEED))
        if with_features and len(self._indexes) == 1:
            vectors = self.real_features.training_images(progress)
            self._indexes.append(NeighbourIndex(vectors, len(self.reals.images), "inception", SEED))
        return self._indexes[: 1 + with_features]

    def _measure_features(self, sampler, names, counts, check, progress):
        """Computes the features of the fakes, and all metrics on them: {name: Measurement}."""
        if check or not all(metric_of(name).fakes_only for name in names):
            self.real_features.compute(progress)
        count = max(check.missing if check else 0, *(counts[name] for name in names))
        logits_count = max(counts[name] if metric_of(name).fakes_only else 0 for name in names)  # Inception Score
        all_features = all_logits = None
        done = 0
        for images, features, logits in self.networks.extractor.stream(self._chunks(sampler, count)):
            if all_features is None:
                all_features = scratch_array((count, features.shape[1]))
                all_logits = scratch_array((logits_count, logits.shape[1]))
            rows = slice(done, done + len(images))
            all_features[rows] = features
            all_logits[rows] = logits[: max(0, logits_count - done)]
            if check:
                check.add(images, *[features][: len(check.indexes) - 1])
            done = rows.stop
            progress(done, count, "fakes measured")
        measured = {}
        for name in names:
            fake = FakeFeatures(all_features[: counts[name]], all_logits[: counts[name]])
            measured[name] = metric_of(name).measure(self.real_features, fake)
        return measured

    def _measure_images(self, sampler, name, count, check, progress):
        """Runs a metric on images in one pass, which the copy check shares if it is long enough."""
        metric = metric_of(name)
        if (name, count) not in self._prepared:
            self._prepared[name, count] = self._prepare(metric, self.reals.images, count)
        shared = check and count >= check.missing

        def chunks():
            for images in self._chunks(sampler, count, progress, f"fakes measured for {name}"):
                if shared:
                    check.add(images)
                yield images

        with full_float32():
            return metric.measure(self._prepared[name, count], chunks())

    def _prepare(self, metric, images, count):
        return metric.prepare(images, count, SEED, *([self.networks.lpips] if metric.uses_lpips else []))

    def _measure_paths(self, sampler, count, progress):
        """Measures the perceptual path length."""
        lpips = self.networks.lpips
        with full_float32():
            mean, error = ppl.perceptual_path_length(
                sampler.images_of_latents,
                lpips,
                sampler.latent_size,
                count,
                mapping=sampler.mapping,
                seed=SEED,
                on_batch=lambda done: progress(done, count, "steps measured for ppl"),
            )
        protocol = {"epsilon": ppl.EPSILON, "latents": "w" if sampler.mapping else "z", "seed": SEED, **lpips.protocol}
        return Measurement(mean, {"standard_error": error}, protocol)

    def _finish(self, check, sampler, progress):
        """Returns the result of the copy check; generates the images that no other pass gave to it."""
        if check.missing:
            for images in self._chunks(sampler, check.missing, progress, "fakes compared with the reals"):
                check.add(images)
        copies = check.result()
        if self.networks.has_lpips:
            pairs = memorisation.with_lpips(copies.pairs, self.reals.images, self.networks.lpips)
            copies = dataclasses.replace(copies, pairs=pairs)
        return copies

    def _chunks(self, sampler, count, progress=None, verb=None):
        """Yields `count` generated images in chunks."""
        sampler.restart(count)
        for first in range(0, count, CHUNK_IMAGES):
            images = sampler(min(CHUNK_IMAGES, count - first))
            shape = (min(CHUNK_IMAGES, count - first), *self.reals.images.shape[1:])
            if (images.dtype, images.shape) != (np.uint8, shape):
                raise ValueError(f"fakes must be uint8 {shape}, got {images.dtype} {images.shape}")
            yield images
            if progress:
                progress(first + len(images), count, verb)

    def _score(self, name, measured, count, sampler):
        metric = metric_of(name)
        protocol = {**self.reals.protocol, "fakes": count, "fakes_source": sampler.source, **measured.protocol}
        full_name = f"{name}{count}" if name in FOLDER_METRICS else name
        if metric.needs == FEATURES:
            tag = self.networks.extractor.name
            full_name += tag if tag.startswith("-") else ""
            protocol |= self.networks.extractor.protocol
        protocol["versions"] = package_versions()
        return Score(full_name, measured.value, metric.lower_is_better, protocol, measured.parts)


def metric_of(name):
    """Returns the Metric of a name in METRICS or FOLDER_METRICS."""
    return METRICS[FOLDER_METRICS.get(name, name)]


def measurement_of_copies(copies, protocol):
    """Returns the Measurement of a copy check; `protocol` is that of the features it used."""
    parts = {"median_ratio": copies.median_ratio}
    if copies.expected is not None:
        parts["share_among_reals"] = copies.expected
    if copies.pairs[0].lpips is not None:
        parts["lpips_of_the_closest"] = min(pair.lpips for pair in copies.pairs)
    return Measurement(copies.share, parts, {**copies.protocol, **protocol})


@functools.cache
def package_versions():
    """Returns {package: version} for the packages that a score depends on."""
    versions = {"gan_tf": importlib.metadata.version("gan_tf"), "tensorflow": tf.__version__}
    return versions | {"numpy": np.__version__, "scipy": scipy.__version__, "pillow": PIL.__version__}
