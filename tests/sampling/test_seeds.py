"""What `--seeds` takes."""

import pytest

from gan_tf.errors import UsageError
from gan_tf.sampling.seeds import LARGEST_SEED, parse_seeds


@pytest.mark.parametrize(
    "text, wanted",
    [
        ("0-3", [0, 1, 2, 3]),
        ("1,5,9", [1, 5, 9]),
        ("7", [7]),
        ("4-4", [4]),
        ("9, 2 - 4 ,3,0", [9, 2, 3, 4, 0]),
        (str(LARGEST_SEED), [LARGEST_SEED]),
    ],
)
def test_numbers_and_ranges(text, wanted):
    assert parse_seeds(text) == wanted


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "'' is no number or range"),
        ("1,,2", "'' is no number or range"),
        ("a-b", "'a-b' is no number or range"),
        ("-3", "'-3' is no number or range"),
        ("1.5", "'1.5' is no number or range"),
        ("٣", "is no number or range"),
        ("9" * 5000, "is no number or range"),
        ("5-2", "give 2-5"),
        (str(LARGEST_SEED + 1), "too large"),
        ("0-1000000", "at most 1000000"),
        ("0-600000,700000-1200000", "at most 1000000"),
    ],
)
def test_a_wrong_text_is_named_in_one_line(text, words):
    with pytest.raises(UsageError, match=words) as error:
        parse_seeds(text)
    assert "--seeds" in str(error.value) and "\n" not in str(error.value)
