"""Batches: the stream does not depend on the start, the number of replicas and the storage of the images."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.data import pipeline
from gan_tf.data.pipeline import InputPipeline, permutation, random_flips
from gan_tf.data.prepare import prepare
from gan_tf.data.sources import ArraySource

COUNT, SIDE = 10, 4


@pytest.fixture(scope="module")
def image_set():
    pixels = np.random.default_rng(0).integers(0, 256, (COUNT, SIDE, SIDE, 3), np.uint8)
    return prepare(ArraySource("ten", pixels, np.arange(COUNT) % 3, "abc"), size=(SIDE, SIDE))


def take(dataset, count):
    return [{key: value.numpy() for key, value in element.items()} for element in itertools.islice(dataset, count)]


def joined(elements, key):
    return np.concatenate([element[key] for element in elements])


def orders(size, passes, key=5):
    order = tf.function(lambda number: permutation(key, number, size))
    return np.stack([order(tf.constant(number, tf.int64)) for number in range(passes)])


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_each_pass_has_every_image_once(size):
    np.testing.assert_array_equal(np.sort(orders(size, 4)), np.tile(np.arange(size), (4, 1)))


def test_orders_are_uniform():
    """Over many passes each image is equally often at each position, and equally often after each other image."""
    size, passes = 8, 2000
    index = orders(size, passes)
    positions = np.stack([np.bincount(column, minlength=size) for column in index.T])
    followers = np.bincount((index[:, :-1] * size + index[:, 1:]).ravel(), minlength=size**2).reshape(size, size)
    expected = passes / size
    assert ((positions - expected) ** 2 / expected).sum() < 90  # chi squared, 49 degrees of freedom: 1 in 3,000
    assert ((followers[~np.eye(size, dtype=bool)] - expected) ** 2 / expected).sum() < 100
    assert len(np.unique(index, axis=0)) > 0.9 * passes  # of 40,320 orders


def test_order_depends_on_the_key_and_the_pass():
    passes = [
        permutation(key, tf.constant(number, tf.int64), 100).numpy()
        for key, number in ((1, 0), (2, 0), (1 + 2**31, 0), (1 + 2**62, 0), (1, 1), (1, 2**33))
    ]
    for a, b in itertools.combinations(passes, 2):
        assert (a == b).sum() < 10


def test_flips_are_fair_and_depend_on_their_position():
    all_flips = random_flips(tf.constant(0, tf.int64), 4000, key=7).numpy()
    assert 0.46 < all_flips.mean() < 0.54
    assert 0.46 < (all_flips[1:] == all_flips[:-1]).mean() < 0.54
    for start, count in ((0, 1), (1, 5), (2, 9), (3, 4), (1021, 64)):
        np.testing.assert_array_equal(
            random_flips(tf.constant(start, tf.int64), count, key=7), all_flips[start : start + count]
        )
    far = tf.constant(2**40 + 1, tf.int64)
    np.testing.assert_array_equal(random_flips(far, 7, key=7), random_flips(far - 1, 8, key=7)[1:])


def test_the_stream_continues_at_any_image_count(image_set):
    loader = InputPipeline(image_set, 4, seed=1)
    whole = take(loader.dataset(0), 12)
    for seen in (4, 6, 41):
        rest = take(loader.dataset(seen), 1)[0]
        for key in ("position", "index", "flip", "labels"):
            np.testing.assert_array_equal(rest[key], joined(whole, key)[seen : seen + 4])
    np.testing.assert_array_equal(joined(whole, "position"), np.arange(48))


def test_seed_changes_the_order_and_mirror_the_flips_only(image_set):
    loaders = [InputPipeline(image_set, 10, *options) for options in ((1,), (2,), (1, False))]
    mirrored, other, plain = (take(loader.dataset(0), 4) for loader in loaders)
    for element in mirrored:
        np.testing.assert_array_equal(element["labels"], element["index"] % 3)
    assert (joined(mirrored, "index") != joined(other, "index")).any()
    np.testing.assert_array_equal(joined(plain, "index"), joined(mirrored, "index"))
    assert joined(mirrored, "flip").any() and not joined(plain, "flip").any()


def test_parts_make_up_the_global_batch(image_set):
    loader = InputPipeline(image_set, 8, seed=1)
    whole = take(loader.dataset(3), 3)
    parts = take(loader.dataset(3, replicas=4), 12)
    left = take(loader.dataset(3, replicas=4, first=0, count=1), 3)
    right = take(loader.dataset(3, replicas=4, first=1, count=3), 9)
    merged = [part for k in range(3) for part in (left[k], *right[3 * k : 3 * k + 3])]
    for key in ("position", "index", "flip", "labels"):
        for i, part in enumerate(parts):
            np.testing.assert_array_equal(part[key], whole[i // 4][key][i % 4 :: 4])
        np.testing.assert_array_equal(joined(merged, key), joined(parts, key))


def test_resident_mapped_and_host_images_are_equal(image_set, tmp_path, monkeypatch):
    source = ArraySource("ten", image_set.images, image_set.labels, "abc")
    mapped_set = prepare(source, size=(SIDE, SIDE), memory_gb=0, cache_dir=tmp_path, log=lambda line: None)
    pipelines = [
        InputPipeline(image_set, 4, 1),
        InputPipeline(image_set, 4, 1, resident=False),
        InputPipeline(mapped_set, 4, 1),
    ]
    monkeypatch.setattr(pipeline, "RESIDENT_BYTES", image_set.images.nbytes - 1)
    pipelines.append(InputPipeline(image_set, 4, 1))
    assert [loader.resident for loader in pipelines] == [True, False, False, False]
    batches = []
    for loader in pipelines:
        loader.place()
        load = tf.function(loader.load)
        batches.append([load(element) for element in itertools.islice(loader.dataset(6), 5)])
    for (images, labels), *others in zip(*batches, strict=True):
        assert images.shape == (4, SIDE, SIDE, 3) and images.dtype == tf.float32
        for other_images, other_labels in others:
            np.testing.assert_array_equal(images, other_images)
            np.testing.assert_array_equal(labels, other_labels)


def test_load_scales_and_flips(image_set):
    loader = InputPipeline(image_set, 10, seed=1)
    loader.place()
    element = next(iter(loader.dataset(0)))
    got = loader.load(element)[0].numpy()
    flip = element["flip"].numpy()
    assert 0 < flip.sum() < 10
    want = image_set.images[element["index"].numpy()] / 127.5 - 1
    want[flip] = want[flip][:, :, ::-1]
    np.testing.assert_allclose(got, want, atol=1e-6)
    np.testing.assert_array_equal(got, tf.function(loader.load, jit_compile=True)(element)[0])
    assert got.min() >= -1 and got.max() <= 1
