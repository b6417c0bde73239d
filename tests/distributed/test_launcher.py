"""The launcher with small programs as workers: signals, faults, restarts and output."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time

import psutil
import pytest

from gan_tf.distributed import launcher

LIMIT_SECONDS = 60  # for an event that takes a second on an idle machine

# Arguments: FOLDER, then for each worker its roles, `killed,0`: the first attempt's first; the last one repeats.
WORKER = """
import json, os, pathlib, signal, subprocess, sys, time

folder, roles = pathlib.Path(sys.argv[1]), sys.argv[2:]
config = json.loads(os.environ["TF_CONFIG"])
index = config["task"]["index"]
starts = folder / f"starts-{index}"
with starts.open("a") as file:
    file.write(json.dumps({"pid": os.getpid(), "config": config}) + "\\n")
attempts = roles[index].split(",")
role = attempts[min(len(starts.read_text().splitlines()), len(attempts)) - 1]

def handle(number, frame):
    with (folder / f"signals-{index}").open("a") as file:
        file.write(signal.Signals(number).name + "\\n")
    if role == "saves":
        print("saved", flush=True)
        sys.exit(42)

for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, handle)
if role == "parent":
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    (folder / "child").write_text(str(child.pid))
(folder / f"ready-{index}").touch()
while not all((folder / f"ready-{other}").exists() for other in range(len(roles))):
    time.sleep(0.02)  # until all workers handle signals
if role == "prints":
    print("one\\r\\ntwo")
    print("warning", file=sys.stderr)
    print("x" * 70_000)
    print("no end", end="")
    sys.exit(0)
if role.isdigit():
    sys.exit(int(role))
if role == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
if role == "frozen":
    os.kill(os.getpid(), signal.SIGSTOP)
until = time.monotonic() + 600
while time.monotonic() < until:
    time.sleep(0.05)
"""

LAUNCHER = """
import sys
from gan_tf.distributed.launcher import supervise

program, folder, restarts, grace, *roles = sys.argv[1:]
command = [sys.executable, program, folder, *roles]
sys.exit(supervise(command, workers=len(roles), restarts=int(restarts), grace_seconds=float(grace)))
"""


def use_default_signals():
    """Restores SIGINT and SIGHUP, which are ignored in the processes of a background shell or of nohup."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


class Launched:
    """A launcher process, and the files that its workers write."""

    def __init__(self, folder, *roles, restarts=0, grace=60):
        self.folder = folder
        (folder / "worker.py").write_text(WORKER)
        self.process = subprocess.Popen(
            [sys.executable, "-c", LAUNCHER, folder / "worker.py", folder, str(restarts), str(grace), *roles],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=use_default_signals,
        )

    def wait_for(self, *names):
        """Waits for files of the workers."""
        wait_until(lambda: all((self.folder / name).exists() for name in names))
        return self

    def send(self, number):
        """Sends a signal to the launcher."""
        self.process.send_signal(number)

    def end(self):
        """Waits for the end. Returns (exit code, stdout, stderr)."""
        out, err = self.process.communicate(timeout=LIMIT_SECONDS)
        return self.process.returncode, out, err

    def starts(self, index=0):
        """Returns the records of all starts of a worker."""
        return [json.loads(line) for line in (self.folder / f"starts-{index}").read_text().splitlines()]

    def signals(self, index):
        """Returns the signals that a worker received."""
        path = self.folder / f"signals-{index}"
        return path.read_text().split() if path.exists() else []

    def alive(self):
        """Returns the workers and their children that are alive."""
        pids = [start["pid"] for path in self.folder.glob("starts-*") for start in self.starts(path.name[7:])]
        if (self.folder / "child").exists():
            pids.append(int((self.folder / "child").read_text()))
        return [pid for pid in pids if is_alive(pid)]


def is_alive(pid):
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def wait_until(condition):
    end = time.monotonic() + LIMIT_SECONDS
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


@pytest.fixture
def launch(tmp_path):
    """Returns a function that starts a launcher; at the end no process may be left."""
    started = []

    def start(*roles, **options):
        started.append(Launched(tmp_path, *roles, **options))
        return started[-1]

    yield start
    for run in started:
        left = run.alive()
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        if run.process.poll() is None:
            run.process.kill()
            run.process.communicate()
        assert not left, "processes were left"


def test_output_is_prefixed_by_line(launch):
    code, out, err = launch("prints", "prints").end()
    assert code == 0
    for index in (0, 1):
        prefix = f"[worker {index}] "
        lines = [line.removeprefix(prefix) for line in out.splitlines() if line.startswith(prefix)]
        assert lines == ["one", "two", "x" * launcher.LINE_BYTES, "x" * (70_000 - launcher.LINE_BYTES), "no end"]
        assert f"{prefix}warning" in err.splitlines()
    assert len(out.splitlines()) == 10


def test_workers_are_one_cluster(launch):
    run = launch("0", "0", "0")
    assert run.end()[0] == 0
    configs = [run.starts(index)[0]["config"] for index in range(3)]
    assert [config["task"] for config in configs] == [{"type": "worker", "index": index} for index in range(3)]
    assert configs[0]["cluster"] == configs[1]["cluster"] == configs[2]["cluster"]
    addresses = configs[0]["cluster"]["worker"]
    assert len(set(addresses)) == 3 and all(re.fullmatch(r"127\.0\.0\.1:\d+", address) for address in addresses)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_forwarded_once(launch, number):
    run = launch("saves", "saves", restarts=3).wait_for("ready-0", "ready-1")
    run.send(number)
    code, out, err = run.end()
    assert code == 42
    assert run.signals(0) == run.signals(1) == ["SIGINT" if number == signal.SIGINT else "SIGTERM"]
    assert len(run.starts(0)) == 1, "stopped on purpose, so not started again"
    assert "[worker 1] saved" in out and number.name in err


def test_ctrl_c_in_the_terminal_reaches_the_workers_once(launch):
    run = launch("saves", "saves").wait_for("ready-0", "ready-1")
    os.killpg(run.process.pid, signal.SIGINT)
    assert run.end()[0] == 42
    assert run.signals(0) == run.signals(1) == ["SIGINT"]


def test_a_second_signal_kills(launch):
    run = launch("stubborn", "stubborn").wait_for("ready-0", "ready-1")
    run.send(signal.SIGTERM)
    run.wait_for("signals-0", "signals-1")
    assert run.process.poll() is None
    run.send(signal.SIGTERM)
    assert run.end()[0] == 128 + signal.SIGKILL
    assert run.signals(0) == ["SIGTERM"]


@pytest.mark.parametrize("fault, code", [("1", 1), ("43", 43), ("killed", 137), ("42", 42)])
def test_a_fault_stops_the_others(launch, fault, code):
    run = launch("saves", fault)
    assert run.end()[0] == code
    assert run.signals(0) == ["SIGTERM"]


def test_after_a_fault_all_start_again_on_new_ports(launch):
    run = launch("saves,0", "killed,0", restarts=2)
    code, _, err = run.end()
    assert code == 0
    for index in (0, 1):
        first, second = (start["config"] for start in run.starts(index))
        assert first["task"] == second["task"] and first["cluster"] != second["cluster"]
    assert "worker 1 ended with code 137 (SIGKILL)" in err and "restart 1 of 2" in err


@pytest.mark.parametrize("roles, code, starts", [(["1"], 1, 3), (["saves", "2"], 2, 1)])
def test_restarts_are_limited_and_not_for_usage_errors(launch, roles, code, starts):
    run = launch(*roles, restarts=2)
    assert run.end()[0] == code
    assert len(run.starts(len(roles) - 1)) == starts


def test_a_frozen_worker_is_killed_after_the_grace(launch):
    code, _, err = launch("frozen", "1", grace=0.5).end()
    assert code == 1 and "0.5 s are over: killing worker 0" in err


@pytest.mark.parametrize("roles", [("frozen", "saves"), ("frozen", "stubborn")])
def test_frozen_workers_are_killed_after_a_signal(launch, roles):
    run = launch(*roles, grace=0.5).wait_for("ready-0", "ready-1")
    run.send(signal.SIGTERM)
    assert run.end()[0] == 137


def test_no_worker_is_killed_before_the_grace_is_over(launch):
    run = launch("stubborn", "1", grace=1000).wait_for("signals-0")
    time.sleep(0.5)
    assert run.process.poll() is None and is_alive(run.starts(0)[0]["pid"])
    run.send(signal.SIGTERM)  # the launcher's first signal; the worker has received its SIGTERM already
    run.send(signal.SIGINT)
    assert run.end()[0] == 1
    assert run.signals(0) == ["SIGTERM"]


def test_children_of_workers_end_with_them(launch):
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
    run.wait_for("ready-0", "ready-1")
    run.send(signal.SIGTERM)
    assert run.end()[0] == 42


@pytest.mark.parametrize(
    "ended, received, code",
    [
        ({0: 0, 1: 0}, [], 0),
        ({0: 0, 1: 0}, [signal.SIGTERM], 0),
        ({1: 42, 0: 0}, [signal.SIGTERM], 42),
        ({0: -signal.SIGINT, 1: 42}, [signal.SIGINT], 42),
        ({0: -signal.SIGTERM, 1: 42}, [], 143),
        ({1: -signal.SIGKILL, 0: 42}, [], 137),
        ({1: 1, 0: 43}, [], 1),
        ({1: 43, 0: 1}, [], 43),
        ({1: 1, 0: 2}, [], 2),
    ],
)
def test_exit_code(ended, received, code):
    assert launcher.exit_code(ended, received) == code
