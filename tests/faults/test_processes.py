"""Faults of processes: killed, frozen, stopped, missing or late workers, and workers that differ."""

import signal
import socket
import time

import pytest

from tests.faults.scenario import CHIEF, LOST, REFUSED, SAVED, WORKER
from tests.training import tiny

pytestmark = pytest.mark.slow

START_AGAIN = "start all workers again"
STOPPED = "saved; the same command continues the run"
NAMES = {CHIEF: "the chief", WORKER: "a worker"}
each = pytest.mark.parametrize("index", [WORKER, CHIEF], ids=NAMES.get)


@each
def test_killed(index, scenario):
    scenario.start_trained().fault(scenario.workers.send, index, signal.SIGKILL)
    scenario.ends({1 - index: LOST}, START_AGAIN).continues()
    scenario.add_row(f"{NAMES[index]} is killed", "the other ends with 43")


@each
def test_frozen(index, scenario):
    scenario.start_trained().fault(scenario.workers.send, index, signal.SIGSTOP)
    scenario.ends({1 - index: LOST}, START_AGAIN).continues()
    scenario.add_row(f"{NAMES[index]} is frozen", "the other ends with 43")


@each
def test_stopped(index, scenario):
    scenario.start_trained().fault(scenario.workers.send, index, signal.SIGTERM)
    scenario.ends({CHIEF: SAVED, WORKER: SAVED}, STOPPED).continues()
    scenario.add_row(f"{NAMES[index]} gets SIGTERM", "both save and end with 42")


def test_stopped_during_a_score(scenario):
    """The worker waits for the chief in a collective operation of TensorFlow."""
    scenario.start_with_fault("long_score").fault(scenario.workers.send, WORKER, signal.SIGTERM)
    scenario.ends({CHIEF: SAVED, WORKER: SAVED}, STOPPED).continues()
    scenario.add_row("a worker gets SIGTERM during a score", "both save and end with 42; the next start scores first")


def test_killed_during_a_score(scenario):
    """The chief computes the score without a collective operation that could fail."""
    scenario.start_with_fault("long_score").fault(scenario.workers.send, WORKER, signal.SIGKILL)
    scenario.ends({CHIEF: LOST}, START_AGAIN)


@each
def test_never_started(index, scenario):
    scenario.fault(scenario.start, 1 - index, wait_seconds=5)
    scenario.ends({1 - index: LOST}, START_AGAIN).leaves_nothing()
    scenario.add_row(f"{NAMES[index]} never starts", "the other ends with 43, here after `--wait-seconds 5`")


def test_started_late(scenario):
    scenario.start(CHIEF).wait_for_line(CHIEF, "waiting for the others")
    time.sleep(2)
    scenario.start(WORKER).trains_to_the_end()
    scenario.add_row("a worker starts late", "the other waits")


def test_late_end_of_the_chief(scenario):
    scenario.start_with_fault("late_end").trains_to_the_end()
    scenario.add_row("the chief ends 20 s after the other", "the other waits")


def test_killed_while_connecting(scenario):
    scenario.start_with_fault("killed_while_connecting", WORKER, wait_seconds=5)
    scenario.ends({WORKER: -signal.SIGKILL, CHIEF: LOST}, START_AGAIN)
    scenario.start_again().trains_to_the_end()
    scenario.add_row("a worker dies while they connect", "the other ends with 43, here after `--wait-seconds 5`")


def test_port_of_another_program(scenario):
    host, port = scenario.workers.addresses[WORKER].split(":")
    with socket.create_server((host, int(port))):
        scenario.fault(scenario.start, wait_seconds=5)
        scenario.ends({CHIEF: LOST, WORKER: LOST}, f"cannot listen on {host}:{port}").leaves_nothing()
    scenario.add_row("another program has a worker's port", "both end with 43, here after `--wait-seconds 5`")


def test_folder_that_is_not_shared(scenario, tmp_path):
    """Each worker has its own folder."""
    scenario.fault(scenario.start, CHIEF, wait_seconds=10)
    own, _ = scenario.checkpoints, scenario.set_checkpoints(tmp_path / "elsewhere")
    scenario.start(WORKER, wait_seconds=10)
    scenario.ends({CHIEF: LOST, WORKER: LOST}, "on a file system that all workers share").leaves_nothing()
    scenario.set_checkpoints(own)
    scenario.leaves_nothing().add_row("the folder is not shared", "both end with 43, here after `--wait-seconds 10`")


def test_different_settings(scenario):
    scenario.fault(scenario.start, CHIEF).start(WORKER, seed=3)
    scenario.ends({CHIEF: REFUSED, WORKER: REFUSED}, "--seed is 3 on worker 1").leaves_nothing()
    scenario.add_row("workers are given different settings", "both end with 2 and print the setting")


def test_different_images(scenario, tmp_path):
    """The same name and number of images, but other pixels."""
    scenario.fault(scenario.start, CHIEF).start(WORKER, dataset=tiny.images_file(tmp_path, seed=1))
    scenario.ends({CHIEF: REFUSED, WORKER: REFUSED}, "--dataset").leaves_nothing()
    scenario.add_row("workers have different images", "both end with 2 and print that")
