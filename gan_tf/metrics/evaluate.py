"""Runs metrics against a generator, or a set of image files, and says what each score was measured with.

Features of Inception are computed in one pass that all metrics on them share; each other metric makes a pass of its own
over the same images. Images are never kept: they are turned into features, or taken apart by the metric, as they come.
"""

import dataclasses
import functools
import importlib.metadata
import tempfile
import time
from typing import NamedTuple

import numpy as np

from gan_tf.errors import UsageError
from gan_tf.io.files import cache_root, writing_cache
from gan_tf.metrics import memorisation, ppl
from gan_tf.metrics.copy_panel import panel
from gan_tf.metrics.definitions import ALL_OF_A_SET, COPIES, FEATURES, IMAGES, METRICS, PATHS, SEED, Measured
from gan_tf.metrics.fakes import FakeFeatures, Onlooker, take
from gan_tf.metrics.features import full_products
from gan_tf.metrics.gallery import Gallery
from gan_tf.metrics.reals import CHUNK_IMAGES, RealFeatures
from gan_tf.metrics.score import Score

TRIAL_IMAGES = 32  # that tell how long a score takes
MEASURED_BY = ("gan_tf", "tensorflow", "numpy", "scipy", "pillow")  # whose versions a score tells


class Evaluation(NamedTuple):
    """Scores by the name that was asked for, and the closest pairs of the copy check: uint8 [H, W, 3] or None."""

    scores: dict
    panel: np.ndarray | None


class Evaluator:
    """Scores generators against one set of real images, whose side is measured once and kept.

    Args:
        names: of METRICS or, for a set of files, of ALL_OF_A_SET.
        reals: reals.Reals.
        networks: networks.Networks.

    Raises:
        UsageError: no such metric.
    """

    def __init__(self, names, reals, networks):
        for name in names:
            if name not in METRICS and name not in ALL_OF_A_SET:
                raise UsageError(f"metric {name!r} is unknown; choose from {', '.join((*METRICS, *ALL_OF_A_SET))}")
        self.names, self.reals, self.networks = tuple(names), reals, networks
        self._sides, self._galleries = {}, []

    @functools.cached_property
    def real_features(self):
        """Features of the reals, computed when a metric first needs them."""
        return RealFeatures(self.reals, self.networks.extractor)

    def load_networks(self):
        """Loads the networks that the metrics need. Raises UsageError where their weights cannot be had."""
        needs = {self.metric(name).needs for name in self.names}
        if FEATURES in needs:
            _ = self.networks.extractor
        if PATHS in needs or any(self.metric(name).perceptual for name in self.names):
            _ = self.networks.lpips

    def metric(self, name):
        """The metric that a name stands for."""
        return METRICS[ALL_OF_A_SET.get(name, name)]

    def __call__(self, fakes, metrics=None, progress=None) -> Evaluation:
        """Scores a sequence of fakes.

        Args:
            fakes: fakes.restart(wanted) begins a sequence of `wanted` images; fakes(n) returns the next n, uint8
                [n, R, R, 3]; `source` says what they are; `available` is their number, None if endless;
                `images_of_latents`, `mapping` and `latent_size` are what ppl walks through: in w, where there is a
                mapping; None if there is no generator.
            metrics: names of those to measure now; default all.
            progress: called as progress(done, total, verb) during the evaluation; may raise to stop it.

        Raises:
            UsageError: fewer fakes than a metric's name says, or a metric of generators asked of files.
            ValueError: `fakes` gave another number of images, or images of another kind than the reals.
        """
        progress = progress or (lambda done, total, verb: None)
        names = self.names if metrics is None else tuple(metrics)
        counts = {name: self.count(name, fakes) for name in names}
        by_need = {need: [n for n in names if self.metric(n).needs == need] for need in (FEATURES, IMAGES, PATHS)}
        on_features = bool(by_need[FEATURES])
        copying = [name for name in names if self.metric(name).needs == COPIES]
        onlooker = Onlooker(self.galleries(on_features, progress), counts[copying[0]]) if copying else Onlooker((), 0)
        found = {}
        if on_features:
            found |= self._on_features(fakes, by_need[FEATURES], counts, onlooker, progress)
        for name in by_need[IMAGES]:
            found[name] = self._on_images(fakes, name, counts[name], onlooker, progress)
        for name in by_need[PATHS]:
            found[name] = self._on_paths(fakes, counts[name], progress)
        if onlooker.wanted:  # no pass was long enough
            for images in self._chunks(fakes, onlooker.wanted, progress, "fakes compared with the reals"):
                onlooker.see(images)
        picture = None
        if copying:
            copies = onlooker.result()
            if self.networks.has_lpips:  # a second opinion on the closest pairs, for nothing
                pairs = memorisation.with_lpips(copies.pairs, self.reals.images, self.networks.lpips)
                copies = dataclasses.replace(copies, pairs=pairs)
            picture = panel(copies.pairs, self.reals.images, copies.threshold)
            looked_through = self.networks.extractor.protocol if on_features else {}
            found |= {name: measured_copies(copies, looked_through) for name in copying}
        scores = {name: self._score(name, found[name], counts[name], fakes) for name in names}
        return Evaluation(scores, picture)

    def galleries(self, on_features, progress=None):
        """The training images as the copy check knows them: by their pixels, and by Inception's features too."""
        if not self._galleries:
            self._galleries.append(memorisation.prepare(self.reals.images, self.reals.mirror, SEED))
        if on_features and len(self._galleries) == 1:
            vectors = self.real_features.compute(progress)
            if self.reals.mirror:
                vectors = np.concatenate([vectors, self.real_features.compute(progress, mirrored=True)])
            self._galleries.append(Gallery(vectors, len(self.reals.images), "inception", SEED))
        return self._galleries[: 1 + on_features]

    def count(self, name, fakes):
        """Images that a metric takes of these fakes."""
        metric, available = self.metric(name), fakes.available
        for count, side in ((available, fakes.source), (len(self.reals.images), self.reals.source)):
            if count is not None and count < metric.least:
                raise UsageError(f"metric {name!r} needs at least {metric.least} images, but {side} has {count}")
        if name in ALL_OF_A_SET:
            if available is None:
                raise UsageError(f"metric {name!r} takes all images of a folder; give {ALL_OF_A_SET[name]} for a run")
            return available
        if metric.needs == PATHS and fakes.images_of_latents is None:
            raise UsageError(f"metric {name!r} follows paths of a generator; give a run, not image files")
        if available is None or available >= metric.fakes or metric.needs == IMAGES and metric.repeats:
            return metric.fakes
        if any(letter.isdigit() for letter in name):
            family = name.rstrip("0123456789k")
            takes_less = family in ALL_OF_A_SET or family in METRICS
            remedy = f"metric {family}, which takes them all" if takes_less else "more images"
            raise UsageError(
                f"metric {name} takes {metric.fakes} images, but {fakes.source} has {available}; give {remedy}"
            )
        return available

    def expected_seconds(self, fakes, name):
        """How long a score will take, from a few images; the reals are not counted, which are measured once."""
        metric = self.metric(name)

        def trial():
            if metric.needs == FEATURES:
                for _ in self.networks.extractor.stream(self._chunks(fakes, TRIAL_IMAGES)):
                    pass
            else:
                metric.measure(side, self._chunks(fakes, TRIAL_IMAGES))

        if metric.needs != FEATURES:
            side = metric.prepare(self.reals.images[:TRIAL_IMAGES], TRIAL_IMAGES, SEED, self.networks)
        trial()  # traces
        started = time.monotonic()
        trial()
        return (time.monotonic() - started) * metric.fakes / TRIAL_IMAGES

    def _on_features(self, fakes, names, counts, onlooker, progress):
        """One pass through Inception, and all metrics on its features: {name: Measured}."""
        count = max(onlooker.wanted, *(counts[name] for name in names))
        real, found = self.real_features, {}
        if onlooker.wanted or not all(self.metric(name).alone for name in names):
            real.compute(progress)  # first: it may take long, and says so
        scratch = cache_root() / "scratch"
        with writing_cache(scratch):
            scratch.mkdir(parents=True, exist_ok=True)
            table = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115  closed below
        with table as file:
            width = self._collect(fakes, count, file, onlooker, progress)
            for name in names:
                fake = FakeFeatures(file, counts[name], width)
                found[name] = self.metric(name).measure(real, fake, SEED)
        return found

    def _collect(self, fakes, count, file, onlooker, progress):
        """Writes the rows of `count` fakes; returns their width."""
        waiting = []

        def noted(chunks):
            for images in chunks:
                waiting.append(images)
                yield images

        done, width = 0, 0
        for features, logits in self.networks.extractor.stream(noted(self._chunks(fakes, count))):
            rows = np.concatenate([features, logits], axis=1, dtype=np.float32)
            width, done = rows.shape[1], done + len(rows)
            with writing_cache(cache_root() / "scratch"):
                file.write(rows.data)
            onlooker.see(take(waiting, len(rows)), features)
            progress(done, count, "fakes measured")
        with writing_cache(cache_root() / "scratch"):
            file.flush()
        return width

    def _on_images(self, fakes, name, count, onlooker, progress):
        """A pass of one metric over the images themselves."""
        metric = self.metric(name)
        if (name, count) not in self._sides:
            self._sides[name, count] = metric.prepare(self.reals.images, count, SEED, self.networks)

        looks_on = count >= onlooker.wanted  # a shorter pass would be seen in part, and then again

        def chunks():
            for images in self._chunks(fakes, count, progress, f"fakes measured for {name}"):
                if looks_on:
                    onlooker.see(images)
                yield images

        with full_products():
            return metric.measure(self._sides[name, count], chunks())

    def _on_paths(self, fakes, count, progress):
        """A walk through the latents."""
        lpips = self.networks.lpips
        with full_products():
            found = ppl.perceptual_path_length(
                fakes.images_of_latents,
                lpips,
                fakes.latent_size,
                count,
                mapping=fakes.mapping,
                seed=SEED,
                on_batch=lambda done: progress(done, count, "steps measured for ppl"),
            )
        protocol = {"epsilon": ppl.EPSILON, "latents": "w" if fakes.mapping else "z", "seed": SEED, **lpips.protocol}
        return Measured(found.mean, {"standard_error": found.standard_error}, protocol)

    def _chunks(self, fakes, count, progress=None, verb=None):
        """The sequence of `count` fakes, in chunks."""
        fakes.restart(count)
        for first in range(0, count, CHUNK_IMAGES):
            images = fakes(min(CHUNK_IMAGES, count - first))
            wanted = np.uint8, (min(CHUNK_IMAGES, count - first), *self.reals.images.shape[1:])
            if (images.dtype, images.shape) != wanted:
                raise ValueError(f"fakes must be uint8 {wanted[1]}, got {images.dtype} {images.shape}")
            yield images
            if progress:
                progress(first + len(images), count, verb)

    def _score(self, name, measured, count, fakes):
        metric = self.metric(name)
        protocol = {**self.reals.protocol, "fakes": count, "fakes_source": fakes.source, **measured.protocol}
        shown = f"{name}{count}" if name in ALL_OF_A_SET else name
        if metric.needs == FEATURES:
            tag = self.networks.extractor.name
            shown += tag if tag.startswith("-") else ""
            protocol |= self.networks.extractor.protocol
        return Score(shown, measured.value, metric.lower_is_better, protocol | {"versions": versions()}, measured.parts)


def measured_copies(copies, looked_through):
    """The share of copies, with what else the check found, and the protocol of the features that it looked at."""
    parts = {"median_ratio": copies.median_ratio}
    if copies.expected is not None:
        parts["share_among_reals"] = copies.expected
    if copies.pairs[0].lpips is not None:
        parts["lpips_of_the_closest"] = min(pair.lpips for pair in copies.pairs)
    return Measured(copies.share, parts, {**copies.protocol, **looked_through})


@functools.cache
def versions():
    """{package: version} of what a score depends on."""
    found = {}
    for name in MEASURED_BY:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:  # tensorflow-cpu is another distribution of tensorflow
            found[name] = importlib.metadata.version(f"{name}-cpu")
    return found
