"""Parses seeds and other integers written as `0-63` or `1,5,9`."""

import re

from gan_tf.errors import UsageError

MAX_SEEDS = 1_000_000  # in one command
LARGEST_SEED = 2**63 - 1  # int64


def parse_ranges(text, flag, largest, example, open_ended=False):
    """Parses comma-separated integers and ranges, which include both ends. Returns a list of (first, last).

    Args:
        text: such as "1,5-9".
        flag: option that was given, for messages.
        largest: largest integer allowed.
        example: valid value, for messages.
        open_ended: allow `7-` for a range up to `largest`.

    Raises:
        UsageError: the text has another form, or a range is reversed or exceeds `largest`.
    """
    ranges = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,20})\s*(-\s*(\d{1,20})?\s*)?", part, re.ASCII)
        if not match or (match[2] and not match[3] and not open_ended):
            raise UsageError(f"{flag} {text!r}: {part.strip()!r} is not a number or range; give e.g. {example}")
        first = int(match[1])
        last = int(match[3] or largest) if match[2] else first
        if max(first, last) > largest:
            raise UsageError(f"{flag} {text!r}: {max(first, last)} is too large; the largest value is {largest}")
        if last < first:
            raise UsageError(f"{flag} {text!r}: the range {first}-{last} is reversed; give {last}-{first}")
        ranges.append((first, last))
    return ranges


def parse_seeds(text, flag="--seeds", repeated=False):
    """Returns the seeds in `text` in order, without duplicates unless `repeated`.

    Raises:
        UsageError: as `parse_ranges`, or more than MAX_SEEDS seeds.
    """
    ranges = parse_ranges(text, flag, LARGEST_SEED, "0-63 or 1,5,9")
    if sum(last - first + 1 for first, last in ranges) > MAX_SEEDS:
        raise UsageError(f"{flag} {text!r}: at most {MAX_SEEDS} seeds in one command; use several commands")
    seeds = [seed for first, last in ranges for seed in range(first, last + 1)]
    return seeds if repeated else list(dict.fromkeys(seeds))
