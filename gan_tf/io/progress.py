"""A progress line for work that takes long, and silence for work that does not."""

import sys
import time

QUIET_SECONDS = 3  # shorter work is not worth a line
TERMINAL_SECONDS = 0.5  # between two states of the line on a terminal
LOG_SECONDS = 30  # between two lines in a file
BAR = 20  # characters
LINE = 79


class Progress:
    """Says on stderr how much is done, how fast, and how long the rest will take.

    Args:
        total: what is to be done, 0 if nobody knows.
        verb: what happens to it, such as "decoded".
        noun: what it is; `scale` of what `advance` counts make one of it (bytes are told in MB).
        before: what was done by an earlier process; it does not count for the speed.
    """

    def __init__(self, total, verb, noun="images", scale=1, before=0):
        self.total = total
        self.verb = verb
        self.noun = noun
        self.scale = scale
        self.done = self.before = before
        self.terminal = sys.stderr.isatty()
        self.shown = False

    def __enter__(self):
        self.start = self.last = time.monotonic()
        return self

    def __exit__(self, *error):
        if self.shown and self.terminal:
            print(file=sys.stderr)

    def advance(self, count=1):
        """Counts so many more."""
        self.done += count
        now = time.monotonic()
        wait_seconds = TERMINAL_SECONDS if self.terminal else LOG_SECONDS
        if now - self.start < QUIET_SECONDS or now - self.last < wait_seconds:
            return
        self.last, self.shown = now, True
        line = self.line(now - self.start)
        print(
            f"\r{line:<{LINE}}" if self.terminal else line,
            end="" if self.terminal else "\n",
            file=sys.stderr,
            flush=True,
        )

    def line(self, seconds):
        """The line after so many seconds."""
        rate = (self.done - self.before) / seconds
        speed = f"{self.verb}, {rate / self.scale:.{0 if rate >= 10 * self.scale else 1}f} {self.noun}/s"
        if not self.total:
            return f"{self.done // self.scale} {self.noun} {speed}"
        text = f"{self.done // self.scale}/{self.total // self.scale} {self.noun} {speed}"
        text += f", {max(0, self.total - self.done) / rate:.0f} s left" if rate else ""
        full = min(BAR, BAR * self.done // self.total)
        return f"[{'#' * full}{'.' * (BAR - full)}] {text}" if self.terminal else text


class StagedProgress:
    """Progress of work in several parts; called with (done, total, what is done) as each goes on.

    What is done less than before is another part of the same name.

    Args:
        nouns: {what is done: what it is done to}, where that is not images.
    """

    def __init__(self, nouns=None):
        self._nouns = nouns or {}
        self._progress = None

    def __call__(self, done, total, verb):
        if self._progress is None or self._progress.verb != verb or done < self._progress.done:
            self.close()
            self._progress = Progress(total, verb, self._nouns.get(verb, "images"), before=done)
            self._progress.__enter__()
        else:
            self._progress.advance(done - self._progress.done)

    def close(self):
        """Ends the line."""
        if self._progress is not None:
            self._progress.__exit__()
            self._progress = None
