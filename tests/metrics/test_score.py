"""Scores are compared only with scores of the same name and protocol."""

import dataclasses
import json
import math

import pytest

from gan_tf.io.json_text import json_text
from gan_tf.metrics.score import NOT_COMPARED, Score, differences, from_stored, number

PROTOCOL = {"reals": 100, "network": "6726825d", "levels": [32, 16], "versions": {"numpy": "2.4"}, "fakes_source": "g"}


def score(value=1.0, name="fid5k", lower=True, parts=None, **changes):
    return Score(name, value, lower, {**PROTOCOL, **changes}, parts or {})


def test_better_is_lower_or_higher_by_metric():
    assert score(1.0).better_than(score(2.0))
    assert not score(2.0).better_than(score(1.0)) and not score(1.0).better_than(score(1.0))
    assert score(2.0, lower=False).better_than(score(1.0, lower=False))
    assert score(2.0).better_than(None)
    nan = score(math.nan)  # worse than every number
    assert score(1e9).better_than(nan)
    assert not nan.better_than(score(1.0)) and not nan.better_than(nan) and not nan.better_than(None)


def test_null_in_a_file_is_never_the_best_score():
    for value in (math.nan, math.inf, -math.inf):
        for lower in (True, False):
            read = from_stored(
                json.loads(json_text(dataclasses.asdict(score(value, lower=lower, parts={"std": value}))))
            )
            assert read.text() == "fid5k n/a" and math.isnan(read.parts["std"])
            for bad in (read, score(value, lower=lower)):
                assert not bad.better_than(None) and score(1.0, lower=lower).better_than(bad)
                assert sorted([bad, score(1.0, lower=lower)], key=lambda each: each.rank)[1] is bad


def test_scores_of_different_names_are_not_comparable():
    with pytest.raises(ValueError, match="called fid5k cannot be compared with one called fid5k-custom:0a1b2c3d"):
        score().better_than(score(name="fid5k-custom:0a1b2c3d"))
    assert not score().comparable_with(score(name="fid10k"))


@pytest.mark.parametrize("change", [{"reals": 160}, {"network": "other"}, {"levels": [16]}, {"resize": "clean"}])
def test_scores_of_different_protocols_are_not_comparable(change):
    [key] = change
    one, other = score(), score(**change)
    assert not one.comparable_with(other) and not other.comparable_with(one)
    assert differences(one, other) == [f"{key} {PROTOCOL.get(key)} and {change[key]}"]
    with pytest.raises(ValueError, match=f"two scores called fid5k differ in {key} "):
        one.better_than(other)


@pytest.mark.parametrize("key", NOT_COMPARED)
def test_some_protocol_entries_are_not_compared(key):
    other = score(2.0, **{key: "another"})
    assert score().comparable_with(other) and score().better_than(other)
    assert differences(score(), other) == []


@pytest.mark.parametrize(
    ("value", "text"),
    [(41.0512, "41.05"), (0.0123449, "0.01234"), (128.31, "128.3"), (12840.6, "12841"), (-0.0, "0"), (math.inf, "n/a")],
)
def test_numbers_have_four_digits(value, text):
    assert number(value) == text


def test_text_contains_the_standard_error():
    assert score(3.14159).text() == "fid5k 3.142"
    assert score(0.00312, "kid5k", parts={"standard_error": 0.00004, "std": 1.0}).text() == "kid5k 0.00312 ± 4e-05"
