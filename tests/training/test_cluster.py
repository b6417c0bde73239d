"""The place of a worker among others, their signs of life, and agreement where there is one alone."""

import json

import pytest
import tensorflow as tf

from gan_tf.errors import UsageError
from gan_tf.training import cluster, devices

TWO = {"worker": ["a:1", "b:1"]}


def tf_config(monkeypatch, cluster_spec, job, index):
    config = {"cluster": cluster_spec, "task": {"type": job, "index": index}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))


@pytest.mark.parametrize(
    "spec, job, index, place",
    [
        (TWO, "worker", 1, (1, 2)),
        ({"chief": ["a:1"], "worker": ["b:1", "c:1"]}, "chief", 0, (0, 3)),
        ({"chief": ["a:1"], "worker": ["b:1", "c:1"]}, "worker", 1, (2, 3)),
        ({"worker": ["a:1"]}, "worker", 0, None),
    ],
)
def test_place_of_tf_config(monkeypatch, spec, job, index, place):
    tf_config(monkeypatch, spec, job, index)
    assert devices.place_in_cluster() == place


def test_place_of_a_slurm_step(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert devices.place_in_cluster() is None
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "4")
    monkeypatch.setenv("SLURM_PROCID", "2")
    assert devices.place_in_cluster() == (2, 4)


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"cluster": {}}', '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}']
)
def test_unreadable_tf_config_is_refused(monkeypatch, text):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UsageError, match="TF_CONFIG is .*; give .*with this worker's own index"):
        devices.place_in_cluster()


def pair(folder):
    return [cluster.Heartbeats(folder, index, 2) for index in (0, 1)]


def test_silence_is_counted_by_the_watchers_own_clock(tmp_path):
    mine, other = pair(tmp_path)
    assert mine.look(now=100.0) == {}
    other.beat(7)
    assert mine.look(now=101.0) == {1: 0.0}
    assert mine.look(now=111.0) == {1: 10.0}
    other.beat(3)  # any change is a sign of life, whatever the other's clock says
    assert mine.look(now=112.0) == {1: 0.0}


def test_what_an_earlier_run_left_is_no_sign_of_life(tmp_path):
    pair(tmp_path)[1].beat(7)
    mine, other = pair(tmp_path)
    assert mine.look(now=1.0) == {}
    assert mine.missing_after(0.0) == [1]
    other.beat(8)
    assert mine.look(now=2.0) == {1: 0.0}
    assert mine.missing_after(0.0) == []


def test_a_silent_worker_ends_the_process(tmp_path, monkeypatch, capfd):
    codes = []

    def leave(code):
        codes.append(code)
        raise SystemExit

    monkeypatch.setattr(cluster.os, "_exit", leave)
    monkeypatch.setattr(cluster, "SILENCE_SECONDS", -1.0)
    mine, other = pair(tmp_path)
    other.beat(1)
    with pytest.raises(SystemExit):
        mine._run()
    assert codes == [cluster.LOST_WORKER]
    assert "worker 1 has been silent for 0 s; start all workers again" in capfd.readouterr().err


def test_one_alone_agrees_with_itself():
    alone = cluster.Cluster(tf.distribute.get_strategy())
    assert alone.is_chief
    assert alone.told(3, True) == [3.0, 1.0]
    assert alone.turn(None, False) == (False, False)
    assert alone.turn("SIGTERM", True) == (True, True)
