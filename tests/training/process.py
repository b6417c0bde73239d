"""`python -m tests.training.process [OPTIONS] TRAIN_ARGUMENTS`: `train.py` for a test to kill.

Scores and grids take a few images only; the networks are tiny unless `--fastgan` is given. OPTIONS, before the others:
`--models-before N` builds so many networks first, `--devices N` cuts the CPU into so many, `--fault NAME` meets a
fault of `tests.faults.inflict`.
"""

import argparse
import os
import signal
import subprocess
import sys
import time

import pytest

from gan_tf.cli.main import run_command

PATIENCE_SECONDS = 300  # a shared machine may be slow, a hanging process must end


def spawn(arguments, output, **popen):
    """Starts the process; what it says goes to the file `output`."""
    command = [*popen.pop("prefix", []), sys.executable, "-m", "tests.training.process", *map(str, arguments)]
    with open(output, "w") as file:
        return subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, **popen)


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
    from tests.faults.inflict import inflict
    from tests.training import tiny

    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--models-before", type=int, default=0)
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--fastgan", action="store_true")
    parser.add_argument("--fault")
    options, arguments = parser.parse_known_args(arguments)
    if options.devices > 1:
        split_cpu(options.devices)
    for _ in range(options.models_before):  # Keras numbers its variables through the whole process
        tiny.TinyGenerator(16).build()
    with tiny.in_place(tiny.FASTGAN if options.fastgan else None), pytest.MonkeyPatch.context() as patch:
        if options.fault:
            inflict(options.fault, patch)
        return run_command("train", arguments)


def split_cpu(count):
    """Makes TensorFlow see so many CPUs."""
    import tensorflow as tf

    [cpu] = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
