"""A worker that is killed, frozen, stopped, missing or late."""

import functools
import signal
import time

import pytest

from tests.faults.scene import FLAGS, LOST, NAMES, SAVED
from tests.training import tiny

pytestmark = pytest.mark.slow

START_AGAIN = "start all workers again"
each = pytest.mark.parametrize("index", [0, 1], ids=NAMES)
WHO = ("the chief", "a worker")  # as the table calls them


@each
def test_killed(index, scene):
    scene.start_trained().strike(scene.workers.send, index, signal.SIGKILL)
    scene.ends({1 - index: LOST}, START_AGAIN).goes_on()
    scene.tell(f"{WHO[index]} is killed", "the other ends with 43")


@each
def test_frozen(index, scene):
    scene.start_trained().strike(scene.workers.send, index, signal.SIGSTOP)
    scene.ends({1 - index: LOST}, START_AGAIN).goes_on()
    scene.tell(f"{WHO[index]} is frozen", "the other ends with 43")


@each
def test_told_to_stop(index, scene):
    scene.start_trained().strike(scene.workers.send, index, signal.SIGTERM)
    scene.ends({0: SAVED, 1: SAVED}, "saved; the same command continues the run").goes_on()
    scene.tell(f"{WHO[index]} gets SIGTERM", "both save and end with 42")


@each
def test_never_started(index, scene):
    scene.strike(functools.partial(scene.start, 1 - index, wait_seconds=15))
    scene.ends({1 - index: LOST}, START_AGAIN)
    scene.start().trains_to_the_end()
    scene.tell(f"{WHO[index]} never starts", "the other ends with 43, here after `--wait-seconds 15`")


def test_started_late(scene):
    scene.start(0)
    time.sleep(10)
    scene.workers.start(1)
    scene.trains_to_the_end()
    scene.tell("a worker starts late", "the other waits for it")


def test_folder_that_is_not_shared(scene, tmp_path, dataset):
    """Each has a folder of its own, so that neither sees the other's sign of life."""
    scene.strike(functools.partial(scene.start, 0, wait_seconds=10))
    elsewhere = {**FLAGS, "wait_seconds": 10}
    scene.workers.words = tiny.arguments(dataset, tmp_path / "elsewhere", **elsewhere)
    scene.workers.start(1)
    scene.ends({0: LOST, 1: LOST}, "on a file system that all workers share")
    scene.start().trains_to_the_end()
    scene.tell("the folder is not shared", "both end with 43, here after `--wait-seconds 10`")
