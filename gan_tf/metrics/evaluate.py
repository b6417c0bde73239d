"""Runs metrics on the images of a generator, or on image files.

All metrics on features of one network share a pass over the generated images; each metric on images makes its own pass
over the same images. Images are not kept: they are reduced to features or other numbers as they are generated.
"""

import time
from typing import NamedTuple

import numpy as np
import PIL
import scipy
import tensorflow as tf

import gan_tf
from gan_tf.errors import UsageError
from gan_tf.io import image_files
from gan_tf.io.arrays import scratch_array
from gan_tf.metrics import memorisation, ppl
from gan_tf.metrics.definitions import (
    COPY_CHECK,
    FEATURES,
    FOLDER_METRICS,
    IMAGES,
    INCEPTION,
    PATHS,
    family_of,
    metric_of,
)
from gan_tf.metrics.features import RealFeatures, full_float32
from gan_tf.metrics.image_sets import CHUNK_IMAGES, SEED, RgbImages
from gan_tf.metrics.neighbour_index import NeighbourIndex, pixel_index
from gan_tf.metrics.score import Measurement, Score
from gan_tf.ops.pixels import float_rgb

TRIAL_IMAGES = 32  # that an estimate of the duration measures
VERSIONS = {"gan_tf": gan_tf.__version__, "tensorflow": tf.__version__, "numpy": np.__version__}
VERSIONS |= {"scipy": scipy.__version__, "pillow": PIL.__version__}  # of the packages that a score depends on


class Evaluation(NamedTuple):
    """Scores by the requested name, and the panel of the copy check: uint8 [H, W, 3] or None."""

    scores: dict
    panel: np.ndarray | None


class Evaluator:
    """Scores generators against one set of real images, whose features and statistics are computed once and kept.

    Args:
        names: of metrics in METRICS or, for image files, in FOLDER_METRICS.
        reals: image_sets.RealImages.
        networks: features.Networks.

    Raises:
        UsageError: unknown metric.
    """

    def __init__(self, names, reals, networks):
        self.names, self.reals, self.networks = tuple(names), reals, networks
        self._metrics = [metric_of(name) for name in names]
        self._prepared, self._indexes = {}, []
        self._real_features = {}  # by network

    def real_features(self, network):
        """Returns the RealFeatures of a network, which computes them when a metric first needs them."""
        if network not in self._real_features:
            self._real_features[network] = RealFeatures(self.reals, self.networks.extractor_of(network))
        return self._real_features[network]

    def load_networks(self):
        """Loads the networks that the metrics need. Raises UsageError if their weights are missing."""
        for metric in self._metrics:
            if metric.needs == FEATURES:
                self.networks.extractor_of(metric.network)
        if any(metric.uses_lpips for metric in self._metrics):
            _ = self.networks.lpips

    def __call__(self, sampler, metrics=None, progress=None) -> Evaluation:
        """Scores a sequence of generated images.

        Args:
            sampler: sampler.restart(count) starts a sequence of `count` images; sampler(n) returns the next n, uint8
                [n, H, W, C]; `source` describes them; `available` is their number, None if unlimited. For
                `images_of_latents`, `mapping` and `latent_size` see `ppl`; without a generator `images_of_latents` is
                None.
            metrics: names of the metrics to run; default all.
            progress: called as progress(done, total, verb) during the evaluation; may raise to stop it.

        Raises:
            UsageError: fewer images than a metric needs, or a metric of generators for image files.
            ValueError: `sampler` returned another number of images, or another size than the reals.
        """
        progress = progress or (lambda done, total, verb: None)
        names = self.names if metrics is None else tuple(metrics)
        counts = {name: self.image_count(name, sampler) for name in names}
        needs = {name: metric_of(name).needs for name in names}
        on_features = {}  # names by network
        for name in names:
            if needs[name] == FEATURES:
                on_features.setdefault(metric_of(name).network, []).append(name)
        measured, check, panel = {}, None, None
        if COPY_CHECK in names:
            indexes = self._training_indexes(INCEPTION in on_features, progress)
            check = memorisation.CopyCheck(indexes, counts[COPY_CHECK])
        for network, group in on_features.items():
            shared = check if network == INCEPTION or INCEPTION not in on_features else None
            measured |= self._measure_features(network, sampler, group, counts, shared, progress)
        for name in names:
            if needs[name] == IMAGES:
                measured[name] = self._measure_images(sampler, name, counts[name], check, progress)
            elif needs[name] == PATHS:
                measured[name] = self._measure_paths(sampler, counts[name], progress)
        if check:
            measured[COPY_CHECK], panel = self._finish_copy_check(check, sampler, progress)
        return Evaluation({name: self._score(name, measured[name], counts[name], sampler) for name in names}, panel)

    def image_count(self, name, sampler):
        """Returns the number of generated images for a metric. Raises UsageError if it cannot be computed."""
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
        if (family := family_of(name)) != name:
            raise UsageError(
                f"metric {name} takes {metric.fakes} images, but {sampler.source} has {available}; give metric "
                f"{family}, which takes all of them"
            )
        return available

    def expected_seconds(self, sampler, name):
        """Estimates the seconds that a metric on features or images takes, from a few fakes; reals are not included."""
        metric = metric_of(name)
        if metric.needs != FEATURES:
            reals = self._prepare(metric, np.asarray(self.reals.images[:TRIAL_IMAGES]), TRIAL_IMAGES)
        for _round in range(2):  # the first one traces the networks
            started = time.monotonic()
            chunks = self._chunks(sampler, TRIAL_IMAGES)
            if metric.needs == FEATURES:
                for _ in self.networks.extractor_of(metric.network).stream(chunks):
                    pass
            else:
                metric.measure(reals, map(image_files.as_rgb, chunks))
        return (time.monotonic() - started) * metric.fakes / TRIAL_IMAGES

    def _training_indexes(self, with_features, progress):
        """Returns the indexes of the copy check: of pixels, and of Inception features if those are computed anyway."""
        if not self._indexes:
            self._indexes.append(pixel_index(self.reals.images, self.reals.mirror))
        if with_features and len(self._indexes) == 1:
            vectors = self.real_features(INCEPTION).training_images(progress)
            self._indexes.append(NeighbourIndex(vectors, len(self.reals.images), "inception"))
        return self._indexes if with_features else self._indexes[:1]

    def _measure_features(self, network, sampler, names, counts, check, progress):
        """Computes the features of the fakes, and all metrics on them: {name: Measurement}."""
        real_features, extractor = self.real_features(network), self.networks.extractor_of(network)
        if check or not all(metric_of(name).on_logits for name in names):
            real_features.compute(progress)
        count = max(check.missing if check else 0, *(counts[name] for name in names))
        logits_count = max(counts[name] if metric_of(name).on_logits else 0 for name in names)
        all_features, done = None, 0
        for images, features, logits in extractor.stream(self._chunks(sampler, count)):
            if all_features is None:
                all_features = scratch_array((count, features.shape[1]))
                all_logits = scratch_array((logits_count, logits.shape[1]))
            rows = slice(done, done + len(images))
            all_features[rows] = features
            all_logits[rows] = logits[: max(0, logits_count - done)]
            if check:
                check.add(images, *([features] if len(check.indexes) > 1 else []))
            done = rows.stop
            progress(done, count, "fakes measured")
        measured = {}
        for name in names:
            metric = metric_of(name)
            rows = all_logits if metric.on_logits else all_features
            measured[name] = metric.measure(real_features, rows[: counts[name]])
        return measured

    def _measure_images(self, sampler, name, count, check, progress):
        """Runs a metric on images in one pass, which the copy check shares if it is long enough."""
        metric = metric_of(name)
        if (name, count) not in self._prepared:
            self._prepared[name, count] = self._prepare(metric, self.reals.images, count)
        shared_check = check if check and count >= check.missing else None
        with full_float32():
            chunks = self._chunks(sampler, count, progress, f"fakes measured for {name}", shared_check)
            return metric.measure(self._prepared[name, count], map(image_files.as_rgb, chunks))

    def _prepare(self, metric, images, count):
        images = images if images.shape[3] == 3 else RgbImages(images)
        return metric.prepare(images, count, *([self.networks.lpips] if metric.uses_lpips else []))

    def _measure_paths(self, sampler, count, progress):
        """Measures the perceptual path length."""
        lpips = self.networks.lpips

        def distance(a, b):
            return lpips(float_rgb(a), float_rgb(b))

        with full_float32():
            mean, error = ppl.perceptual_path_length(
                sampler, distance, count, lambda done: progress(done, count, "steps measured for ppl")
            )
        protocol = {"epsilon": ppl.EPSILON, "latents": "w" if sampler.mapping else "z", "seed": SEED, **lpips.protocol}
        return Measurement(mean, {"standard_error": error}, protocol)

    def _finish_copy_check(self, check, sampler, progress):
        """Generates the images that no other pass gave to the check. Returns its Measurement and its panel."""
        if check.missing:
            for _ in self._chunks(sampler, check.missing, progress, "fakes compared with the reals", check):
                pass
        copies, reals = check.result(), self.reals.images
        if self.networks.has_lpips:
            distances = memorisation.lpips_of_pairs(check.pairs, reals, self.networks.lpips)
            copies.parts["lpips_of_the_closest"] = float(distances.min())
        if len(check.indexes) > 1:
            copies.protocol.update(self.networks.extractor.protocol)
        return copies, memorisation.draw_panel(check.pairs, reals)

    def _chunks(self, sampler, count, progress=None, verb=None, check=None):
        """Yields `count` generated images in chunks, and adds them to a copy check."""
        sampler.restart(count)
        for first in range(0, count, CHUNK_IMAGES):
            images = sampler(min(CHUNK_IMAGES, count - first))
            shape = (min(CHUNK_IMAGES, count - first), *self.reals.images.shape[1:])
            if (images.dtype, images.shape) != (np.uint8, shape):
                raise ValueError(f"fakes must be uint8 {shape}, got {images.dtype} {images.shape}")
            if check:
                check.add(images)
            yield images
            if progress:
                progress(first + len(images), count, verb)

    def _score(self, name, measured, count, sampler):
        metric = metric_of(name)
        protocol = {**self.reals.protocol, "fakes": count, "fakes_source": sampler.source, **measured.protocol}
        if sampler.available is not None and sampler.available < count:
            protocol["different_fakes"] = sampler.available  # repeated up to `count`
        stem, dash, network = name.partition("-")
        full_name = f"{stem}{count}{dash}{network}" if name in FOLDER_METRICS else name
        if metric.needs == FEATURES:
            extractor = self.networks.extractor_of(metric.network)
            full_name += extractor.tag
            protocol |= extractor.protocol
        protocol["versions"] = VERSIONS
        return Score(full_name, measured.value, metric.lower_is_better, protocol, measured.parts)
