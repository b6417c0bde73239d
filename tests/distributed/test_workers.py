"""A single process as a group of one, stop signals, and which errors mean that another worker is lost."""

import hashlib
import os
import signal
import threading
import time

import pytest
import tensorflow as tf

from gan_tf.distributed.liveness import StopSignals, is_lost_worker_error
from gan_tf.distributed.workers import Workers
from tests.programs import wait_until


def test_single_process_is_a_group_of_one():
    workers = Workers(tf.distribute.get_strategy(), "one device")
    assert workers.is_chief
    assert workers.broadcast(3, True) == [3.0, 1.0]
    assert workers.sync_flags(False) == (None, False)
    assert workers.sync_flags(True) == (None, True)
    assert workers.stop_requested() is None
    workers.require_equal("--precision", "float32", "give another")
    workers.end()


@pytest.mark.parametrize(
    "error, is_lost",
    [
        (tf.errors.UnavailableError(None, None, "Socket closed"), True),
        (tf.errors.InternalError(None, None, "Collective ops is aborted by: peer ended"), True),
        (tf.errors.InvalidArgumentError(None, None, "Shape mismatch in the collective"), False),
        (tf.errors.InternalError(None, None, "cuDNN failed"), False),
    ],
)
def test_errors_of_a_lost_worker(error, is_lost):
    assert is_lost_worker_error(error) == is_lost


def test_stop_signals():
    signals = StopSignals()
    assert signals.received is None
    handlers = [signal.getsignal(number) for number in StopSignals.HANDLED]
    with signals:
        assert signals.received is None
        signal.raise_signal(signal.SIGTERM)
        assert signals.received == "SIGTERM"
        assert signal.getsignal(signal.SIGTERM) == handlers[1], "a second signal has its usual effect"
    assert signals.received == "SIGTERM"
    assert [signal.getsignal(number) for number in StopSignals.HANDLED] == handlers


def test_another_thread_reads_a_signal_while_the_main_thread_is_busy():
    received_at = []

    def send_and_read(signals):
        os.kill(os.getpid(), signal.SIGTERM)
        wait_until(lambda: signals.received == "SIGTERM")
        received_at.append(time.monotonic())

    with StopSignals() as signals:
        thread = threading.Thread(target=send_and_read, args=[signals])
        thread.start()
        hashlib.pbkdf2_hmac("sha256", b"", b"", 3_000_000)  # in C without the global lock, like a call of TensorFlow
        end = time.monotonic()
        thread.join()
    assert received_at[0] < end
