"""Detects lost workers and shares stop requests between workers.

MultiWorkerMirroredStrategy of TensorFlow 2.21 starts a coordination service in the process of worker 0. Measured with
two processes: the service detects a worker that was killed or frozen after 8 to 12 s, and the end of worker 0 within a
second. A collective operation in progress then fails on the other workers. Two things are left to this module:

* The error surfaces in the next collective operation only, and the chief may compute a score for many minutes before
  that. So a thread polls the states of all workers.
* A worker that waits in a collective operation cannot learn that another worker received a signal. So the signal is
  announced in the key-value store of the service.
"""

import atexit
import os
import sys
import threading
import time

import tensorflow as tf
from tensorflow.python.eager import context

LOST_WORKER = 43  # exit code: another worker is lost, start all workers again
POLL_SECONDS = 0.5
# From a lost worker to the end of this process, so that a process that is already ending keeps its exit code.
GRACE_SECONDS = 10.0
STOP_KEY = "gan_tf/stop"

_ending = threading.Lock()


def end_process(reason):
    """Ends this process with exit code LOST_WORKER, though its main thread may wait in a collective operation."""
    _ending.acquire()  # never released: one line, from the first thread that gets here
    print(f"gan-tf: {reason}; start all workers again: the run continues from its newest checkpoint", file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(LOST_WORKER)


class WorkerMonitor:
    """Thread that ends this process when another worker is lost, and announces and receives stop requests.

    Args:
        spec: ClusterSpec.
        signals: StopSignals of this process.

    Attributes:
        stop_announced: a worker received a signal.
    """

    def __init__(self, spec, signals):
        self._spec, self._signals, self.stop_announced = spec, signals, False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        atexit.register(self.end)  # before TensorFlow's context is destroyed

    def end(self):
        """Stops the thread. The workers may now end in any order."""
        self._ended.set()
        self._thread.join(GRACE_SECONDS)

    def _run(self):
        announced, lost_since = False, None
        while not self._ended.wait(POLL_SECONDS):
            if self._signals.received and not announced:
                announced = publish(STOP_KEY, self._signals.received)
            problem = self._poll()
            lost_since = (lost_since or time.monotonic()) if problem else None
            if problem and time.monotonic() - lost_since > GRACE_SECONDS and not self._ended.is_set():
                end_process(problem)

    def _poll(self) -> str | None:
        """Reads the stop request. Returns a description of lost workers; None if there are none.

        Only the chief reads the states of all workers, from its own process: on another worker that call waits for the
        chief with Python's global lock held.
        """
        try:
            context.context().get_config_key_value(STOP_KEY, timeout_in_ms=int(1000 * POLL_SECONDS))
            self.stop_announced = True
        except tf.errors.DeadlineExceededError:  # no stop request
            pass
        except tf.errors.OpError as error:
            return f"worker 0 does not answer ({first_line(error)})"
        if self._spec.index:
            return None
        states = context.context().get_task_states(list(self._spec.jobs))  # an exception or None for each worker
        lost = [f"worker {index}" for index, error in enumerate(states) if error is not None]
        return f"{', '.join(lost)} stopped answering" if lost else None


def publish(key, text) -> bool:
    """Sets a key of the service. Returns False if that failed; a key that exists keeps its value."""
    try:
        context.context().set_config_key_value(key, text)
    except tf.errors.AlreadyExistsError:
        return True
    except tf.errors.OpError:
        return False
    return True


def read(key, seconds) -> str | None:
    """Returns the value of a key of the service; None if it was not set within some seconds."""
    try:
        return context.context().get_config_key_value(key, timeout_in_ms=int(1000 * seconds))
    except tf.errors.OpError:
        return None


def is_lost_worker_error(error) -> bool:
    """Returns True if the exception of a collective operation means that another worker is lost."""
    lost = (
        tf.errors.UnavailableError,
        tf.errors.AbortedError,
        tf.errors.CancelledError,
        tf.errors.DeadlineExceededError,
    )
    local = (tf.errors.InvalidArgumentError, tf.errors.ResourceExhaustedError, tf.errors.UnimplementedError)
    text = str(error).lower()
    return isinstance(error, lost) or (not isinstance(error, local) and ("collective" in text or "peer" in text))


def first_line(error) -> str:
    """Returns the first line of an exception's message."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
