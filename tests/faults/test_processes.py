"""Faults of processes: killed, frozen, stopped, missing or late workers, and workers that differ."""

import functools
import signal
import socket
import time

import numpy as np
import pytest

from tests.faults.scenario import CHIEF, FLAGS, LOST, NAMES, REFUSED, SAVED, WORKER
from tests.training import tiny

pytestmark = pytest.mark.slow

START_AGAIN = "start all workers again"
both = pytest.mark.parametrize("index", [CHIEF, WORKER], ids=NAMES)
ROW_NAMES = ("the chief", "a worker")


@both
def test_killed(index, scenario):
    scenario.start_trained().fault(scenario.workers.send, index, signal.SIGKILL)
    scenario.ends({1 - index: LOST}, START_AGAIN).continues()
    scenario.add_row(f"{ROW_NAMES[index]} is killed", "the other ends with 43")


@both
def test_frozen(index, scenario):
    scenario.start_trained().fault(scenario.workers.send, index, signal.SIGSTOP)
    scenario.ends({1 - index: LOST}, START_AGAIN).continues()
    scenario.add_row(f"{ROW_NAMES[index]} is frozen", "the other ends with 43")


@both
def test_stopped(index, scenario):
    scenario.start_trained().fault(scenario.workers.send, index, signal.SIGTERM)
    scenario.ends({CHIEF: SAVED, WORKER: SAVED}, "saved; the same command continues the run").continues()
    scenario.add_row(f"{ROW_NAMES[index]} gets SIGTERM", "both save and end with 42")


@both
def test_never_started(index, scenario):
    scenario.fault(functools.partial(scenario.start, 1 - index, wait_seconds=15))
    scenario.ends({1 - index: LOST}, START_AGAIN)
    scenario.start().trains_to_the_end()
    scenario.add_row(f"{ROW_NAMES[index]} never starts", "the other ends with 43, here after `--wait-seconds 15`")


def test_started_late(scenario):
    scenario.start(CHIEF)
    time.sleep(10)
    scenario.workers.start(WORKER)
    scenario.trains_to_the_end()
    scenario.add_row("a worker starts late", "the other waits")


def test_stopped_during_a_score(scenario):
    """The worker waits for the chief in a collective operation of TensorFlow."""
    scenario.start(CHIEF, options=["--fault", "long_score"])
    scenario.workers.start(WORKER)
    scenario.wait_for_injection(CHIEF).fault(scenario.workers.send, WORKER, signal.SIGTERM)
    scenario.ends({CHIEF: SAVED, WORKER: SAVED}, "saved; the same command continues the run").continues()
    scenario.add_row("a worker gets SIGTERM during a score", "both save and end with 42; the next start scores first")


def test_killed_during_a_score(scenario):
    """The chief computes the score without a collective operation that could fail."""
    scenario.start(CHIEF, options=["--fault", "long_score"])
    scenario.workers.start(WORKER)
    scenario.wait_for_injection(CHIEF).fault(scenario.workers.send, WORKER, signal.SIGKILL)
    scenario.ends({CHIEF: LOST}, START_AGAIN)


def test_killed_while_connecting(scenario):
    scenario.start(WORKER, options=["--fault", "killed_while_connecting"], wait_seconds=15)
    scenario.workers.start(CHIEF)
    scenario.wait_for_injected_end(WORKER, -signal.SIGKILL).ends({CHIEF: LOST}, START_AGAIN)
    scenario.start().trains_to_the_end()
    scenario.add_row("a worker dies while they connect", "the other ends with 43, here after `--wait-seconds 15`")


def test_port_of_another_program(scenario):
    scenario.fault(functools.partial(scenario.start, CHIEF, wait_seconds=15))
    host, port = scenario.workers.addresses[WORKER].split(":")
    with socket.create_server((host, int(port))):
        scenario.workers.start(WORKER)
        scenario.ends({CHIEF: LOST, WORKER: LOST}, f"cannot listen on {host}:{port}")
    scenario.start().trains_to_the_end()
    scenario.add_row("another program has a worker's port", "both end with 43, here after `--wait-seconds 15`")


def start_different_worker(scenario, dataset, checkpoints, **flags):
    """Starts a worker whose arguments differ from the chief's."""
    scenario.workers.arguments = tiny.arguments(dataset, checkpoints, **{**FLAGS, **flags})
    scenario.workers.start(WORKER)


def test_different_settings(scenario, dataset):
    scenario.fault(functools.partial(scenario.start, CHIEF))
    start_different_worker(scenario, dataset, scenario.checkpoints, seed=3)
    scenario.ends({CHIEF: REFUSED, WORKER: REFUSED}, "--seed is 3 on worker 1 and 0 on worker 0")
    scenario.start().trains_to_the_end()
    scenario.add_row("workers are given different settings", "both end with 2 and name the setting")


def test_different_images(scenario, tmp_path):
    """The same name and number of images, but other pixels."""
    other = tmp_path / "pictures.npz"
    np.savez(other, images=tiny.square_images(seed=1))
    scenario.fault(functools.partial(scenario.start, CHIEF))
    start_different_worker(scenario, other, scenario.checkpoints)
    scenario.ends({CHIEF: REFUSED, WORKER: REFUSED}, "--dataset")
    scenario.start().trains_to_the_end()
    scenario.add_row("workers have different images", "both end with 2 and print the reason")


def test_folder_that_is_not_shared(scenario, tmp_path, dataset):
    """Each worker has its own folder."""
    scenario.fault(functools.partial(scenario.start, CHIEF, wait_seconds=10))
    start_different_worker(scenario, dataset, tmp_path / "elsewhere", wait_seconds=10)
    scenario.ends({CHIEF: LOST, WORKER: LOST}, "on a file system that all workers share")
    scenario.start().trains_to_the_end()
    scenario.add_row("the folder is not shared", "both end with 43, here after `--wait-seconds 10`")
