"""Several workers or devices agree with one process. For faults see `tests/faults`."""

import json
import os

import numpy as np
import pytest

from gan_tf.runs.folder import Run
from tests.distributed import process
from tests.distributed.worker_group import WorkerGroup
from tests.training import growing, tiny

pytestmark = pytest.mark.slow

LENGTHS = {"total_kimg": 0.4, "epoch_images": 80, "checkpoint_minutes": 0.01}  # 100 steps, 5 scores
FLAGS = {"strategy": "multi_worker", "deterministic": True, "augment": "diffaugment", **LENGTHS}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return tiny.images_file(tmp_path_factory.mktemp("data"))


@pytest.fixture
def group(tmp_path, dataset):
    """Returns a function that creates groups of two workers; they are killed at the end."""
    groups = []

    def make(**changes):
        groups.append(WorkerGroup(tmp_path, tiny.arguments(dataset, tmp_path, **{**FLAGS, **changes})))
        return groups[-1]

    yield make
    for one in groups:
        one.end()


@pytest.fixture(scope="module")
def undisturbed(dataset, tmp_path_factory):
    """The run of two workers."""
    folder = tmp_path_factory.mktemp("undisturbed")
    workers = WorkerGroup(folder, tiny.arguments(dataset, folder, **FLAGS)).start()
    try:
        assert workers.wait() == [0, 0], workers.output(0)[-1500:]
    finally:
        workers.end()
    return Run(folder / "tiny")


def test_two_workers_agree_with_one_process(dataset, tmp_path, group):
    """At a learning rate that is too small for rounding errors to grow, as in test_replicas."""
    lengths = {"total_kimg": 0.08, "epoch_images": 40, "lr": 2e-6}
    arguments = tiny.arguments(dataset, tmp_path / "one", deterministic=True, augment="diffaugment", **lengths)
    assert process.finish(arguments, tmp_path / "one.txt") == 0
    workers = group(**lengths).start()
    assert workers.wait() == [0, 0], workers.output(0)[-1500:]
    assert_agree(Run(tmp_path / "one" / "tiny"), Run(tmp_path / "tiny"), 80)


def test_four_devices_agree_with_one(dataset, tmp_path):
    """One image for each device. Losses, weights, moments and batch statistics agree."""
    lengths = {"deterministic": True, "augment": "diffaugment", "total_kimg": 0.04, "lr": 2e-6}
    arguments = tiny.arguments(dataset, tmp_path / "one", strategy="default", **lengths)
    assert process.finish(arguments, tmp_path / "one.txt") == 0
    arguments = tiny.arguments(dataset, tmp_path / "four", strategy="mirrored", **lengths)
    assert process.finish(["--devices", "4", *arguments], tmp_path / "four.txt") == 0
    assert "4 in a step (4 devices)" in (tmp_path / "four.txt").read_text()
    assert_agree(*(Run(tmp_path / name / "tiny") for name in ("one", "four")), 40)


def test_two_tasks_of_a_slurm_step_agree_with_one_process(dataset, tmp_path):
    """The workers connect with the variables of SLURM alone."""
    lengths = {"total_kimg": 0.04, "lr": 2e-6, "deterministic": True, "augment": "diffaugment"}
    assert process.finish(tiny.arguments(dataset, tmp_path / "one", **lengths), tmp_path / "one.txt") == 0
    workers = SlurmStep(tmp_path, tiny.arguments(dataset, tmp_path, **lengths)).start()
    try:
        assert workers.wait() == [0, 0], workers.output(0)[-1500:]
    finally:
        workers.end()
    assert "2 in a step (2 workers)" in workers.output(0)
    assert_agree(Run(tmp_path / "one" / "tiny"), Run(tmp_path / "tiny"), 40)


class SlurmStep(WorkerGroup):
    """A group with the environment variables of a SLURM step."""

    def cluster_variables(self, index):
        variables = {
            "PROCID": index,
            "JOB_ID": os.getpid(),
            "STEP_NUM_TASKS": 2,
            "STEP_NODELIST": "localhost",
            "STEP_TASKS_PER_NODE": 2,
        }
        return {f"SLURM_{name}": str(value) for name, value in variables.items()}


def assert_agree(one, other, seen):
    """The losses of two runs agree to 1e-5, all arrays of their checkpoints to 1e-4."""
    for ours, theirs in zip(tiny.records(one, "train"), tiny.records(other, "train"), strict=True):
        ours, theirs = json.loads(ours), json.loads(theirs)
        for name in [name for name in ours if name.startswith("loss/")]:
            np.testing.assert_allclose(theirs[name], ours[name], rtol=1e-5, atol=1e-5, err_msg=name)
    ours, theirs = tiny.weights(one, seen), tiny.weights(other, seen)
    for name, value in ours.items():
        np.testing.assert_allclose(theirs[name], value, rtol=1e-4, atol=1e-4, err_msg=name)


def test_two_workers_that_grow_agree_with_one_process(dataset, tmp_path):
    """With batches of eight, so that each group of the minibatch standard deviation is on one worker."""
    flags = {"deterministic": True, "phase_batch": "8", "lr": 2e-6}
    arguments = growing.arguments(dataset, tmp_path / "one", **flags)
    assert process.finish(arguments, tmp_path / "one.txt") == 0
    workers = WorkerGroup(tmp_path, growing.arguments(dataset, tmp_path, strategy="multi_worker", **flags)).start()
    try:
        assert workers.wait() == [0, 0], workers.output(0)[-1500:]
    finally:
        workers.end()
    one, two = (tiny.weights(Run(folder / "growing"), 200) for folder in (tmp_path / "one", tmp_path))
    for name, value in one.items():
        np.testing.assert_allclose(two[name], value, rtol=1e-3, atol=1e-4, err_msg=name)


def test_only_the_chief_writes(undisturbed, tmp_path):
    """Each record and each event exists once."""
    records, events = tiny.records(undisturbed, "train"), tiny.events(undisturbed)
    assert len(records) == len(set(records)) == 100
    assert len(events) == len(set(events))
