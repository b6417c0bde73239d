"""Runs a script of deploy/ with a small program in place of gan-tf."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent.parent
DEPLOY = ROOT / "deploy"
LIMIT_SECONDS = 60  # for an event that takes a second on an idle machine

# Arguments: FOLDER ROLES, then those of gan-tf. ROLES: what each start does, `1,saves,0`; the last one repeats.
PROGRAM = """
import json, os, pathlib, signal, sys, time

folder, roles = pathlib.Path(sys.argv[1]), sys.argv[2].split(",")
config = json.loads(os.environ.get("TF_CONFIG", "null"))
index = config["task"]["index"] if config else 0
starts = folder / f"starts-{index}"
with starts.open("a") as file:
    file.write(json.dumps({"config": config, "argv": sys.argv[3:], "environment": dict(os.environ)}) + "\\n")
role = roles[min(len(starts.read_text().splitlines()), len(roles)) - 1]
if role.isdigit():
    sys.exit(int(role))

def handle(number, frame):
    with (folder / f"signals-{index}").open("a") as file:
        file.write(signal.Signals(number).name + "\\n")
    time.sleep(0.3)  # to record a second signal too
    sys.exit(42)

signal.signal(signal.SIGTERM, handle)
signal.signal(signal.SIGINT, handle)
(folder / f"ready-{index}").touch()
time.sleep(600)
"""


class Script:
    """A running script of deploy/.

    Args:
        folder: an empty folder for the files of the program.
        command: list of arguments.
        roles: what each start of the program does.
        variables: environment variables, in place of all that the scripts read.
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
            # A shell in the background ignores SIGINT, and its child processes inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )

    def wait_for(self, *names):
        """Waits for files of the program."""
        end = time.monotonic() + LIMIT_SECONDS
        while not all((self.folder / name).exists() for name in names):
            assert time.monotonic() < end and self.process.poll() is None, f"{names} did not come"
            time.sleep(0.02)

    def end(self):
        """Waits for the end. Returns (exit code, stdout, stderr)."""
        out, err = self.process.communicate(timeout=LIMIT_SECONDS)
        return self.process.returncode, out, err

    def stop(self):
        """Kills the script and its child processes."""
        if self.process.poll() is None:
            for each in [*psutil.Process(self.process.pid).children(recursive=True), self.process]:
                each.kill()
            self.process.communicate()

    def starts(self, index=0):
        """Returns the records of all starts of a worker."""
        path = self.folder / f"starts-{index}"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def signals(self, index=0):
        """Returns the signals that a worker received."""
        path = self.folder / f"signals-{index}"
        return path.read_text().split() if path.exists() else []
