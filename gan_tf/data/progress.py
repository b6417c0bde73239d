"""A progress line for work that takes long, and silence for work that does not."""

import sys
import time

QUIET_SECONDS = 3  # shorter work is not worth a line
TERMINAL_SECONDS = 0.5  # between two states of the line on a terminal
LOG_SECONDS = 30  # between two lines in a file


class Progress:
    """Says on stderr how many images are done, how fast, and how long the others will take.

    Args:
        total: images to be done.
        verb: what happens to them, such as "decoded".
    """

    def __init__(self, total, verb):
        self.total = total
        self.verb = verb
        self.done = 0
        self.terminal = sys.stderr.isatty()
        self.shown = False

    def __enter__(self):
        self.start = self.last = time.monotonic()
        return self

    def __exit__(self, *error):
        if self.shown and self.terminal:
            print(file=sys.stderr)

    def advance(self):
        """Counts one image more."""
        self.done += 1
        now = time.monotonic()
        wait_seconds = TERMINAL_SECONDS if self.terminal else LOG_SECONDS
        if now - self.start < QUIET_SECONDS or now - self.last < wait_seconds:
            return
        self.last, self.shown = now, True
        rate = self.done / (now - self.start)
        left = (self.total - self.done) / rate
        line = f"{self.done}/{self.total} images {self.verb}, {rate:.0f} images/s, {left:.0f} s left"
        print(
            f"\r{line:<79}" if self.terminal else line, end="" if self.terminal else "\n", file=sys.stderr, flush=True
        )
