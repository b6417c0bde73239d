"""`python -m tests.distributed.process [OPTIONS] TRAIN_ARGUMENTS`: `train.py` with tiny networks, for tests to kill.

Scores and grids use a few images only. OPTIONS come first: `--fastgan` keeps FastGAN's networks, `--models-before N`
builds N networks first, `--devices N` splits the CPU into N devices, `--fault NAME` injects a fault of
`tests.faults.injection`.
"""

import argparse
import os
import signal
import subprocess
import sys
import time

import pytest

from gan_tf.cli.main import run_command

LIMIT_SECONDS = 300  # for a process on a busy machine


def spawn(arguments, output, **popen):
    """Starts the process, with its output in the file `output`."""
    command = [*popen.pop("prefix", []), sys.executable, "-m", "tests.distributed.process", *map(str, arguments)]
    with open(output, "w") as file:
        return subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, **popen)


def finish(arguments, output):
    """Runs the process to its end. Returns the exit code."""
    return spawn(arguments, output).wait(LIMIT_SECONDS)


def stop(arguments, output, run, record_count, number=signal.SIGKILL):
    """Starts the process and sends it a signal once stats.jsonl has `record_count` lines. Returns the exit code."""
    process = spawn(arguments, output)
    deadline = time.monotonic() + LIMIT_SECONDS
    while not (run.stats.exists() and run.stats.read_bytes().count(b"\n") >= record_count):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise RuntimeError(f"no signal was sent (exit code {process.wait()}): {output.read_text()[-2000:]}")
        time.sleep(0.002)
    os.kill(process.pid, number)
    return process.wait(LIMIT_SECONDS)


def main(arguments):
    from tests.faults.injection import inject
    from tests.training import tiny

    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--models-before", type=int, default=0)
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--fastgan", action="store_true")
    parser.add_argument("--fault")
    options, arguments = parser.parse_known_args(arguments)
    if options.devices > 1:
        split_cpu(options.devices)
    for _ in range(options.models_before):  # Keras numbers the variables of a process
        tiny.TinyGenerator(16).build()
    with tiny.in_place(tiny.FASTGAN if options.fastgan else None), pytest.MonkeyPatch.context() as patch:
        if options.fault:
            inject(options.fault, patch)
        return run_command("train", arguments)


def split_cpu(count):
    """Splits the CPU into `count` logical devices."""
    import tensorflow as tf

    [cpu] = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
