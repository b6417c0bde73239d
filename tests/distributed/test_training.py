"""Several workers or devices agree with one process. For faults see `tests/faults`."""

import os

import numpy as np
import pytest

from gan_tf.runs.folder import Run
from tests.distributed import process
from tests.distributed.process import WorkerGroup
from tests.training import tiny

pytestmark = pytest.mark.slow

# With a learning rate that is too small for rounding errors to grow, as in test_replicas.
FLAGS = {"deterministic": True, "augment": "diffaugment", "lr": 2e-6, "total_kimg": 0.08}


@pytest.fixture(scope="module")
def one(dataset, tmp_path_factory):
    """The run of one process, with a checkpoint after 40 images and at the end."""
    folder = tmp_path_factory.mktemp("one")
    arguments = tiny.arguments(dataset, folder, strategy="default", **FLAGS)
    assert process.finish(arguments, folder / "one.txt") == 0
    return Run(folder / "tiny")


class SlurmStep(WorkerGroup):
    """A group with the environment variables of a SLURM step, and without TF_CONFIG."""

    def cluster_variables(self, index):
        variables = {"PROCID": index, "JOB_ID": os.getpid(), "STEP_NUM_TASKS": 2}
        variables |= {"STEP_NODELIST": "localhost", "STEP_TASKS_PER_NODE": 2}
        return {f"SLURM_{name}": str(value) for name, value in variables.items()}


@pytest.mark.parametrize("group, images", [(WorkerGroup, 80), (SlurmStep, 40)])
def test_two_workers_agree_with_one_process(group, images, one, dataset, tmp_path):
    arguments = tiny.arguments(dataset, tmp_path, **{**FLAGS, "total_kimg": images / 1000})
    with group(tmp_path, arguments) as workers:
        workers.start().ends_with(0)
    assert "2 in a step (2 workers)" in workers.output(0)
    run = Run(tmp_path / "tiny")
    assert_agree(run, one, images)
    recorded, events = [record["images_seen"] for record in tiny.records(run, "train")], tiny.events(run)
    assert len(recorded) == len(set(recorded)) == images // 4, "only the chief writes"
    assert len(events) == len(set(events))


def test_four_devices_agree_with_one(one, dataset, tmp_path):
    """One image for each device. Losses, weights, moments and batch statistics agree."""
    arguments = tiny.arguments(dataset, tmp_path, strategy="mirrored", **{**FLAGS, "total_kimg": 0.04})
    assert process.finish(["--devices", "4", *arguments], tmp_path / "four.txt") == 0
    assert "4 in a step (4 devices)" in (tmp_path / "four.txt").read_text()
    assert_agree(Run(tmp_path / "tiny"), one, 40)


def assert_agree(run, expected, seen):
    """The losses of two runs up to image `seen` agree to 1e-5, all arrays of their checkpoints to 1e-4."""
    records = [tiny.records(each, "train")[: seen // 4] for each in (run, expected)]
    for ours, theirs in zip(*records, strict=True):
        for name in [name for name in theirs if name.startswith("loss/")]:
            np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-5, atol=1e-5, err_msg=name)
    tiny.assert_close(tiny.weights(run, seen), tiny.weights(expected, seen), rtol=1e-4, atol=1e-4)


def test_two_workers_that_grow_agree_with_one_process(dataset, tmp_path):
    """With batches of eight, so that each group of the minibatch standard deviation is on one worker."""
    flags = {"model": "pggan", "deterministic": True, "phase_batch": "8", "lr": 2e-6}
    arguments = tiny.arguments(dataset, tmp_path / "one", **flags)
    assert process.finish(arguments, tmp_path / "one.txt") == 0
    with WorkerGroup(tmp_path, tiny.arguments(dataset, tmp_path, strategy="multi_worker", **flags)) as workers:
        workers.start().ends_with(0)
    one, two = (tiny.weights(Run(folder / "tiny"), 200) for folder in (tmp_path / "one", tmp_path))
    tiny.assert_close(two, one, rtol=1e-3, atol=1e-4)
