"""Runs a launcher or script with a small program in place of gan-tf."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
LIMIT_SECONDS = 60  # for an event that takes a second on an idle machine

# Arguments: FOLDER ROLES, then those of gan-tf. ROLES: what each start does, `killed,saves,0`; the last one repeats.
# With roles of several workers, `saves/1`, each waits until all handle signals.
PROGRAM = """
import json, os, pathlib, signal, subprocess, sys, time

folder, roles = pathlib.Path(sys.argv[1]), sys.argv[2].split("/")
config = json.loads(os.environ.get("TF_CONFIG", "null"))
index = config["task"]["index"] if config else 0
starts = folder / f"starts-{index}"
record = {"pid": os.getpid(), "config": config, "argv": sys.argv[3:], "environment": dict(os.environ)}
with starts.open("a") as file:
    file.write(json.dumps(record) + "\\n")
own = roles[min(index, len(roles) - 1)].split(",")
role = own[min(len(starts.read_text().splitlines()), len(own)) - 1]

def handle(number, frame):
    with (folder / f"signals-{index}").open("a") as file:
        file.write(signal.Signals(number).name + "\\n")
    if role == "saves":
        print("saved", flush=True)
        time.sleep(0.3)  # to record a second signal too
        sys.exit(42)

for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, handle)
if role == "parent":
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    (folder / "child").write_text(str(child.pid))
(folder / f"ready-{index}").touch()
while len(roles) > 1 and not all((folder / f"ready-{other}").exists() for other in range(len(roles))):
    time.sleep(0.02)
if role == "prints":
    print("one\\r\\ntwo")
    print("warning", file=sys.stderr)
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


def use_default_signals():
    """Restores SIGINT and SIGHUP, which are ignored in the processes of a background shell or of nohup."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


class Command:
    """A running command that starts the program in GAN_TF_PROGRAM, and the files that the program writes.

    Args:
        folder: an empty folder for these files.
        command: list of arguments.
        roles: what each start of the program does.
        variables: environment variables, in place of all that the project reads.
    """

    def __init__(self, folder, command, roles, **variables):
        self.folder = folder
        (folder / "program.py").write_text(PROGRAM)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("GAN_TF", "SLURM", "TF_CON"))}
        program = f"{sys.executable} {folder / 'program.py'} {folder} {roles}"
        self.process = subprocess.Popen(
            list(map(str, command)),
            cwd=ROOT,
            env={**kept, "GAN_TF_PROGRAM": program, "GAN_TF_PAUSE": "0", **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=use_default_signals,
        )

    def wait_for(self, *names):
        """Waits for files of the program."""
        wait_until(lambda: all((self.folder / name).exists() for name in names))
        return self

    def end(self):
        """Waits for the end. Returns (exit code, stdout, stderr)."""
        out, err = self.process.communicate(timeout=LIMIT_SECONDS)
        return self.process.returncode, out, err

    def starts(self, index=0):
        """Returns the records of all starts of a worker."""
        path = self.folder / f"starts-{index}"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def signals(self, index=0):
        """Returns the signals that a worker received."""
        path = self.folder / f"signals-{index}"
        return path.read_text().split() if path.exists() else []

    def alive(self):
        """Returns the process ids of the workers and their child processes that are alive."""
        pids = [start["pid"] for path in self.folder.glob("starts-*") for start in self.starts(path.name[7:])]
        child = self.folder / "child"
        pids += [int(child.read_text())] if child.exists() else []
        return [pid for pid in pids if is_alive(pid)]

    def stop(self):
        """Kills the command and its workers. Returns the workers that were alive."""
        left = self.alive()
        with self.process:
            for kill, number in [(os.killpg, self.process.pid), *((os.kill, pid) for pid in left)]:
                with contextlib.suppress(ProcessLookupError):
                    kill(number, signal.SIGKILL)
        return left


def is_alive(pid):
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def wait_until(condition):
    end = time.monotonic() + LIMIT_SECONDS
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
