"""The stream of features: in order whatever the chunks, traced once, and gone without a trace when it is closed."""

import threading
import time
import weakref

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.errors import UsageError
from gan_tf.metrics.features import AHEAD, Extractor, ahead, batched, full_products
from gan_tf.pretrained.inception import Inception, network_input
from tests.pretrained.made_weights import inception_arrays


class Pixel(tf.Module):
    """Stands in for Inception: its features are one pixel."""

    sha256, genuine = "0123456789abcdef", True

    def with_precision(self, dtype):
        return self

    def __call__(self, x):
        pixels = x[:, 150, 150]  # [N, 3]
        return {"2048": tf.tile(pixels, [1, 683])[:, :2048], "logits_unbiased": tf.tile(pixels, [1, 336])}


@pytest.fixture(scope="module")
def inception():
    return Inception.from_arrays(inception_arrays(), sha256="0123456789abcdef", genuine=False)


@pytest.fixture(autouse=True)
def no_thread_is_left():
    before = threading.active_count()
    yield
    wait = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < wait:
        time.sleep(0.01)
    assert threading.active_count() <= before


def images(count, side=8):
    """Image i has the value 5 i."""
    return np.broadcast_to(5 * np.arange(count, dtype=np.uint8)[:, None, None, None], (count, side, side, 3))


def values(rows):
    """What `Pixel` has seen, back in 0..255."""
    return (rows[:, 0] + 1) * 127.5


def gathered(stream):
    features, logits = zip(*stream, strict=True)
    return np.concatenate(features), np.concatenate(logits)


@pytest.mark.parametrize("sizes", [[11], [1] * 11, [4, 4, 3], [3, 0, 5, 1, 2], [8, 3]])
def test_order_is_kept_whatever_the_chunks(sizes):
    extractor = Extractor(Pixel(), batch_size=4)
    chunks = np.split(images(11), np.cumsum(sizes)[:-1])
    got = [(len(features), len(logits)) for features, logits in extractor.stream(chunks)]
    assert got == [(4, 4), (4, 4), (3, 3)]
    features, logits = gathered(extractor.stream(iter(chunks)))
    assert (features.shape, logits.shape) == ((11, 2048), (11, 1008))
    assert features.dtype == logits.dtype == np.float32
    np.testing.assert_allclose(values(features), 5 * np.arange(11), atol=1e-3)
    assert extractor.compiled.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("resize", ["pytorch", "clean", "tf1"])
def test_inceptions_features_are_those_of_the_network_on_each_image(inception, resize):
    pictures = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8)
    features, logits = gathered(Extractor(inception, resize, batch_size=2).stream([pictures[:1], pictures[1:]]))
    outputs = inception(network_input(pictures, resize))
    np.testing.assert_allclose(features, outputs["2048"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(logits, outputs["logits_unbiased"], rtol=1e-3, atol=1e-4)


def test_features_do_not_depend_on_the_images_around(inception):
    pictures = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8)
    extractor = Extractor(inception, batch_size=4)
    whole, _ = gathered(extractor.stream([pictures]))
    rest, _ = gathered(extractor.stream([pictures[3:]]))
    np.testing.assert_array_equal(rest, whole[3:])


def test_nothing_gives_nothing():
    assert list(Extractor(Pixel()).stream([])) == []


def test_progress_is_told_in_the_callers_thread_and_may_stop():
    told = []
    extractor = Extractor(Pixel(), batch_size=4)
    list(extractor.stream([images(11)], lambda done: told.append((done, threading.current_thread()))))
    assert told == [(done, threading.main_thread()) for done in (4, 8, 11)]

    def stop(done):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(extractor.stream([images(11)], stop))


class Abort(BaseException):
    """As KeyboardInterrupt, no Exception."""


@pytest.mark.parametrize("kind", [OSError, Abort, KeyboardInterrupt, StopIteration])
def test_what_goes_wrong_while_sampling_is_raised_in_the_caller(kind):
    class Source:
        def __iter__(self):
            return self

        def __next__(self, served=[]):  # noqa: B006  counts the calls
            served.append(1)
            if len(served) % 3 == 0:
                raise kind("no more")
            return images(4)

    stream = Extractor(Pixel(), batch_size=4).stream(Source())
    if kind is StopIteration:
        assert len(list(stream)) == 2
        return
    done = []
    with pytest.raises(kind, match="no more"):
        for features, _ in stream:
            done.append(len(features))
    assert done == [4, 4]  # what came before is not lost


def test_a_generator_that_fails_to_clean_up_does_not_hang():
    def source():
        try:
            yield images(4)
        finally:
            raise OSError("cannot clean up")

    with pytest.raises(OSError, match="cannot clean up"):
        list(Extractor(Pixel(), batch_size=4).stream(source()))


def test_a_stream_closed_early_closes_the_source_and_draws_no_more():
    drawn, closed = [], []

    def source():
        try:
            while True:
                drawn.append(len(drawn))
                yield images(4)
        finally:
            closed.append(threading.current_thread())

    stream = Extractor(Pixel(), batch_size=4).stream(source())
    next(stream)
    stream.close()
    assert len(closed) == 1 and closed[0] is not threading.main_thread()
    count = len(drawn)
    time.sleep(0.05)
    assert len(drawn) == count


def test_a_stream_never_begun_or_forgotten_leaves_nothing():
    extractor = Extractor(Pixel(), batch_size=4)
    extractor.stream(iter([images(4)])).close()
    next(extractor.stream(images(4) for _ in range(100)))  # collected at once


def test_only_a_few_chunks_are_alive_at_a_time():
    class Chunk(np.ndarray):
        """Can be watched, as a plain array cannot."""

    gone, most = [], []

    def source():
        for i in range(60):
            chunk = Chunk((4, 8, 8, 3), np.uint8)  # owns its pixels
            chunk[:] = i
            weakref.finalize(chunk, gone.append, i)
            most.append(i + 1 - len(gone))
            yield chunk

    stream = Extractor(Pixel(), batch_size=4).stream(source(), lambda done: time.sleep(0.005))
    assert len(list(stream)) == 60
    assert max(most) <= 3 * AHEAD


def test_ahead_works_ahead_but_not_far():
    begun = []

    def source():
        for i in range(20):
            begun.append(i)
            yield i

    stream = ahead(source(), depth=3)
    assert next(stream) == 0
    wait = time.monotonic() + 5
    while len(begun) < 5 and time.monotonic() < wait:
        time.sleep(0.01)
    time.sleep(0.05)
    assert len(begun) == 5  # one taken, three waiting, one in hand
    assert list(stream) == list(range(1, 20))


def test_batched_cuts_and_joins():
    chunks = [np.arange(3), np.arange(0), np.arange(3, 10), np.arange(10, 11)]
    assert [list(batch) for batch in batched(chunks, 4)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]]


def test_names_and_protocol(inception):
    assert Extractor(Pixel()).name == "inception"
    assert Extractor(Pixel(), precision="bfloat16").name == "-bfloat16"
    custom = Extractor(inception, "clean")
    assert custom.name == "-custom:01234567"
    assert custom.protocol == {"network": "0123456789abcdef", "resize": "clean", "features": "float32"}
    assert Extractor(inception, precision="bfloat16", batch_size=2).name == "-custom:01234567-bfloat16"


def test_what_is_unknown_or_no_image_is_refused():
    with pytest.raises(UsageError, match="--resize 'nearest'.*pytorch, clean, tf1"):
        Extractor(Pixel(), "nearest")
    with pytest.raises(UsageError, match="'float16'"):
        Extractor(Pixel(), precision="float16")
    for wrong in (np.zeros((2, 8, 8, 3), np.float32), np.zeros((8, 8, 3), np.uint8), np.zeros((2, 8, 8, 1), np.uint8)):
        with pytest.raises(ValueError, match="uint8"):
            list(Extractor(Pixel()).stream([wrong]))


def test_float32_is_not_rounded_to_tensorfloat32():
    enabled = tf.config.experimental.tensor_float_32_execution_enabled
    assert enabled()
    with full_products():
        assert not enabled()
    assert enabled()
