import numpy as np
import pytest

from gan_tf.metrics.inception_score import inception_score


def sure(classes, count=1000):
    """Logits of images whose class is certain."""
    logits = np.full((len(classes), count), -1e4, np.float32)
    logits[np.arange(len(classes)), classes] = 0
    return logits


def test_equal_answers_score_1():
    assert inception_score(np.zeros((50, 1008), np.float32)) == pytest.approx((1, 0))
    assert inception_score(np.tile(np.random.default_rng(0).normal(size=7), (50, 1))) == pytest.approx((1, 0))


def test_certain_and_evenly_spread_answers_score_the_number_of_classes():
    assert inception_score(sure(np.arange(80) % 8), splits=10) == pytest.approx((8, 0))
    assert inception_score(sure(np.arange(80) % 8), splits=1) == pytest.approx((8, 0))


def test_probabilities_by_hand():
    logits = np.log([[0.5, 0.5], [0.9, 0.1]])
    average = [0.7, 0.3]
    rows = [sum(p * np.log(p / q) for p, q in zip(row, average, strict=True)) for row in ([0.5, 0.5], [0.9, 0.1])]
    assert inception_score(logits + 100, splits=1) == pytest.approx((np.exp(np.mean(rows)), 0), rel=1e-12)


def test_parts_are_runs_of_the_sequence():
    classes = np.array([0, 0, 0, 0, 0, 1, 2, 3, 4, 5])
    assert inception_score(sure(classes), splits=2) == pytest.approx((3, 2))  # parts score 1 and 5
    assert inception_score(sure(classes[:7]), splits=3)[0] == pytest.approx((1 + 1 + 3) / 3)  # runs of 2, 2 and 3
    assert inception_score(sure(classes[::-1]), splits=2) == pytest.approx((3, 2))


def test_wrong_logits_are_refused():
    for logits, splits in ((np.zeros((3, 4)), 4), (np.zeros((3, 4)), 0), (np.zeros(4), 1)):
        with pytest.raises(ValueError, match="splits"):
            inception_score(logits, splits)
    with pytest.raises(ValueError, match="finite"):
        inception_score(np.full((3, 4), np.inf), 1)
