"""Timer: wall-clock limits and intervals of a run. Nothing that is learnt depends on it."""

import math
import time

FIRST_GRID_SECONDS = 40  # the second sample grid and a checkpoint are written this early, however long an epoch is
TIMED_SECONDS = 3  # of training, before its speed is reported
EVALUATION_SHARE = 0.1  # of the time; if scores take more, a larger --eval-every is suggested


class Timer:
    """Wall-clock limits and intervals of one start of the program.

    Args:
        config: TrainConfig.
    """

    def __init__(self, config):
        self.started = self.last_save = time.monotonic()
        self.checkpoint_seconds = 60 * config.checkpoint_minutes
        self.end = self.started + 60 * config.max_minutes if config.max_minutes else math.inf
        self.eval_every = config.eval_every
        self.score_seconds = None  # expected duration of a score, until the share of the time was reported
        self._trained_images, self._trained_seconds = 0, 0.0
        self._had_first_grid = False

    def is_up(self) -> bool:
        """True once `--max-minutes` are over."""
        return time.monotonic() >= self.end

    def seconds_left(self) -> float:
        """Seconds until `--max-minutes` are over; infinite without a limit."""
        return self.end - time.monotonic()

    def checkpoint_is_due(self) -> bool:
        """True if the last checkpoint is `--checkpoint-minutes` old."""
        return time.monotonic() - self.last_save >= self.checkpoint_seconds

    def saved(self):
        """Call after each checkpoint."""
        self.last_save = time.monotonic()

    def first_grid_is_due(self) -> bool:
        """True once, shortly after the start, when a grid and a checkpoint are due before the end of the epoch."""
        if self._had_first_grid or time.monotonic() - self.started < FIRST_GRID_SECONDS:
            return False
        self._had_first_grid = True
        self.last_save = -math.inf
        return True

    def share_of_scores(self, images, seconds, epoch_images) -> str | None:
        """A line, once, with the share of the time that scores will take and the `--eval-every` that lowers it.

        Args:
            images, seconds: images trained since the last call, and their duration.
            epoch_images: images in an epoch.

        Returns:
            None until TIMED_SECONDS of training were measured, and after the line was returned.
        """
        if self.score_seconds is None:
            return None
        self._trained_images += images
        self._trained_seconds += seconds
        if self._trained_seconds < TIMED_SECONDS:
            return None
        score_seconds, self.score_seconds = self.score_seconds, None
        epoch_seconds = self._trained_seconds * epoch_images / self._trained_images
        share = score_seconds / (score_seconds + self.eval_every * epoch_seconds)
        line = f"scores take about {duration(score_seconds)} each, {share:.0%} of the time"
        if share > EVALUATION_SHARE:
            every = math.ceil(score_seconds * (1 / EVALUATION_SHARE - 1) / epoch_seconds)
            line += f"; --eval-every {every} brings it to {EVALUATION_SHARE:.0%}"
        return line


def duration(seconds) -> str:
    """Readable duration: 45 s, 12 min, 3 h 20 min, 2 d 4 h."""
    minutes, hours = int(seconds // 60), int(seconds // 3600)
    if minutes < 1:
        return f"{seconds:.0f} s"
    if hours < 1:
        return f"{minutes} min"
    if hours < 48:
        return f"{hours} h {minutes % 60} min"
    return f"{hours // 24} d {hours % 24} h"
