"""Progress lines on stderr for long work, and an ordered map over threads."""

import concurrent.futures
import os
import sys
import time
from collections import deque

QUIET_SECONDS = 3  # shorter work prints nothing
TERMINAL_SECONDS = 0.5  # between two updates on a terminal
LOG_SECONDS = 30  # between two lines in a file
BAR = 20  # characters of the bar
LINE = 79  # characters; shorter lines are padded, to cover the line before


class Progress:
    """Prints how much is done, the speed and the remaining time to stderr.

    Args:
        total: amount of work, in counts of `advance`; 0 if unknown.
        verb: of the work, such as "decoded".
        noun: unit that is shown; `scale` counts are one unit (bytes are shown in MB).
        before: amount done by an earlier process, left out of the speed.
    """

    def __init__(self, total, verb, noun="images", scale=1, before=0):
        self.total, self.verb, self.noun, self.scale = total, verb, noun, scale
        self.done = self.before = before
        self.terminal = sys.stderr.isatty()
        self.shown = False
        self.start = self.last = time.monotonic()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self.shown and self.terminal:
            print(file=sys.stderr)

    def advance(self, count=1):
        """Adds `count` to the work done, and prints a line if the last one is old enough."""
        self.done += count
        now = time.monotonic()
        wait_seconds = TERMINAL_SECONDS if self.terminal else LOG_SECONDS
        if now - self.start < QUIET_SECONDS or now - self.last < wait_seconds:
            return
        self.last, self.shown = now, True
        rate = (self.done - self.before) / (now - self.start)
        total = f"/{self.total // self.scale}" if self.total else ""
        text = f"{self.done // self.scale}{total} {self.noun} {self.verb}"
        text += f", {rate / self.scale:.{0 if rate >= 10 * self.scale else 1}f} {self.noun}/s"
        if self.total and rate:
            text += f", {max(0, self.total - self.done) / rate:.0f} s left"
        if self.total and self.terminal:
            full = min(BAR, BAR * self.done // self.total)
            text = f"[{'#' * full}{'.' * (BAR - full)}] {text}"
        if self.terminal:
            print(f"\r{text:<{LINE}}", end="", file=sys.stderr, flush=True)
        else:
            print(text, file=sys.stderr, flush=True)


class StagedProgress:
    """Progress of several tasks, one after the other. Call it with (done, total, verb).

    A new task starts when the verb changes or `done` decreases.

    Args:
        nouns: {verb: unit} for work whose unit is not images.
    """

    def __init__(self, nouns=None):
        self._nouns = nouns or {}
        self._progress = None

    def __call__(self, done, total, verb):
        if self._progress is None or self._progress.verb != verb or done < self._progress.done:
            self.close()
            self._progress = Progress(total, verb, self._nouns.get(verb, "images"), before=done)
        else:
            self._progress.advance(done - self._progress.done)

    def close(self):
        """Ends the line of the current task."""
        if self._progress is not None:
            self._progress.__exit__()
            self._progress = None


def map_in_order(function, items):
    """Yields `function(item)` for each item in order, computed ahead by one thread per core.

    For functions that release the GIL: reading, hashing, Pillow, NumPy. The number of waiting results is bounded, so
    that a slow consumer does not fill the memory.
    """
    workers = os.cpu_count() or 1
    pending = deque()
    pool = concurrent.futures.ThreadPoolExecutor(workers)
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > 2 * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def log(line):
    """Prints a line on standard error: standard output is for results."""
    print(line, file=sys.stderr, flush=True)
