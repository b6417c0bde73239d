"""What goes by the wall clock. None of it changes what is learnt."""

import math
import time

from gan_tf.training.monitor import duration

FIRST_LOOK_SECONDS = 40  # a second sample grid and checkpoint come so early, whatever the epoch
EVALUATION_SHARE = 0.1  # of the time; above it, a larger --eval-every is suggested


class Clock:
    """What goes by the wall clock: none of it changes what is learnt."""

    def __init__(self, config):
        self.started = self.last_save = time.monotonic()
        self.checkpoint_seconds = 60 * config.checkpoint_minutes
        self.end = self.started + 60 * config.max_minutes if config.max_minutes else math.inf
        self._evaluation_seconds = 0.0
        self._advised = False
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

    def evaluated(self, seconds, eval_every, say):
        """Notes what a score cost, and says once which --eval-every would make it cheap."""
        self._evaluation_seconds += seconds
        share = self._evaluation_seconds / (time.monotonic() - self.started)
        if share > EVALUATION_SHARE and not self._advised:
            self._advised = True
            # The rest of the time is the same; the share falls as 1 / every.
            every = math.ceil(eval_every * share / (1 - share) * (1 - EVALUATION_SHARE) / EVALUATION_SHARE)
            say(
                f"scoring took {duration(seconds)}, {share:.0%} of the time; "
                f"--eval-every {every} would bring it to {EVALUATION_SHARE:.0%}"
            )
