"""Cluster specifications from TF_CONFIG and from the variables of SLURM."""

import json
import os

import pytest

from gan_tf.distributed.cluster_spec import ClusterSpec, cluster_source, read_cluster_spec
from gan_tf.errors import UsageError

TWO = {"worker": ["a:1", "b:1"]}
THREE = {"chief": ["a:1"], "worker": ["b:1", "c:1"]}


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch):
    """No cluster in the environment; `read_cluster_spec` may set TF_CONFIG, which is reset afterwards."""
    for name in ("TF_CONFIG", "SLURM_STEP_NUM_TASKS"):
        monkeypatch.setenv(name, "")


@pytest.mark.parametrize(
    "cluster, job, index, expected",
    [
        (TWO, "worker", 1, ClusterSpec(1, ("a:1", "b:1"), (("worker", 2),))),
        (THREE, "chief", 0, ClusterSpec(0, ("a:1", "b:1", "c:1"), (("chief", 1), ("worker", 2)))),
        (THREE, "worker", 1, ClusterSpec(2, ("a:1", "b:1", "c:1"), (("chief", 1), ("worker", 2)))),
        ({"worker": ["a:1"]}, "worker", 0, None),
    ],
)
def test_tf_config(monkeypatch, cluster, job, index, expected):
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": {"type": job, "index": index}}))
    assert read_cluster_spec() == expected


@pytest.mark.parametrize("text", ["", " {} "])
def test_empty_tf_config_is_no_cluster(monkeypatch, text):
    monkeypatch.setenv("TF_CONFIG", text)
    assert cluster_source() is None and read_cluster_spec() is None


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
def test_invalid_tf_config(monkeypatch, text):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UsageError, match="TF_CONFIG"):
        read_cluster_spec()


@pytest.fixture
def slurm(monkeypatch):
    """Returns a function that sets the variables of a task of a SLURM step."""

    def set_variables(rank=0, nodes="n[9-10]", tasks_per_node="2,1", node="n9"):
        variables = {"JOB_ID": 1234567, "PROCID": rank, "STEP_NUM_TASKS": 3}
        variables |= {"STEP_NODELIST": nodes, "STEP_TASKS_PER_NODE": tasks_per_node}
        for name, value in variables.items():
            monkeypatch.setenv(f"SLURM_{name}", str(value))
        monkeypatch.setenv("SLURMD_NODENAME", node)

    return set_variables


@pytest.mark.parametrize("gpus", ["", "0,1,2,3"])
@pytest.mark.parametrize("rank, node", [(0, "n9"), (1, "n9"), (2, "n10")])
def test_slurm_task(monkeypatch, slurm, rank, node, gpus):
    """By name n10 comes before n9, but SLURM's first task runs on n9."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus)
    slurm(rank, node=node)
    assert read_cluster_spec() == ClusterSpec(rank, ("n9:24567", "n9:24568", "n10:24567"), (("worker", 3),))
    assert json.loads(os.environ["TF_CONFIG"])["task"]["index"] == rank
    assert os.environ["CUDA_VISIBLE_DEVICES"] == gpus


def test_slurm_tasks_that_are_not_distributed_node_by_node(slurm):
    slurm(rank=1, node="n10")
    with pytest.raises(UsageError, match="--distribution=block"):
        read_cluster_spec()


@pytest.mark.parametrize("damage", [{"nodes": "n[9-"}, {"tasks_per_node": "x"}, {"rank": 7}, {"rank": ""}])
def test_invalid_slurm_step(slurm, damage):
    slurm(**damage)
    with pytest.raises(UsageError, match="SLURM step"):
        read_cluster_spec()
