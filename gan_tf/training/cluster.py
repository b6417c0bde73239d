"""The processes of a run on several machines: who decides, what all agree on, and noticing who is gone.

Every worker runs the same loop on its share of each batch; `tf.distribute` sums their gradients. What is decided by a
clock, a file or a score is decided by the chief, worker 0, and told to the others by a collective operation, so that
all take the same turn. Only the chief writes the run folder.

A worker that dies breaks the next collective within seconds; one that is frozen does not. So each worker rewrites a
small file in the shared run folder, and watches those of the others: a file that stays the same for too long by the
watcher's own clock means that its worker is gone. The others cannot go on alone; they end, and all are started again.
"""

import contextlib
import itertools
import os
import secrets
import sys
import threading
import time

import tensorflow as tf

from gan_tf.errors import UsageError
from gan_tf.files import write_atomically
from gan_tf.training import devices

LOST_WORKER = 43  # exit code: another worker is gone, start all again
BEAT_SECONDS = 2.0
SILENCE_SECONDS = 40.0  # after which a worker is given up
GONE = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError, tf.errors.DeadlineExceededError)


def start_strategy(name, folder, wait_seconds, say=print):
    """`devices.choose_strategy`, once the other workers have started where there are some.

    A worker that has not started after `wait_seconds` ends this process with `LOST_WORKER`, and so does one that falls
    silent later.

    Args:
        name: of `--strategy`.
        folder: for the workers' signs of life, seen by all.
        wait_seconds: how long to wait for the others.

    Raises:
        UsageError: see `devices.choose_strategy`.
    """
    place = devices.place_in_cluster() if name in ("auto", "multi_worker") else None
    if place is None:
        return devices.choose_strategy(name)
    index, count = place
    beats = Heartbeats(folder, index, count)
    say(f"worker {index} of {count}: waiting for the others, at most {wait_seconds:g} s")
    beats.start()
    if missing := beats.missing_after(wait_seconds):
        names = ", ".join(f"worker {number}" for number in missing)
        end_process(
            f"{names} did not show up in {folder} within {wait_seconds:g} s; see that it starts, and that this folder "
            "is on a file system that all workers share"
        )
    try:
        return devices.choose_strategy(name)
    except (tf.errors.OpError, RuntimeError) as error:
        end_process(f"the workers did not find each other ({str(error).splitlines()[0][:200]})")


def end_process(why):
    """Ends this process at once, with `LOST_WORKER`: its other threads may wait in a collective for ever."""
    print(f"gan-tf: {why}; start all workers again: the run continues from its newest checkpoint", file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(LOST_WORKER)


class Heartbeats:
    """This worker's sign of life in a shared folder, and a watch over those of the others.

    Args:
        folder: that all workers see; each has a file of its number in it.
        index: number of this worker.
        count: number of workers.
    """

    def __init__(self, folder, index, count):
        self.folder, self.index = folder, index
        self._told = {other: (_text_of(folder / str(other)), None) for other in range(count) if other != index}

    def start(self):
        """Begins to beat and to watch, until the process ends.

        Raises:
            UsageError: the folder cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"--checkpoints: cannot write the run folder {self.folder.parent} ({error.strerror}); choose another"
            ) from error
        threading.Thread(target=self._run, daemon=True).start()

    def missing_after(self, seconds) -> list[int]:
        """Waits until all others have been seen alive, at most so long: those that were not."""
        deadline = time.monotonic() + seconds
        while (missing := self._unseen()) and time.monotonic() < deadline:
            time.sleep(0.1)
        return missing

    def look(self, now) -> dict[int, float]:
        """Notes which files have changed; seconds of silence of each other worker that has been seen alive.

        Args:
            now: seconds by this process's own steady clock: no worker's time of day matters.
        """
        for other, (before, _) in self._told.items():
            text = _text_of(self.folder / str(other))
            if text is not None and text != before:
                self._told[other] = text, now
        return {other: now - since for other, (_, since) in self._told.items() if since is not None}

    def beat(self, number):
        """Shows that this worker lives."""
        with contextlib.suppress(OSError):  # a full disk is told by whoever writes a checkpoint
            write_atomically(self.folder / str(self.index), str(number).encode())

    def _unseen(self):
        return [other for other, (_, since) in self._told.items() if since is None]

    def _run(self):
        first = secrets.randbelow(2**50)  # unlike what an earlier process left there
        for number in itertools.count(first):
            self.beat(number)
            for other, silence in self.look(time.monotonic()).items():
                if silence > SILENCE_SECONDS:
                    end_process(f"worker {other} has been silent for {silence:.0f} s")
            time.sleep(BEAT_SECONDS)


def is_of_another(error) -> bool:
    """True if an error of a collective operation says that another worker is gone."""
    return isinstance(error, GONE) or "collective" in str(error).lower() or "peer" in str(error).lower()


class Cluster:
    """The workers of this run.

    Args:
        strategy: tf.distribute.Strategy.
    """

    def __init__(self, strategy):
        of_many = isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
        self.index, self.count = (devices.place_in_cluster() if of_many else None) or (0, 1)
        self.strategy = strategy
        self._sum = tf.function(self._summed, autograph=False)

    @property
    def is_chief(self) -> bool:
        """True for the one that decides and writes; True where there is one alone."""
        return self.index == 0

    def told(self, *values) -> list[float]:
        """The chief's values (floats), on every worker: all must call it together."""
        if self.count == 1:
            return [float(value) for value in values]
        own = values if self.is_chief else [0.0] * len(values)
        own = [1.0, *map(float, own)]  # never empty: to wait for each other is to be told nothing
        return [float(value) for value in self._sum(tf.constant(own, tf.float64))[1:]]

    def turn(self, signal, out_of_time) -> tuple[bool, bool]:
        """(whether a signal came to any worker, whether the chief's time is up): the same on all."""
        if self.count == 1:
            return bool(signal), out_of_time
        flags = [float(signal is not None), float(self.is_chief and out_of_time)]
        signals, ends = self._sum(tf.constant(flags, tf.float64))
        return bool(signals > 0), bool(ends > 0)

    def _summed(self, values):
        """[K] float64 of every worker, added up over the workers."""
        per_worker = self.strategy.num_replicas_in_sync // self.count

        def share():
            own = tf.identity(values)  # on this replica's device
            return tf.distribute.get_replica_context().all_reduce("sum", own) / per_worker

        return self.strategy.experimental_local_results(self.strategy.run(share))[0]


def _text_of(path):
    try:
        return path.read_text()
    except OSError:
        return None
