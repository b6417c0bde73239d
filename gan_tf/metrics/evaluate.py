"""Runs metrics against a generator, or a set of image files, and says what each score was measured with.

Features of Inception are computed in one pass that all metrics on them share; each other metric makes a pass of its own
over the same images. Images are never kept: they are turned into features, or taken apart by the metric, as they come.
"""

import functools
import importlib.metadata
import tempfile
import time
from typing import NamedTuple

import numpy as np

from gan_tf.errors import UsageError
from gan_tf.files import cache_root
from gan_tf.metrics import memorisation, ppl
from gan_tf.metrics.choice import choice
from gan_tf.metrics.copy_panel import panel
from gan_tf.metrics.gallery import Gallery
from gan_tf.metrics.pixel_space import pixel_vectors
from gan_tf.metrics.reals import CHUNK_IMAGES, RealFeatures, blocks
from gan_tf.metrics.reals import FEATURES as WIDTH
from gan_tf.metrics.score import Score
from gan_tf.metrics.statistics import Moments
from gan_tf.metrics.table import ALL_OF_A_SET, COPIES, FEATURES, IMAGES, METRICS, PATHS, Measured

SEED = 0  # of the measurement's own random choices: the same for all runs, so that their scores are comparable
TRIAL_IMAGES = 32  # that tell how long a score takes
MEASURED_BY = ("gan_tf", "tensorflow", "numpy", "scipy", "pillow")  # whose versions a score tells


class Evaluation(NamedTuple):
    """Scores by the name that was asked for, and the closest pairs of the copy check: uint8 [H, W, 3] or None."""

    scores: dict
    panel: np.ndarray | None


class StoredFakes:
    """Images that another program made, as a sequence to be scored.

    Args:
        images: uint8 [N, R, R, 3], an array or a memory map.
        source: what they are, for people.
    """

    images_of_latents = None  # no generator: no path through its latents

    def __init__(self, images, source):
        self.images, self.source, self.available = images, source, len(images)

    def restart(self, wanted):
        """Begins the sequence of `wanted` images: a random choice of more, or all of fewer again and again."""
        self._order, self._next = choice(self.available, wanted, SEED), 0

    def __call__(self, count):
        rows = self._order[self._next : self._next + count]
        self._next += count
        return np.asarray(self.images[rows])


class FakeFeatures:
    """Features and logits of fakes, in a file without a name that is gone when it is closed.

    Args:
        file: of float32 rows [features, logits].
        count: rows that belong to it; the file may hold more.
    """

    def __init__(self, file, count, width):
        rows = np.memmap(file, np.float32, "r", shape=(count, width))
        self.features, self.logits = rows[:, :WIDTH], rows[:, WIDTH:]

    @functools.cached_property
    def moments(self):
        """Mean and covariance of the features."""
        moments = Moments()
        for rows in blocks(self.features):
            moments.add(rows)
        return moments


class Evaluator:
    """Scores generators against one set of real images, whose side is measured once and kept.

    Args:
        names: of METRICS or, for a set of files, of ALL_OF_A_SET.
        reals: reals.Reals.
        networks: networks.Networks.
        watch: called with (done, total, what is done) as work goes on; may raise to stop it.

    Raises:
        UsageError: no such metric.
    """

    def __init__(self, names, reals, networks, watch=lambda done, total, what: None):
        for name in names:
            if name not in METRICS and name not in ALL_OF_A_SET:
                raise UsageError(f"metric {name!r} is unknown; choose from {', '.join((*METRICS, *ALL_OF_A_SET))}")
        self.names, self.reals, self.networks, self.watch = tuple(names), reals, networks, watch
        self._sides, self._galleries = {}, []

    @functools.cached_property
    def real_features(self):
        """Features of the reals, computed when a metric first needs them."""
        return RealFeatures(self.reals, self.networks.extractor, self.watch)

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

    def __call__(self, fakes, names=None) -> Evaluation:
        """Scores a sequence of fakes.

        Args:
            fakes: fakes.restart(wanted) begins a sequence of `wanted` images; fakes(n) returns the next n, uint8
                [n, R, R, 3]; `source` says what they are; `available` is their number, None if endless;
                `images_of_latents` and `latent_size` are what ppl walks through, None if there is no generator.
            names: those to measure now; default all.

        Raises:
            UsageError: fewer fakes than a metric's name says, or a metric of generators asked of files.
            ValueError: `fakes` gave another number of images, or images of another kind than the reals.
        """
        names = self.names if names is None else tuple(names)
        counts = {name: self.count(name, fakes) for name in names}
        by_need = {need: [n for n in names if self.metric(n).needs == need] for need in (FEATURES, IMAGES, PATHS)}
        on_features = bool(by_need[FEATURES])
        copying = [name for name in names if self.metric(name).needs == COPIES]
        check = memorisation.CopyCheck(*self.galleries(on_features)) if copying else None
        most = counts[copying[0]] if copying else 0
        found = {}
        if on_features:
            found |= self._on_features(fakes, by_need[FEATURES], counts, check, most)
        for name in by_need[IMAGES]:
            shares_pass = copying and not on_features and not check.seen and counts[name] >= most
            found[name] = self._on_images(fakes, name, counts[name], check if shares_pass else None, most)
        for name in by_need[PATHS]:
            found[name] = self._on_paths(fakes, counts[name])
        if copying and not on_features and not check.seen:
            for images in self._chunks(fakes, most, "fakes compared with the reals"):
                check.add(images, pixel_vectors(images))
        picture = None
        if copying:
            copies = check.result()
            picture = panel(copies.pairs, self.reals.images, copies.threshold)
            looked_through = self.networks.extractor.protocol if on_features else {}
            found |= {name: measured_copies(copies, looked_through) for name in copying}
        scores = {name: self._score(name, found[name], counts[name], fakes) for name in names}
        return Evaluation(scores, picture)

    def galleries(self, on_features):
        """The training images as the copy check knows them: by their pixels, and by Inception's features too."""
        if not self._galleries:
            self._galleries.append(memorisation.prepare(self.reals.images, self.reals.mirror, SEED))
        if on_features and len(self._galleries) == 1:
            vectors = self.real_features.features
            if self.reals.mirror:
                vectors = np.concatenate([vectors, self.real_features.mirrored])
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

    def _on_features(self, fakes, names, counts, check, most):
        """One pass through Inception, and all metrics on its features: {name: Measured}."""
        count = max(most, *(counts[name] for name in names))
        real, found = self.real_features, {}
        _ = real.features  # first: it may take long, and says so
        scratch = cache_root() / "scratch"
        scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=scratch) as file:
            width = self._collect(fakes, count, file, check, most)
            for name in names:
                fake = FakeFeatures(file, counts[name], width)
                found[name] = self.metric(name).measure(real, fake, SEED)
        return found

    def _collect(self, fakes, count, file, check, most):
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
            file.write(rows.data)
            images = _take(waiting, len(rows))
            if check is not None and (left := most - check.seen) > 0:
                check.add(images[:left], pixel_vectors(images[:left]), features[:left])
            self.watch(done, count, "fakes measured")
        file.flush()
        return width

    def _on_images(self, fakes, name, count, check, most):
        """A pass of one metric over the images themselves."""
        metric = self.metric(name)
        if (name, count) not in self._sides:
            self._sides[name, count] = metric.prepare(self.reals.images, count, SEED, self.networks)

        def chunks():
            for images in self._chunks(fakes, count, f"fakes measured for {name}"):
                if check is not None and (left := most - check.seen) > 0:
                    check.add(images[:left], pixel_vectors(images[:left]))
                yield images

        return metric.measure(self._sides[name, count], chunks())

    def _on_paths(self, fakes, count):
        """A walk through the latents."""
        lpips = self.networks.lpips
        found = ppl.perceptual_path_length(
            fakes.images_of_latents,
            lpips,
            fakes.latent_size,
            count,
            seed=SEED,
            on_batch=lambda done: self.watch(done, count, "steps measured for ppl"),
        )
        protocol = {"epsilon": ppl.EPSILON, "latents": "z", "seed": SEED, **lpips.protocol}
        return Measured(found.mean, {"standard_error": found.standard_error}, protocol)

    def _chunks(self, fakes, count, what=None):
        """The sequence of `count` fakes, in chunks."""
        fakes.restart(count)
        for first in range(0, count, CHUNK_IMAGES):
            images = fakes(min(CHUNK_IMAGES, count - first))
            wanted = np.uint8, (min(CHUNK_IMAGES, count - first), *self.reals.images.shape[1:])
            if (images.dtype, images.shape) != wanted:
                raise ValueError(f"fakes must be uint8 {wanted[1]}, got {images.dtype} {images.shape}")
            yield images
            if what:
                self.watch(first + len(images), count, what)

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


def _take(waiting, count):
    """Takes the first `count` images out of a list of chunks."""
    taken = []
    while count:
        chunk = waiting.pop(0)
        taken.append(chunk[:count])
        if len(chunk) > count:
            waiting.insert(0, chunk[count:])
        count -= len(taken[-1])
    return np.concatenate(taken)
