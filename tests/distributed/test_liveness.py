"""WorkerMonitor, with a coordination service that returns prepared answers."""

import threading
import time
import types

import pytest
import tensorflow as tf

from gan_tf.distributed import liveness
from gan_tf.distributed.cluster_spec import ClusterSpec
from gan_tf.distributed.stop_signals import StopSignals


class Service:
    """The calls of TensorFlow's context that the monitor uses."""

    def __init__(self):
        self.states, self.values = [None, None], {}

    def get_task_states(self, jobs):
        return self.states

    def set_config_key_value(self, key, value):
        if key in self.values:
            raise tf.errors.AlreadyExistsError(None, None, key)
        self.values[key] = value

    def get_config_key_value(self, key, timeout_in_ms):
        if isinstance(self.states, Exception):
            raise self.states
        if key not in self.values:
            raise tf.errors.DeadlineExceededError(None, None, key)
        return self.values[key]


@pytest.fixture
def service(monkeypatch):
    service = Service()
    monkeypatch.setattr(liveness.context, "context", lambda: service)
    monkeypatch.setattr(liveness, "POLL_SECONDS", 0.01)
    return service


@pytest.fixture
def start(monkeypatch):
    """Starts a monitor; `end_process` records its reason. Returns (monitor, reasons, event)."""
    monitors, reasons, ended = [], [], threading.Event()

    def end_process(reason):
        reasons.append(reason)
        ended.set()

    def make(index=0, grace_seconds=0.0, signals=None):
        monkeypatch.setattr(liveness, "GRACE_SECONDS", grace_seconds)
        spec = ClusterSpec(index, ("a:1", "b:1"), (("worker", 2),))
        monitors.append(liveness.WorkerMonitor(spec, signals or StopSignals()))
        return monitors[-1], reasons, ended

    monkeypatch.setattr(liveness, "end_process", end_process)
    yield make
    for monitor in monitors:
        monitor.end()


@pytest.mark.parametrize(
    "index, states, reason",
    [
        (0, [None, tf.errors.UnavailableError(None, None, "heartbeat timeout")], "worker 1 stopped"),
        (1, tf.errors.UnavailableError(None, None, "Socket closed"), "worker 0 does not answer (Socket closed)"),
    ],
)
def test_a_lost_worker_ends_the_process(service, start, index, states, reason):
    _, reasons, ended = start(index)
    assert not ended.wait(0.1)
    service.states = states
    assert ended.wait(10)
    assert reasons[0].startswith(reason)


def test_a_process_that_ends_by_itself_keeps_its_exit_code(service, start):
    monitor, reasons, ended = start(grace_seconds=5.0)
    service.states = [None, tf.errors.UnavailableError(None, None, "heartbeat timeout")]
    assert not ended.wait(0.1)
    monitor.end()
    assert not reasons


def test_a_stop_request_reaches_the_other_workers(service, start):
    signals = types.SimpleNamespace(received=None)
    monitors = [start(0, signals=signals)[0], start(1)[0]]
    time.sleep(0.1)
    assert not any(monitor.stop_announced for monitor in monitors)
    signals.received = "SIGTERM"
    deadline = time.monotonic() + 10
    while not all(monitor.stop_announced for monitor in monitors):
        assert time.monotonic() < deadline
        time.sleep(0.01)
