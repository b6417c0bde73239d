"""Detects lost workers, records stop signals, and shares both between workers.

MultiWorkerMirroredStrategy of TensorFlow 2.21 starts a coordination service in the process of worker 0, the chief.
Measured with two processes: the service detects a worker that was killed or frozen after 8 to 12 s, and the end of
worker 0 within a second. A collective operation in progress then fails on the other workers. `WorkerMonitor` fills the
gaps:

* Only a collective operation raises the error, and the chief may compute a score for many minutes before the next one.
  So a thread of the chief polls the states of all workers, and a thread of every other worker polls the chief.
* A worker that receives a signal may be waiting in a collective operation for the chief, which computes a score. So its
  thread announces the signal in the key-value store of the service, where the chief's thread finds it.
* The end of worker 0 ends the service, and the other workers with it; and a worker that ends is lost to worker 0. So
  they stop their threads together.
"""

import atexit
import contextlib
import os
import signal
import socket
import sys
import threading
import time

import tensorflow as tf
from tensorflow.python.eager import context

from gan_tf.errors import LOST_WORKER

POLL_SECONDS = 0.5
# From the detection of a lost worker to the end of this process, so that one that is ending anyway keeps its exit code.
GRACE_SECONDS = 10.0
END_SECONDS = 120  # that a worker waits for another at the end of the run

_ending = threading.Lock()


class StopSignals:
    """Records SIGINT, SIGTERM and SIGHUP within a `with` block. The second one of a kind has its usual effect.

    SIGHUP is sent when the terminal is closed. If it was ignored, as by nohup, it still is.

    With several workers, enter the block after `workers.start_workers`: TensorFlow 2.21 installs a SIGTERM handler of
    its own when it connects the workers.
    """

    HANDLED = (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))

    def __init__(self):
        self._received = self._reader = None

    def __enter__(self):
        # Shells start background commands with SIGINT ignored, but a script may send it to stop them.
        handled = [n for n in self.HANDLED if n == signal.SIGINT or signal.getsignal(n) != signal.SIG_IGN]
        self._previous = {number: signal.signal(number, self._handle) for number in handled}
        self._reader, self._writer = socket.socketpair()
        for end in (self._reader, self._writer):
            end.setblocking(False)
        self._previous_wakeup = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        return self

    def __exit__(self, *error):
        signal.set_wakeup_fd(self._previous_wakeup)
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        for end in (self._reader, self._writer):
            end.close()

    @property
    def received(self) -> str | None:
        """Name of the first signal received, such as "SIGTERM", or None. Any thread may read it.

        While the main thread waits in TensorFlow no Python handler can run, but the interpreter still writes the
        signal's number to the wakeup socket.
        """
        with contextlib.suppress(OSError, AttributeError):  # reads no file: no signal, or outside the block
            for number in self._reader.recv(64):
                if number in self._previous:
                    self._received = self._received or signal.Signals(number).name
        return self._received

    def _handle(self, number, frame):
        self._received = self._received or signal.Signals(number).name
        signal.signal(number, self._previous[number])


class WorkerMonitor:
    """Thread that ends this process when another worker is lost, and shares stop signals between workers.

    The chief detects the loss of any worker, the others that of the chief.

    `stop_announced` is True once any worker has announced a signal.

    Args:
        spec: ClusterSpec.
        signals: StopSignals of this process.
    """

    def __init__(self, spec, signals):
        self._spec, self._signals, self.stop_announced = spec, signals, False
        self._service = context.context()  # the key-value store is part of it
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        atexit.register(self.end)  # before TensorFlow's context is destroyed

    def end(self):
        """Stops the thread, so that the end of another worker no longer ends this process."""
        self._ended.set()
        self._thread.join(GRACE_SECONDS)

    def end_together(self):
        """Stops the threads of all workers, so that each may end its process. All workers must call this.

        Waits at most `END_SECONDS` for each of the others. No process ends before the chief's thread has stopped,
        because ended workers are lost to it; the chief's process ends last.
        """
        self.end()
        with contextlib.suppress(tf.errors.OpError):
            if self._spec.index:
                self._wait_for_end_of(0)
            self._service.set_config_key_value(f"gan_tf/ended/{self._spec.index}", "yes")
            if self._spec.index == 0:
                for index in range(1, len(self._spec.addresses)):
                    self._wait_for_end_of(index)

    def _wait_for_end_of(self, index):
        self._service.get_config_key_value(f"gan_tf/ended/{index}", timeout_in_ms=1000 * END_SECONDS)

    def _run(self):
        lost_since = None
        while not self._ended.wait(POLL_SECONDS):
            if self._signals.received and not self.stop_announced:
                with contextlib.suppress(tf.errors.OpError):  # the key exists, or worker 0 does not answer
                    self._service.set_config_key_value("gan_tf/stop", self._signals.received)
            problem = self._poll()
            lost_since = (lost_since or time.monotonic()) if problem else None
            if problem and time.monotonic() - lost_since > GRACE_SECONDS and not self._ended.is_set():
                end_process(problem)

    def _poll(self) -> str | None:
        """Updates `stop_announced`. Returns a description of lost workers; None if there are none.

        Only the chief reads the states of all workers: elsewhere that call waits for the chief with the GIL held.
        """
        try:
            self._service.get_config_key_value("gan_tf/stop", timeout_in_ms=int(1000 * POLL_SECONDS))
            self.stop_announced = True
        except tf.errors.DeadlineExceededError:  # no stop request
            pass
        except tf.errors.OpError as error:
            return f"worker 0 does not answer ({first_line(error)})"
        if self._spec.index:
            return None
        states = self._service.get_task_states(list(self._spec.jobs))  # an exception or None for each worker
        lost = [f"worker {index}" for index, error in enumerate(states) if error is not None]
        return f"{', '.join(lost)} stopped answering" if lost else None


def end_process(reason):
    """Ends this process with exit code LOST_WORKER, even if its main thread waits in a collective operation."""
    _ending.acquire()  # never released: only the first thread prints its line
    print(f"gan-tf: {reason}; start all workers again: the run continues from its newest checkpoint", file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(LOST_WORKER)


def is_lost_worker_error(error) -> bool:
    """Returns True if the exception of a collective operation means that another worker is lost."""
    codes = tf.errors
    lost = (codes.UnavailableError, codes.AbortedError, codes.CancelledError, codes.DeadlineExceededError)
    local = (codes.InvalidArgumentError, codes.ResourceExhaustedError, codes.UnimplementedError)
    text = str(error).lower()
    return isinstance(error, lost) or (not isinstance(error, local) and ("collective" in text or "peer" in text))


def first_line(error) -> str:
    """Returns the first line of an exception's message."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
