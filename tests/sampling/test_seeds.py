"""Seeds and layers as integers and ranges."""

import pytest

from gan_tf.errors import UsageError
from gan_tf.sampling.seeds import LARGEST_SEED, parse_ranges, parse_seeds


@pytest.mark.parametrize(
    "text, seeds",
    [
        ("0-3", [0, 1, 2, 3]),
        ("7,4-4", [7, 4]),
        ("9, 2 - 4 ,3,0", [9, 2, 3, 4, 0]),
        (str(LARGEST_SEED), [LARGEST_SEED]),
    ],
)
def test_integers_and_ranges(text, seeds):
    assert parse_seeds(text) == seeds


def test_repeated_seeds_and_open_ranges():
    assert parse_seeds("3,1-3", repeated=True) == [3, 1, 2, 3]
    assert parse_ranges("1,7-", "--layers", 9, "7-", open_ended=True) == [(1, 1), (7, 9)]


@pytest.mark.parametrize(
    "text, reason",
    [
        *((text, "not a number or range") for text in ("", "1,,2", "a-b", "-3", "3-", "1.5", "٣", "9" * 5000)),
        ("5-2", "give 2-5"),
        (str(LARGEST_SEED + 1), "too large"),
        ("0-1000000", "at most 1000000"),
        ("0-600000,700000-1200000", "at most 1000000"),
    ],
)
def test_invalid_seeds_are_rejected(text, reason):
    with pytest.raises(UsageError, match=f"--seeds .*{reason}"):
        parse_seeds(text)
