"""Two workers on this host train as one process does; a fault of one ends the other soon and loses nothing saved."""

import signal
import time

import numpy as np
import pytest

from gan_tf.run import Run
from gan_tf.training.cluster import LOST_WORKER
from tests.training import growing, process, tiny
from tests.training.workers import END_SECONDS, START_SECONDS, Group

pytestmark = pytest.mark.slow

SAVED = 42
LENGTHS = {"total_kimg": 0.4, "epoch_images": 80, "checkpoint_minutes": 0.01}  # 100 steps, 5 scores
FLAGS = {"strategy": "multi_worker", "deterministic": True, "augment": "diffaugment", **LENGTHS}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return tiny.pictures_file(tmp_path_factory.mktemp("data"))


@pytest.fixture
def group(tmp_path, dataset):
    """Makes groups of two workers in this test's folder, and leaves none behind."""
    groups = []

    def make(**changes):
        groups.append(Group(tmp_path, tiny.arguments(dataset, tmp_path, **{**FLAGS, **changes})))
        return groups[-1]

    yield make
    for one in groups:
        one.end()


@pytest.fixture(scope="module")
def undisturbed(dataset, tmp_path_factory):
    """Two workers without a fault."""
    folder = tmp_path_factory.mktemp("undisturbed")
    workers = Group(folder, tiny.arguments(dataset, folder, **FLAGS)).start()
    try:
        assert workers.wait() == [0, 0], workers.said(0)[-1500:]
    finally:
        workers.end()
    return Run(folder / "tiny")


def assert_undisturbed(run, undisturbed):
    """The state and the records of a disturbed run are those of the other, bit for bit."""
    tiny.assert_same_state(run, undisturbed, 400)
    assert tiny.records(run, "train", "epoch") == tiny.records(undisturbed, "train", "epoch")
    assert run.best_meta() == undisturbed.best_meta()


def test_two_workers_agree_with_one_process(dataset, tmp_path, group):
    """At a rate so small that rounding does not grow: see test_replicas."""
    lengths = {"total_kimg": 0.08, "epoch_images": 40, "lr": 2e-6}
    words = tiny.arguments(dataset, tmp_path / "one", deterministic=True, augment="diffaugment", **lengths)
    assert process.finish(words, tmp_path / "one.txt") == 0
    workers = group(**lengths).start()
    assert workers.wait() == [0, 0], workers.said(0)[-1500:]
    one, two = (tiny.weights(Run(folder / "tiny"), 80) for folder in (tmp_path / "one", tmp_path))
    for name, value in one.items():
        np.testing.assert_allclose(two[name], value, rtol=1e-4, atol=1e-4, err_msg=name)


def test_two_workers_that_grow_agree_with_one_process(dataset, tmp_path):
    """With batches of eight, so that the groups of the minibatch standard deviation lie whole on a worker."""
    flags = {"deterministic": True, "phase_batch": "8", "lr": 2e-6}
    words = growing.arguments(dataset, tmp_path / "one", **flags)
    assert process.finish(words, tmp_path / "one.txt") == 0
    workers = Group(tmp_path, growing.arguments(dataset, tmp_path, strategy="multi_worker", **flags)).start()
    try:
        assert workers.wait() == [0, 0], workers.said(0)[-1500:]
    finally:
        workers.end()
    one, two = (tiny.weights(Run(folder / "growing"), 200) for folder in (tmp_path / "one", tmp_path))
    for name, value in one.items():
        np.testing.assert_allclose(two[name], value, rtol=1e-3, atol=1e-4, err_msg=name)


def test_the_chief_alone_writes(undisturbed, tmp_path):
    """One line for each record and one event for each value: the other worker wrote none."""
    seen = [line for line in tiny.records(undisturbed, "train")]
    assert len(seen) == len(set(seen)) == 100
    found = tiny.events(undisturbed)
    assert len(found) == len(set(found))


@pytest.mark.parametrize("lost", [0, 1], ids=["chief", "worker"])
def test_a_killed_worker_ends_the_other_and_nothing_saved_is_lost(lost, tmp_path, group, undisturbed):
    run, workers = Run(tmp_path / "tiny"), group().start()
    workers.when_trained(run, 30).send(lost, signal.SIGKILL)
    codes = workers.wait(END_SECONDS)
    assert codes[lost] == -signal.SIGKILL and codes[1 - lost] == LOST_WORKER
    assert "start all workers again" in workers.said(1 - lost)
    again = group().start()
    assert again.wait() == [0, 0], again.said(0)[-1500:]
    assert "continuing" in again.said(0)
    assert_undisturbed(run, undisturbed)


def test_a_frozen_worker_is_noticed(tmp_path, group, undisturbed):
    run, workers = Run(tmp_path / "tiny"), group().start()
    workers.when_trained(run, 30).send(1, signal.SIGSTOP)
    assert workers.processes[0].wait(END_SECONDS) == LOST_WORKER
    assert "start all workers again" in workers.said(0)
    workers.end()
    again = group().start()
    assert again.wait() == [0, 0], again.said(0)[-1500:]
    assert_undisturbed(run, undisturbed)


@pytest.mark.parametrize("told", [0, 1], ids=["chief", "worker"])
def test_a_signal_to_one_saves_and_ends_all(told, tmp_path, group, undisturbed):
    run, workers = Run(tmp_path / "tiny"), group().start()
    workers.when_trained(run, 30).send(told, signal.SIGTERM)
    assert workers.wait(END_SECONDS) == [SAVED, SAVED], workers.said(0)[-1500:] + workers.said(1)[-1500:]
    again = group().start()
    assert again.wait() == [0, 0], again.said(0)[-1500:]
    assert_undisturbed(run, undisturbed)


@pytest.mark.parametrize("missing", [0, 1], ids=["chief", "worker"])
def test_a_worker_that_never_starts_is_not_waited_for_for_ever(missing, group):
    workers = group(wait_seconds=15).start(1 - missing)
    assert workers.wait(END_SECONDS) == [LOST_WORKER]
    assert "start all workers again" in workers.said(1 - missing)


def test_a_worker_may_start_late(tmp_path, group, undisturbed):
    workers = group().start(0)
    time.sleep(10)
    workers.start(1)
    assert workers.wait(START_SECONDS) == [0, 0], workers.said(0)[-1500:]
    assert_undisturbed(Run(tmp_path / "tiny"), undisturbed)


def test_a_folder_that_is_not_shared_is_noticed(tmp_path, dataset, group):
    """The workers have other folders, so that neither sees the other's sign of life."""
    workers = group(wait_seconds=10).start(0)
    workers.words = tiny.arguments(dataset, tmp_path / "elsewhere", **FLAGS, wait_seconds=10)
    workers.start(1)
    assert workers.wait() == [LOST_WORKER, LOST_WORKER]
    assert "on a file system that all workers share" in workers.said(1)
