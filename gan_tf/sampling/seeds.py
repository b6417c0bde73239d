"""Seeds as users write them: `0-63`, `1,5,9`, or both."""

import re

from gan_tf.errors import UsageError

MOST_SEEDS = 1_000_000  # in one command
LARGEST_SEED = 2**63 - 1  # int64


def parse_seeds(text: str, flag: str = "--seeds", repeated: bool = False) -> list[int]:
    """Returns the seeds that `text` names, in order.

    Args:
        text: numbers and ranges with commas between them; a range includes both its ends.
        flag: what gave it, for messages.
        repeated: keep a seed as often as it is named; else each once.

    Raises:
        UsageError: anything else, a range that runs backwards, or too many seeds.
    """
    found = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,20})\s*(?:-\s*(\d{1,20})\s*)?", part, re.ASCII)
        if not match:
            raise UsageError(f"{flag} {text!r}: {part.strip()!r} is no number or range; give e.g. 0-63 or 1,5,9")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise UsageError(f"{flag} {text!r}: the range {first}-{last} runs backwards; give {last}-{first}")
        if last > LARGEST_SEED:
            raise UsageError(f"{flag} {text!r}: {last} is too large; the largest seed is {LARGEST_SEED}")
        if len(found) + last - first + 1 > MOST_SEEDS:
            raise UsageError(f"{flag} {text!r}: at most {MOST_SEEDS} in one command; split them over several")
        found += range(first, last + 1)
    return found if repeated else list(dict.fromkeys(found))
