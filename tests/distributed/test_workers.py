"""Groups of workers: cluster specifications, a group of one, stop signals, and errors that mean a lost worker."""

import hashlib
import json
import os
import pty
import signal
import sys
import threading
import time

import pytest
import tensorflow as tf

from gan_tf.distributed import devices
from gan_tf.distributed.cluster_spec import ClusterSpec, cluster_source, read_cluster_spec
from gan_tf.distributed.liveness import StopSignals, is_lost_worker_error
from gan_tf.distributed.workers import Workers
from gan_tf.errors import UsageError
from tests.programs import wait_until

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


def test_single_process_is_a_group_of_one():
    workers = Workers(tf.distribute.get_strategy(), "one device")
    assert workers.is_chief
    assert workers.broadcast(3, True) == [3.0, 1.0]
    assert workers.sync_flags(False) == (None, False)
    assert workers.sync_flags(True) == (None, True)
    assert workers.stop_requested() is None
    workers.require_equal("--precision", "float32", "give another")
    workers.end()


@pytest.mark.parametrize(
    "error, is_lost",
    [
        (tf.errors.UnavailableError(None, None, "Socket closed"), True),
        (tf.errors.InternalError(None, None, "Collective ops is aborted by: peer ended"), True),
        (tf.errors.InvalidArgumentError(None, None, "Shape mismatch in the collective"), False),
        (tf.errors.InternalError(None, None, "cuDNN failed"), False),
    ],
)
def test_errors_of_a_lost_worker(error, is_lost):
    assert is_lost_worker_error(error) == is_lost


def test_stop_signals():
    signals = StopSignals()
    assert signals.received is None
    handlers = [signal.getsignal(number) for number in StopSignals.HANDLED]
    with signals:
        assert signals.received is None
        signal.raise_signal(signal.SIGTERM)
        assert signals.received == "SIGTERM"
        assert signal.getsignal(signal.SIGTERM) == handlers[1], "a second signal has its usual effect"
    assert signals.received == "SIGTERM"
    assert [signal.getsignal(number) for number in StopSignals.HANDLED] == handlers


def test_closing_the_terminal_is_a_signal_that_printing_survives(tmp_path):
    """The process can still save, and print into nothing, after the terminal of its session is gone."""
    program = f"""if True:
        import os, pathlib, sys, time
        from gan_tf.cli.output import protect_streams
        from gan_tf.distributed.liveness import StopSignals
        protect_streams()
        with StopSignals() as signals:
            print("started", flush=True)
            while not signals.received:
                time.sleep(0.01)
            for stream in (sys.stdout, sys.stderr):
                print("saving", file=stream, flush=True)
            pathlib.Path({str(tmp_path / "saved")!r}).write_text(signals.received)
    """
    pid, terminal = pty.fork()
    if not pid:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it is ignored
        os.execv(sys.executable, [sys.executable, "-c", program])
    while b"started" not in os.read(terminal, 4096):
        pass
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert (tmp_path / "saved").read_text() == "SIGHUP"


def test_memory_of_a_container(monkeypatch, tmp_path):
    whole = devices.free_memory_gb()
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(devices, "CONTAINER_LIMITS", [limit, tmp_path / "none"])
    limit.write_text("max\n")
    assert devices.free_memory_gb() == pytest.approx(whole, rel=0.2)
    limit.write_text(f"{2**28}\n")
    assert devices.free_memory_gb() == 0.25


def test_another_thread_reads_a_signal_while_the_main_thread_is_busy():
    received_at = []

    def send_and_read(signals):
        os.kill(os.getpid(), signal.SIGTERM)
        wait_until(lambda: signals.received == "SIGTERM")
        received_at.append(time.monotonic())

    with StopSignals() as signals:
        thread = threading.Thread(target=send_and_read, args=[signals])
        thread.start()
        hashlib.pbkdf2_hmac("sha256", b"", b"", 3_000_000)  # in C without the global lock, like a call of TensorFlow
        end = time.monotonic()
        thread.join()
    assert received_at[0] < end
