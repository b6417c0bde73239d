"""What goes by the wall clock. None of it changes what is learnt."""

import math
import time

from gan_tf.training.monitor import duration

FIRST_LOOK_SECONDS = 40  # a second sample grid and checkpoint come so early, whatever the epoch
TIMED_SECONDS = 3  # of training tell its speed well enough
EVALUATION_SHARE = 0.1  # of the time; above it, a larger --eval-every is suggested


class Clock:
    """What goes by the wall clock: none of it changes what is learnt."""

    def __init__(self, config):
        self.started = self.last_save = time.monotonic()
        self.checkpoint_seconds = 60 * config.checkpoint_minutes
        self.end = self.started + 60 * config.max_minutes if config.max_minutes else math.inf
        self.eval_every = config.eval_every
        self._score_seconds = None
        self._timed_images, self._timed_seconds = 0, 0.0
        self._first_look = False

    def time_is_up(self):
        """True once `--max-minutes` are over."""
        return time.monotonic() >= self.end

    def seconds_left(self):
        """Until `--max-minutes` are over; infinite without them."""
        return self.end - time.monotonic()

    def checkpoint_is_due(self):
        """True if the last save is `--checkpoint-minutes` ago."""
        return time.monotonic() - self.last_save >= self.checkpoint_seconds

    def saved(self):
        """Notes a save."""
        self.last_save = time.monotonic()

    def first_look_is_due(self):
        """True once, soon after the start, and a checkpoint is then due too: nobody should wait an epoch for the first
        sight of a run, or lose its first minutes.
        """
        if self._first_look or time.monotonic() - self.started < FIRST_LOOK_SECONDS:
            return False
        self._first_look = True
        self.last_save = -math.inf
        return True

    def expects_scores_of(self, seconds):
        """Notes how long a score is expected to take."""
        self._score_seconds = seconds

    def trained(self, images, seconds, epoch_images, log):
        """Says once, as soon as the speed is known, which share of the time scores will take, and how to lower it."""
        if self._score_seconds is None:
            return
        self._timed_images += images
        self._timed_seconds += seconds
        if self._timed_seconds < TIMED_SECONDS:
            return
        epoch_seconds = self._timed_seconds * epoch_images / self._timed_images
        share = share_of_scores(self._score_seconds, epoch_seconds, self.eval_every)
        words = f"scores take about {duration(self._score_seconds)} each, {share:.0%} of the time"
        if share > EVALUATION_SHARE:
            every = math.ceil(self._score_seconds * (1 / EVALUATION_SHARE - 1) / epoch_seconds)
            words += f"; --eval-every {every} brings it to {EVALUATION_SHARE:.0%}"
        log(words)
        self._score_seconds = None


def share_of_scores(score_seconds, epoch_seconds, eval_every):
    """Share of the time that goes into scores."""
    return score_seconds / (score_seconds + eval_every * epoch_seconds)
