"""A worker that is killed, frozen, stopped, missing or late."""

import functools
import signal
import socket
import time

import numpy as np
import pytest

from tests.faults.scene import CHIEF, FLAGS, LOST, NAMES, REFUSED, SAVED, WORKER
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


def test_told_to_stop_during_a_score(scene):
    """The worker waits for the chief in TensorFlow, which listens to nobody."""
    scene.start(CHIEF, options=["--fault", "long_score"])
    scene.workers.start(WORKER)
    scene.when_struck(CHIEF).strike(scene.workers.send, WORKER, signal.SIGTERM)
    scene.ends({CHIEF: SAVED, WORKER: SAVED}, "saved; the same command continues the run").goes_on()
    scene.tell("a worker gets SIGTERM during a score", "both save and end with 42; the next start scores first")


def test_dead_while_connecting(scene):
    """TensorFlow would wait for it without end, and with Python's lock in its hand."""
    scene.start(WORKER, options=["--fault", "killed_while_connecting"])
    scene.workers.start(CHIEF)
    scene.struck_itself(WORKER, -signal.SIGKILL).ends({CHIEF: LOST}, START_AGAIN)
    scene.start().trains_to_the_end()
    scene.tell("a worker dies while they connect", "the other ends with 43")


def test_port_of_another_program(scene):
    scene.strike(functools.partial(scene.start, CHIEF, wait_seconds=10))
    host, port = scene.workers.addresses[WORKER].split(":")
    with socket.create_server((host, int(port))):
        scene.workers.start(WORKER)
        scene.ends({CHIEF: LOST, WORKER: LOST}, f"cannot listen on port {port} (Address already in use)")
    scene.start().trains_to_the_end()
    scene.tell("another program has a worker's port", "both end with 43, here after `--wait-seconds 10`")


def test_different_settings(scene, dataset):
    scene.strike(functools.partial(scene.start, CHIEF))
    scene.workers.words = tiny.arguments(dataset, scene.checkpoints, **{**FLAGS, "seed": 3})
    scene.workers.start(WORKER)
    scene.ends(
        {CHIEF: REFUSED, WORKER: REFUSED}, "--seed is 3 on worker 1 and 0 on worker 0; give all workers the same"
    )
    scene.start().trains_to_the_end()
    scene.tell("workers are given different settings", "both end with 2 and say which")


def test_different_images(scene, tmp_path):
    """The same name and number of pictures, other pixels."""
    other = tmp_path / "pictures.npz"
    np.savez(other, images=tiny.square_images(seed=1))
    scene.strike(functools.partial(scene.start, CHIEF))
    scene.workers.words = tiny.arguments(other, scene.checkpoints, **FLAGS)
    scene.workers.start(WORKER)
    scene.ends({CHIEF: REFUSED, WORKER: REFUSED}, "differs between the workers; give all of them the same images")
    scene.start().trains_to_the_end()
    scene.tell("workers have different images", "both end with 2 and say so")


def test_folder_that_is_not_shared(scene, tmp_path, dataset):
    """Each has a folder of its own, so that neither sees the other's sign of life."""
    scene.strike(functools.partial(scene.start, 0, wait_seconds=10))
    elsewhere = {**FLAGS, "wait_seconds": 10}
    scene.workers.words = tiny.arguments(dataset, tmp_path / "elsewhere", **elsewhere)
    scene.workers.start(1)
    scene.ends({0: LOST, 1: LOST}, "on a file system that all workers share")
    scene.start().trains_to_the_end()
    scene.tell("the folder is not shared", "both end with 43, here after `--wait-seconds 10`")
