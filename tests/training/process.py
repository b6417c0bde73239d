"""`python -m tests.training.process [--models-before N] [--fastgan] TRAIN_ARGUMENTS`: `train.py` for a test to kill.

Scores and grids take a few images only; the networks are tiny unless `--fastgan` is given.
"""

import os
import signal
import subprocess
import sys
import time

from gan_tf.cli.main import run_command

PATIENCE_SECONDS = 300  # a shared machine may be slow, a hanging process must end


def spawn(arguments, output):
    """Starts the process; what it says goes to the file `output`."""
    with open(output, "w") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.training.process", *arguments], stdout=file, stderr=subprocess.STDOUT
        )


def finish(arguments, output):
    """Runs the process to its end: the exit code."""
    return spawn(arguments, output).wait(PATIENCE_SECONDS)


def stop(arguments, output, run, record_count, number=signal.SIGKILL):
    """Starts the process and sends it a signal when stats.jsonl has so many lines: the exit code."""
    process = spawn(arguments, output)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (run.stats.exists() and run.stats.read_bytes().count(b"\n") >= record_count):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise RuntimeError(f"no signal was sent (exit code {process.wait()}): {output.read_text()[-2000:]}")
        time.sleep(0.002)
    os.kill(process.pid, number)
    return process.wait(PATIENCE_SECONDS)


def main(arguments):
    from tests.training import tiny

    networks = None
    if arguments[0] == "--models-before":
        for _ in range(int(arguments[1])):  # Keras numbers its variables through the whole process
            tiny.TinyGenerator(16).build()
        arguments = arguments[2:]
    if arguments[0] == "--fastgan":
        networks, arguments = tiny.FASTGAN, arguments[1:]
    with tiny.in_place(networks):
        return run_command("train", arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
