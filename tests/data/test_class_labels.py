"""Class labels: lookup, sampling, grid rows, consistency with the settings."""

import types

import numpy as np
import pytest
import tensorflow as tf

from gan_tf import rng
from gan_tf.data import class_labels
from gan_tf.data.class_labels import ClassLabels
from gan_tf.data.prepare import prepare
from gan_tf.data.sources import ArraySource
from gan_tf.errors import UsageError

CLASSES = ClassLabels(("cat", "dog", "0"), (1, 0, 3))


def test_labels_of_seeds_depend_on_each_seed_alone_and_follow_the_frequencies():
    labels = CLASSES.of_seeds(range(2000))
    assert labels.dtype == np.int32 and (labels != 1).all()  # no image of class 1
    assert abs((labels == 0).mean() - 0.25) < 0.03
    np.testing.assert_array_equal(CLASSES.of_seeds([1999, 7]), labels[[1999, 7]])
    assert CLASSES.of_seeds([3, 4], 1).tolist() == [1, 1]
    assert ClassLabels().of_seeds([3, 4]) is None


def test_samples_are_sharded_over_replicas():
    draws = rng.Draws(0, tf.constant(5, tf.int64), 4000)
    whole = CLASSES.sample(draws).numpy()
    assert abs((whole == 0).mean() - 0.25) < 0.03 and (whole != 1).all()
    np.testing.assert_array_equal(CLASSES.sample(draws.shard(1, 4)), whole[1::4])


def test_a_class_is_found_by_name_first_and_then_by_number():
    assert [CLASSES.number(value) for value in ("dog", "1", 1, "0", "2")] == [1, 1, 1, 2, 2]
    for value in ("horse", "3", "-1", "1.0", ""):
        with pytest.raises(UsageError, match="--class.* 0 cat, 1 dog, 2 0$"):
            CLASSES.number(value)
    many = ClassLabels(tuple(f"c{i}" for i in range(100, 130)), (1,) * 30)
    with pytest.raises(UsageError, match="19 c119 and 10 more$"):
        many.number("x")


def test_where_all_names_are_numbers_a_number_is_a_name():
    digits = ClassLabels(("1", "2", "10"), (1, 1, 1))
    assert [digits.number(value) for value in ("1", 2, "10")] == [0, 1, 2]
    for value in ("0", 0, "02", "+1", "\u0661"):  # the last is an Arabic 1
        with pytest.raises(UsageError, match="choose from 1, 2, 10$"):
            digits.number(value)
    assert digits.describe_rows(3) == "1 class 1, 2 class 2, 3 class 10"


def test_images_get_the_order_of_classes_that_a_run_has_stored():
    images = prepare(ArraySource("set", np.zeros((4, 8, 8, 3), np.uint8), [0, 1, 2, 2], ["1", "2", "10"]), size=(8, 8))
    old = class_labels.in_order(images, ["1", "10", "2"])
    assert old.class_names == ("1", "10", "2") and old.labels.tolist() == [0, 2, 1, 1]
    assert (old.fingerprint, old.key) == (images.fingerprint, images.key)
    for others in (["1", "2"], ["1", "2", "3"], []):
        assert class_labels.in_order(images, others) is images


def test_rows_of_a_grid():
    assert CLASSES.of_rows(8) == [0, 0, 0, 1, 1, 1, 2, 2]
    assert CLASSES.describe_rows(4) == "1-2 cat, 3 dog, 4 0"
    assert ClassLabels(tuple("abcdefgh"), (1,) * 8).of_rows(4) == [0, 2, 4, 6]


def test_classes_of_a_run_must_fit_its_settings():
    config = types.SimpleNamespace(classes=2)
    assert class_labels.of_run(config, {"class_names": ["a", "b"], "class_counts": [3, 4]}, "x").counts == (3, 4)
    assert not class_labels.of_run(types.SimpleNamespace(classes=0), {"class_names": ["a", "b"]}, "x")
    for data in ({}, {"class_names": ["a"], "class_counts": [1]}, {"class_names": ["a", "b"], "class_counts": [0, 0]}):
        with pytest.raises(UsageError, match="x: the settings have 2 classes"):
            class_labels.of_run(config, data, "x")
