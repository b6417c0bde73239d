"""Which class an image gets, and what the classes of a run are."""

import types

import numpy as np
import pytest
import tensorflow as tf

from gan_tf import rng
from gan_tf.data import class_labels
from gan_tf.data.class_labels import ClassLabels
from gan_tf.errors import UsageError

KNOWN = ClassLabels(("cat", "dog", "0"), (1, 0, 3))


def test_a_seed_draws_its_class_whatever_stands_beside_it_and_as_often_as_the_images():
    drawn = KNOWN.of_seeds(range(2000))
    assert drawn.dtype == np.int32 and (drawn != 1).all()  # no image of class 1
    assert abs((drawn == 0).mean() - 0.25) < 0.03
    np.testing.assert_array_equal(KNOWN.of_seeds([1999, 7]), drawn[[1999, 7]])
    assert KNOWN.of_seeds([3, 4], 1).tolist() == [1, 1]
    assert ClassLabels().of_seeds([3, 4]) is None


def test_draws_of_classes_are_shared_by_replicas():
    draws = rng.Draws(0, tf.constant(5, tf.int64), 4000)
    whole = draws.categories("classes", (1, 0, 3)).numpy()
    assert abs((whole == 0).mean() - 0.25) < 0.03 and (whole != 1).all()
    np.testing.assert_array_equal(draws.shard(1, 4).categories("classes", (1, 0, 3)), whole[1::4])


def test_a_class_has_a_name_and_a_number_and_the_name_comes_first():
    assert [KNOWN.number(wanted) for wanted in ("dog", "1", 1, "0", "2")] == [1, 1, 1, 2, 2]
    for wanted in ("horse", "3", "-1", "1.0", ""):
        with pytest.raises(UsageError, match="is no class of this run; it has 0 cat, 1 dog, 2 0$"):
            KNOWN.number(wanted)
    many = ClassLabels(tuple(map(str, range(100, 130))), (1,) * 30)
    with pytest.raises(UsageError, match="19 119 and 10 more$"):
        many.number("x")


def test_rows_of_a_grid():
    assert KNOWN.of_rows(8) == [0, 0, 0, 1, 1, 1, 2, 2]
    assert KNOWN.describe_rows(4) == "1-2 cat, 3 dog, 4 0"
    assert ClassLabels(tuple("abcdefgh"), (1,) * 8).of_rows(4) == [0, 2, 4, 6]


def test_classes_of_a_run_must_fit_its_settings():
    config = types.SimpleNamespace(classes=2)
    assert class_labels.of_run(config, {"class_names": ["a", "b"], "class_counts": [3, 4]}, "x").counts == (3, 4)
    assert not class_labels.of_run(types.SimpleNamespace(classes=0), {"class_names": ["a", "b"]}, "x")
    for data in ({}, {"class_names": ["a"], "class_counts": [1]}, {"class_names": ["a", "b"], "class_counts": [0, 0]}):
        with pytest.raises(UsageError, match="x: the settings have 2 classes"):
            class_labels.of_run(config, data, "x")
