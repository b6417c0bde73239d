"""Signs of life: noticing a worker that is gone, and asking all to stop, while TensorFlow waits for somebody.

A worker that dies breaks the next collective operation within seconds; one that is frozen, or cut off from the disk,
does not. So each worker rewrites a small file in the shared run folder, and watches those of the others: a file that
stays the same for too long by the watcher's own clock means that its worker is gone. The file also says whether a
signal came: the chief may be at a long score, while the others wait for it in TensorFlow and cannot tell it otherwise.
"""

import contextlib
import itertools
import os
import sys
import threading
import time

from gan_tf.errors import UsageError

LOST_WORKER = 43  # exit code: another worker is gone, start all again
BEAT_SECONDS = 2.0
SILENCE_SECONDS = 40.0  # after which a worker is given up
STOP, GO = "stop", "go"
BEAT_BYTES = 64  # always the same length, rewritten in place: a disk that fills up has room for it


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
        names: {number: name of that worker's process}, this one's among them: what earlier processes left there is no
            sign of life, and a name that changes is another process.

    Attributes:
        is_stopped: function that says whether a signal has come to this worker; asked by another thread.
        others_stop: a signal has come to another worker.
    """

    def __init__(self, folder, index, names, is_stopped=lambda: False):
        self.folder, self.index, self.names = folder, index, names
        self.is_stopped, self.others_stop = is_stopped, False
        self._told = dict.fromkeys((other for other in names if other != index), (None, None))
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self):
        """Begins to beat and to watch, until `end` or the end of the process.

        Raises:
            UsageError: the folder cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.beat(0)
        except OSError as error:
            raise UsageError(
                f"--checkpoints: cannot write the run folder {self.folder.parent} ({error.strerror}); choose another"
            ) from error
        self._thread.start()

    def end(self):
        """No more beats; the others must have ended too. The last one removes the folder."""
        self._ended.set()
        self._thread.join()
        with contextlib.suppress(OSError):
            (self.folder / str(self.index)).unlink()
            self.folder.rmdir()

    def missing_after(self, seconds) -> list[int]:
        """Waits until all others have been seen alive, at most so long: those that were not."""
        deadline = time.monotonic() + seconds
        while (missing := self._unseen()) and time.monotonic() < deadline:
            time.sleep(0.1)
        return missing

    def look(self, now) -> dict[int, float]:
        """Reads the files; seconds of silence of each other worker that has been seen alive.

        Args:
            now: seconds by this process's own steady clock: no worker's time of day matters.
        """
        for other, (before, since) in self._told.items():
            name, number, flag = _words_of(self.folder / str(other))
            if name == self.names[other] and number != before:
                self._told[other] = number, now
                self.others_stop = self.others_stop or flag == STOP
            elif since is not None and name not in (None, self.names[other]):
                end_process(f"worker {other} was started anew")
        return {other: now - since for other, (_, since) in self._told.items() if since is not None}

    def beat(self, number):
        """Shows that this worker lives.

        Raises:
            OSError: the file cannot be written.
        """
        words = f"{self.names[self.index]} {number} {STOP if self.is_stopped() else GO}"
        descriptor = os.open(self.folder / str(self.index), os.O_WRONLY | os.O_CREAT, 0o644)
        with open(descriptor, "wb", buffering=0) as file:
            file.write(words.encode().ljust(BEAT_BYTES - 1) + b"\n")

    def _unseen(self):
        return [other for other, (_, since) in self._told.items() if since is None]

    def _run(self):
        written = time.monotonic()
        for number in itertools.count(1):
            now = time.monotonic()
            try:
                self.beat(number)
                written = now
            except OSError as error:  # what is full or read-only is told by whoever writes a checkpoint
                if now - written > SILENCE_SECONDS:
                    end_process(f"this worker cannot write to {self.folder} ({error.strerror})")
            for other, silence in self.look(now).items():
                if silence > SILENCE_SECONDS:
                    end_process(f"worker {other} has been silent for {silence:.0f} s")
            if self._ended.wait(BEAT_SECONDS):
                return


def _words_of(path):
    """(name of the process, number of the beat, stop or go) in a file; Nones if it holds none."""
    try:
        name, number, flag = path.read_text().split()
    except (OSError, ValueError):
        return None, None, None
    return name, number, flag
