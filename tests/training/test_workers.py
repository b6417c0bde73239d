"""Two workers on this host train as one process does. What a fault of one does is shown in `tests/faults`."""

import numpy as np
import pytest

from gan_tf.run import Run
from tests.training import growing, process, tiny
from tests.training.workers import Group

pytestmark = pytest.mark.slow

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
