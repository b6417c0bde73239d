"""What the tests of deploy/ run in place of gan-tf: a program that notes how it was started and ends as it is told."""

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
PATIENCE_SECONDS = 60  # for what takes a second on a quiet machine

# Arguments: FOLDER ROLES, then those of gan-tf. ROLES: what each start does, `1,saves,0`; the last one repeats.
PROGRAM = """
import json, os, pathlib, signal, sys, time

folder, roles = pathlib.Path(sys.argv[1]), sys.argv[2].split(",")
place = json.loads(os.environ.get("TF_CONFIG", "null"))
index = place["task"]["index"] if place else 0
starts = folder / f"starts-{index}"
with starts.open("a") as file:
    file.write(json.dumps({"place": place, "argv": sys.argv[3:], "environment": dict(os.environ)}) + "\\n")
role = roles[min(len(starts.read_text().splitlines()), len(roles)) - 1]
if role.isdigit():
    sys.exit(int(role))

def note(number, frame):
    with (folder / f"signals-{index}").open("a") as file:
        file.write(signal.Signals(number).name + "\\n")
    time.sleep(0.3)  # a second signal would be noted too
    sys.exit(42)

signal.signal(signal.SIGTERM, note)
signal.signal(signal.SIGINT, note)
(folder / f"ready-{index}").touch()
time.sleep(600)
"""


class Started:
    """A script of deploy/ at work, with the stand-in for gan-tf.

    Args:
        folder: an empty folder, for what the stand-in notes.
        command: list of words.
        roles: what each start of the stand-in does.
        variables: environment variables; others of ours that the scripts heed are taken out.
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
            # A shell in the background ignores SIGINT, and so would what it starts, these tests among it.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )

    def wait_for(self, *names):
        """Waits until the stand-ins have left all these files."""
        end = time.monotonic() + PATIENCE_SECONDS
        while not all((self.folder / name).exists() for name in names):
            assert time.monotonic() < end and self.process.poll() is None, f"{names} did not come"
            time.sleep(0.02)

    def end(self):
        """Waits for the end: (exit code, stdout, stderr)."""
        out, err = self.process.communicate(timeout=PATIENCE_SECONDS)
        return self.process.returncode, out, err

    def stop(self):
        """Kills what still lives: a script that hangs, and what it started in groups of their own."""
        if self.process.poll() is None:
            for each in [*psutil.Process(self.process.pid).children(recursive=True), self.process]:
                each.kill()
            self.process.communicate()

    def starts(self, index=0):
        """What each start of a worker saw."""
        path = self.folder / f"starts-{index}"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def signals(self, index=0):
        path = self.folder / f"signals-{index}"
        return path.read_text().split() if path.exists() else []
