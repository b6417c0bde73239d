"""The launcher with small programs as workers: signals, faults, restarts and output."""

import os
import signal
import sys
import time

import pytest

from gan_tf.distributed import launcher
from tests.programs import wait_until

LAUNCHER = """
import os, sys
from gan_tf.distributed.launcher import supervise

workers, restarts, grace = sys.argv[1:]
command = os.environ["GAN_TF_PROGRAM"].split()
sys.exit(supervise(command, workers=int(workers), restarts=int(restarts), grace_seconds=float(grace)))
"""


@pytest.fixture
def launch(start_command):
    """Returns a function that starts a launcher, with a role for each worker."""

    def start(*roles, restarts=0, grace=60):
        arguments = [len(roles), restarts, grace]
        return start_command([sys.executable, "-c", LAUNCHER, *arguments], "/".join(roles))

    return start


def test_output_is_prefixed_by_line(launch):
    code, out, err = launch("prints", "prints").end()
    assert code == 0
    lines = [f"[worker {index}] {text}" for index in (0, 1) for text in ("one", "two", "no end")]
    assert sorted(out.splitlines()) == sorted(lines)
    assert {"[worker 0] warning", "[worker 1] warning"} <= set(err.splitlines())


@pytest.mark.parametrize("send", [os.kill, os.killpg], ids=["launcher alone", "terminal"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_forwarded_once(launch, number, send):
    run = launch("saves", "saves", restarts=3).wait_for("ready-0", "ready-1")
    send(run.process.pid, number)
    code, out, err = run.end()
    assert code == 42
    assert run.signals(0) == run.signals(1) == ["SIGINT" if number == signal.SIGINT else "SIGTERM"]
    assert len(run.starts(0)) == 1, "stopped on purpose, so not started again"
    assert "[worker 1] saved" in out and number.name in err


def test_a_second_signal_kills(launch):
    run = launch("stubborn", "1", grace=1000).wait_for("signals-0")  # the first signal comes from the launcher
    run.process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    assert run.process.poll() is None and run.alive()
    run.process.send_signal(signal.SIGTERM)
    assert run.end()[0] == 1
    assert run.signals(0) == ["SIGTERM"]


@pytest.mark.parametrize("fault, code", [("1", 1), ("43", 43), ("killed", 137), ("42", 42)])
def test_a_fault_stops_the_others(launch, fault, code):
    run = launch("saves", fault)
    assert run.end()[0] == code
    assert run.signals(0) == ["SIGTERM"]


def test_after_a_fault_all_start_again_as_one_cluster_on_new_ports(launch):
    run = launch("saves,0", "killed,0", restarts=2)
    code, _, err = run.end()
    assert code == 0
    assert "worker 1 ended with code 137 (SIGKILL)" in err and "restart 1 of 2" in err
    ports = set()
    for attempt in (0, 1):
        clusters, tasks = zip(*(run.starts(index)[attempt]["config"].values() for index in (0, 1)), strict=True)
        assert tasks == ({"type": "worker", "index": 0}, {"type": "worker", "index": 1})
        assert clusters[0] == clusters[1]
        ports |= {address.removeprefix("127.0.0.1:") for address in clusters[0]["worker"]}
    assert len(ports) == 4 and all(map(str.isdigit, ports))


@pytest.mark.parametrize("roles, code, starts", [(["1"], 1, 3), (["saves", "2"], 2, 1)])
def test_restarts_are_limited_and_not_for_usage_errors(launch, roles, code, starts):
    run = launch(*roles, restarts=2)
    assert run.end()[0] == code
    assert len(run.starts(len(roles) - 1)) == starts


def test_a_frozen_worker_is_killed_after_the_grace(launch):
    code, _, err = launch("frozen", "1", grace=0.5).end()
    assert code == 1 and "0.5 s are over: killing worker 0" in err


@pytest.mark.parametrize("other", ["saves", "stubborn"])
def test_frozen_workers_are_killed_after_a_signal(launch, other):
    run = launch("frozen", other, grace=0.5).wait_for("ready-0", "ready-1")
    run.process.send_signal(signal.SIGTERM)
    assert run.end()[0] == 137


def test_child_processes_of_workers_end_with_them(launch):
    run = launch("parent", "1", grace=1).wait_for("child")
    assert run.end()[0] == 1
    assert not run.alive()


@pytest.mark.skipif(sys.platform != "linux", reason="needs PR_SET_PDEATHSIG")
def test_workers_save_when_the_launcher_is_killed(launch):
    run = launch("saves", "saves").wait_for("ready-0", "ready-1")
    run.process.kill()
    run.wait_for("signals-0", "signals-1")
    wait_until(lambda: not run.alive())
    assert run.signals(0) == ["SIGTERM"]


def test_a_closed_pipe_does_not_end_the_training(launch):
    run = launch("saves", "saves")
    run.process.stdout.close()
    run.process.stdout = None
    run.wait_for("ready-0", "ready-1").process.send_signal(signal.SIGTERM)
    assert run.end()[0] == 42


@pytest.mark.parametrize(
    "ended, received, code",
    [
        ({1: 42, 0: 0}, [signal.SIGTERM], 42),
        ({0: -signal.SIGINT, 1: 42}, [signal.SIGINT], 42),
        ({0: -signal.SIGTERM, 1: 42}, [], 143),
        ({1: 43, 0: 1}, [], 43),
        ({1: 1, 0: 2}, [], 2),
    ],
)
def test_exit_code(ended, received, code):
    assert launcher.exit_code(ended, received) == code
