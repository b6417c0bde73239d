"""The place of a worker among others, as TF_CONFIG and SLURM's variables tell it."""

import json
import os

import pytest

from gan_tf.distributed import cluster_spec as places
from gan_tf.errors import UsageError

TWO = {"worker": ["a:1", "b:1"]}


@pytest.fixture(autouse=True)
def nowhere(monkeypatch):
    """No cluster in the environment, before and after: `place_of_environment` may set TF_CONFIG."""
    for name in ("TF_CONFIG", "SLURM_STEP_NUM_TASKS"):
        monkeypatch.setenv(name, "")


def tf_config(monkeypatch, cluster_spec, job, index):
    config = {"cluster": cluster_spec, "task": {"type": job, "index": index}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))


@pytest.mark.parametrize(
    "spec, job, index, place",
    [
        (TWO, "worker", 1, places.Place(1, ("a:1", "b:1"))),
        ({"chief": ["a:1"], "worker": ["b:1", "c:1"]}, "chief", 0, places.Place(0, ("a:1", "b:1", "c:1"))),
        ({"chief": ["a:1"], "worker": ["b:1", "c:1"]}, "worker", 1, places.Place(2, ("a:1", "b:1", "c:1"))),
        ({"worker": ["a:1"]}, "worker", 0, None),
    ],
)
def test_place_of_tf_config(monkeypatch, spec, job, index, place):
    tf_config(monkeypatch, spec, job, index)
    assert places.place_of_environment() == place


@pytest.mark.parametrize("text", ["", "{}", " {} "])
def test_empty_tf_config_is_none(monkeypatch, text):
    monkeypatch.setenv("TF_CONFIG", text)
    assert places.cluster_of_environment() is None and places.place_of_environment() is None


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"cluster": {}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
        '{"cluster": {"worker": ["a"]}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": [1]}, "task": {"type": "worker", "index": 0}}',
    ],
)
def test_unreadable_tf_config_is_refused(monkeypatch, text):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UsageError, match="TF_CONFIG is .*; give .*with this worker's own index"):
        places.place_of_environment()


def slurm(monkeypatch, rank, nodes="n[9-10]", tasks_per_node="2,1", tasks=3, here=None):
    variables = {
        "SLURM_PROCID": rank,
        "SLURM_JOB_ID": 1234567,
        "SLURM_STEP_NUM_TASKS": tasks,
        "SLURM_STEP_NODELIST": nodes,
        "SLURM_STEP_TASKS_PER_NODE": tasks_per_node,
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.delenv("SLURMD_NODENAME", raising=False)
    if here:
        monkeypatch.setenv("SLURMD_NODENAME", here)


@pytest.mark.parametrize("gpus", ["", "0", "0,1,2,3"])
@pytest.mark.parametrize("rank, here", [(0, "n9"), (1, "n9"), (2, "n10")])
def test_place_of_a_slurm_task(monkeypatch, rank, here, gpus):
    """Whatever GPUs it sees. By name n10 comes before n9; SLURM's first task is on n9."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus)
    slurm(monkeypatch, rank, here=here)
    assert places.place_of_environment() == places.Place(rank, ("n9:24567", "n9:24568", "n10:24567"))
    assert os.environ["CUDA_VISIBLE_DEVICES"] == gpus


def test_slurm_tasks_dealt_out_otherwise_are_refused(monkeypatch):
    slurm(monkeypatch, 1, here="n10")
    with pytest.raises(UsageError, match="task 1 of this SLURM step runs on n10 and not on n9; give srun"):
        places.place_of_environment()


@pytest.mark.parametrize("damage", [{"nodes": "n[9-"}, {"tasks_per_node": "x"}, {"rank": 7}, {"rank": ""}])
def test_unreadable_slurm_step_is_refused(monkeypatch, damage):
    slurm(monkeypatch, **{"rank": 0, **damage})
    with pytest.raises(UsageError, match="this SLURM step cannot be read .*; set TF_CONFIG, or use"):
        places.place_of_environment()
