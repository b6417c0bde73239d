"""`gan-tf launch`: the supervisor against small stand-in workers, as processes of their own."""

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import time

import psutil
import pytest

from gan_tf.cli.main import main
from gan_tf.distributed import launcher as supervisor
from gan_tf.distributed.launcher import verdict

PATIENCE_SECONDS = 60  # for what takes a second on a quiet machine

# A worker that does what the words for its index say, those of the first attempt first:  ROLE[,ROLE...]
STAND_IN = """
import json, os, pathlib, signal, subprocess, sys, time

folder, roles = pathlib.Path(sys.argv[1]), sys.argv[2:]
place = json.loads(os.environ["TF_CONFIG"])
index = place["task"]["index"]
starts = folder / f"starts-{index}"
with starts.open("a") as file:
    file.write(json.dumps({"pid": os.getpid(), "place": place, "gpus": os.environ.get("CUDA_VISIBLE_DEVICES")}) + "\\n")
mine = roles[index].split(",")
role = mine[min(len(starts.read_text().splitlines()), len(mine)) - 1]

def note(number, frame):
    with (folder / f"signals-{index}").open("a") as file:
        file.write(signal.Signals(number).name + "\\n")
    if role == "saves":
        print("saved", flush=True)
        sys.exit(42)

for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, note)
if role == "parent":
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    (folder / "child").write_text(str(child.pid))
(folder / f"ready-{index}").touch()
while not all((folder / f"ready-{other}").exists() for other in range(len(roles))):
    time.sleep(0.02)  # a fault comes when all listen
if role == "talks":
    print("one\\ntwo")
    print("trouble", file=sys.stderr)
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

# The supervisor with a clock of its own speed: PACE seconds of grace pass in one.
DRIVER = """
import sys, time
from gan_tf.distributed.launcher import supervise

stand_in, folder, restarts, grace, pace, *roles = sys.argv[1:]
sys.exit(
    supervise(
        [sys.executable, stand_in, folder, *roles],
        workers=len(roles),
        restarts=int(restarts),
        grace_seconds=float(grace),
        clock=lambda: time.monotonic() * float(pace),
    )
)
"""


def hears_signals():
    """A shell in the background ignores SIGINT, nohup SIGHUP, and so would what they start, these tests among it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


class Launched:
    """A supervisor at work, and what its workers left in their folder."""

    def __init__(self, folder, *roles, restarts=0, grace=60, pace=1.0):
        self.folder = folder
        (folder / "stand_in.py").write_text(STAND_IN)
        words = [sys.executable, "-c", DRIVER, folder / "stand_in.py", folder, restarts, grace, pace, *roles]
        self.process = subprocess.Popen(
            list(map(str, words)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=hears_signals,
        )

    def wait_for(self, *names):
        """Waits until the workers have left all these files."""
        until(lambda: all((self.folder / name).exists() for name in names))

    def end(self):
        """Waits for the end: (exit code, stdout, stderr)."""
        out, err = self.process.communicate(timeout=PATIENCE_SECONDS)
        return self.process.returncode, out, err

    def starts(self, index=0):
        """What each start of a worker saw."""
        return [json.loads(line) for line in (self.folder / f"starts-{index}").read_text().splitlines()]

    def signals(self, index):
        path = self.folder / f"signals-{index}"
        return path.read_text().split() if path.exists() else []

    def left_over(self):
        """Workers and their children that still live."""
        pids = [start["pid"] for path in self.folder.glob("starts-*") for start in self.starts(path.name[7:])]
        if (self.folder / "child").exists():
            pids.append(int((self.folder / "child").read_text()))
        return [pid for pid in pids if alive(pid)]


def alive(pid):
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def until(condition):
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


@pytest.fixture
def launched(tmp_path):
    """Starts a supervisor; afterwards nothing of it may live."""
    made = []

    def start(*roles, **options):
        made.append(Launched(tmp_path, *roles, **options))
        return made[-1]

    yield start
    for each in made:
        left = each.left_over()
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        if each.process.poll() is None:
            each.process.kill()
            each.process.communicate()
        assert not left, "processes were left"


def test_lines_come_whole_under_the_workers_prefix_on_their_own_stream(launched):
    code, out, err = launched("talks", "talks").end()
    assert code == 0
    for index in (0, 1):
        own = [line for line in out.splitlines() if line.startswith(f"[worker {index}] ")]
        assert own == [f"[worker {index}] {text}" for text in ("one", "two", "no end")]
        assert f"[worker {index}] trouble" in err.splitlines()
    assert len(out.splitlines()) == 6


def test_each_worker_learns_its_place_in_one_cluster(launched):
    run = launched("0", "0", "0")
    assert run.end()[0] == 0
    places = [run.starts(index)[0]["place"] for index in range(3)]
    assert [place["task"] for place in places] == [{"type": "worker", "index": index} for index in range(3)]
    assert places[0]["cluster"] == places[1]["cluster"] == places[2]["cluster"]
    addresses = places[0]["cluster"]["worker"]
    assert len(set(addresses)) == 3 and all(re.fullmatch(r"127\.0\.0\.1:\d+", address) for address in addresses)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_goes_to_all_once_and_saved_is_42(launched, number):
    run = launched("saves", "saves", restarts=3)
    run.wait_for("ready-0", "ready-1")
    run.process.send_signal(number)
    code, out, err = run.end()
    passed_on = "SIGINT" if number == signal.SIGINT else "SIGTERM"
    assert code == 42
    assert run.signals(0) == run.signals(1) == [passed_on]
    assert len(run.starts(0)) == 1, "stopped on purpose, so not started again"
    assert "[worker 1] saved" in out and number.name in err


def test_ctrl_c_on_the_terminal_reaches_the_workers_once(launched):
    run = launched("saves", "saves")
    run.wait_for("ready-0", "ready-1")
    os.killpg(run.process.pid, signal.SIGINT)
    assert run.end()[0] == 42
    assert run.signals(0) == run.signals(1) == ["SIGINT"]


def test_a_second_signal_kills(launched):
    run = launched("stubborn", "stubborn")
    run.wait_for("ready-0", "ready-1")
    run.process.send_signal(signal.SIGTERM)
    run.wait_for("signals-0", "signals-1")
    assert run.process.poll() is None
    run.process.send_signal(signal.SIGTERM)
    assert run.end()[0] == 128 + signal.SIGKILL
    assert run.signals(0) == ["SIGTERM"]


@pytest.mark.parametrize("fault, code", [("1", 1), ("43", 43), ("killed", 137), ("42", 42)])
def test_a_fault_stops_the_others_and_its_code_is_ours(launched, fault, code):
    run = launched("saves", fault)
    assert run.end()[0] == code
    assert run.signals(0) == ["SIGTERM"]


def test_after_a_fault_all_start_again_on_new_ports(launched):
    run = launched("saves,0", "killed,0", restarts=2)
    code, _, err = run.end()
    assert code == 0
    for index in (0, 1):
        first, second = run.starts(index)
        assert first["place"]["task"] == second["place"]["task"]
        assert first["place"]["cluster"] != second["place"]["cluster"]
    assert "worker 1 ended with code 137 (SIGKILL)" in err and "restart 1 of 2" in err


def test_restarts_are_used_up(launched):
    run = launched("1", restarts=2)
    code, _, err = run.end()
    assert code == 1 and len(run.starts()) == 3
    assert "--restarts 2 allows no more" in err


def test_a_mistake_of_the_users_is_not_tried_again(launched):
    run = launched("saves", "2", restarts=3)
    assert run.end()[0] == 2
    assert len(run.starts(1)) == 1


def test_a_frozen_worker_is_killed_after_the_grace(launched):
    run = launched("frozen", "1", grace=60, pace=60)  # a minute in a second
    begun = time.monotonic()
    code, _, err = run.end()
    assert code == 1 and "60 s are over: killing worker 0" in err
    assert time.monotonic() - begun < 30


def test_a_frozen_worker_does_not_keep_a_stopped_group(launched):
    run = launched("frozen", "saves", grace=60, pace=60)
    run.wait_for("ready-0", "ready-1")
    run.process.send_signal(signal.SIGTERM)
    assert run.end()[0] == 137


def test_workers_that_all_hang_do_not_keep_a_stopped_group(launched):
    run = launched("frozen", "stubborn", grace=60, pace=60)
    run.wait_for("ready-0", "ready-1")
    run.process.send_signal(signal.SIGTERM)
    code, _, err = run.end()
    assert code == 137 and "90 s since SIGTERM are over: killing worker 0, worker 1" in err


def test_nobody_is_killed_before_the_grace_is_over(launched):
    run = launched("stubborn", "1", grace=1000)
    run.wait_for("signals-0")
    time.sleep(0.5)
    assert run.process.poll() is None and alive(run.starts(0)[0]["pid"])
    run.process.send_signal(signal.SIGTERM)  # the first of ours; the worker has been told already
    run.process.send_signal(signal.SIGINT)
    assert run.end()[0] == 1
    assert run.signals(0) == ["SIGTERM"]


def test_children_of_workers_end_with_them(launched):
    run = launched("parent", "1", grace=1, pace=1)
    run.wait_for("child")
    assert run.end()[0] == 1
    assert not run.left_over()


def test_help_says_how_long_a_signal_waits():
    assert supervisor.PATIENCE == 1.5
    help_text = " ".join(shown_help().split())
    assert "all are killed at the latest when 1.5 times as long has passed" in help_text


def shown_help():
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        main(["launch", "--help"])
    return re.sub("[│╭╮╰╯─]", " ", printed.getvalue())


@pytest.mark.skipif(sys.platform != "linux", reason="needs PR_SET_PDEATHSIG")
def test_workers_save_when_the_supervisor_is_killed(launched):
    run = launched("saves", "saves")
    run.wait_for("ready-0", "ready-1")
    run.process.kill()
    run.wait_for("signals-0", "signals-1")
    until(lambda: not run.left_over())
    assert run.signals(0) == ["SIGTERM"]


def test_a_reader_that_went_away_does_not_end_the_training(launched):
    run = launched("saves", "saves")
    run.process.stdout.close()
    run.process.stdout = None
    run.wait_for("ready-0", "ready-1")
    run.process.send_signal(signal.SIGTERM)
    assert run.end()[0] == 42


@pytest.mark.parametrize(
    "ended, stopped_by, code",
    [
        ({0: 0, 1: 0}, None, 0),
        ({0: 0, 1: 0}, signal.SIGTERM, 0),
        ({1: 42, 0: 0}, signal.SIGTERM, 42),
        ({0: -signal.SIGINT, 1: 42}, signal.SIGINT, 42),
        ({0: -signal.SIGTERM, 1: 42}, None, 143),
        ({1: -signal.SIGKILL, 0: 42}, None, 137),
        ({1: 1, 0: 43}, None, 1),
        ({1: 43, 0: 1}, None, 43),
        ({1: 1, 0: 2}, None, 2),
    ],
)
def test_verdict(ended, stopped_by, code):
    assert verdict(ended, stopped_by) == code


def test_a_line_without_end_is_cut(capsys):
    lines = supervisor.Lines("[worker 0] ", sys.stdout)
    for _ in range(3):
        lines.feed(b"x" * supervisor.LINE_BYTES)
    lines.feed("é\r\n".encode()[:1])
    lines.feed("é\r\n".encode()[1:])
    long, *others = capsys.readouterr().out.splitlines()
    assert long == "[worker 0] " + "x" * supervisor.LINE_BYTES
    assert others[-1] == "[worker 0] é"
