"""`python -m tests.distributed.process [OPTIONS] TRAIN_ARGUMENTS`: `train.py` with tiny networks, for tests to kill.

Scores and grids use a few images only. OPTIONS come first: `--fastgan` keeps FastGAN's networks, `--models-before N`
builds N networks first, `--devices N` splits the CPU into N devices, `--fault NAME` injects a fault of
`tests.faults.injection`.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from gan_tf.cli.main import run_command
from gan_tf.distributed.launcher import free_ports

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
    try:
        wait_for_records(run, record_count, [process])
        process.send_signal(number)
        return process.wait(LIMIT_SECONDS)
    finally:
        process.kill()


def wait_for_records(run, count, processes):
    """Waits until stats.jsonl has this number of lines."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while not (run.stats.exists() and run.stats.read_bytes().count(b"\n") >= count):
        assert time.monotonic() < deadline, f"{count} records were not reached"
        assert all(process.poll() is None for process in processes), f"a process ended before {count} records"
        time.sleep(0.002)


class WorkerGroup:
    """Two workers of one run on this host, with TF_CONFIG; at the end of a `with` block they are killed.

    Args:
        folder: for the output of the workers: worker-0.txt and so on.
        arguments: of `train`.
    """

    def __init__(self, folder, arguments):
        self.folder, self.arguments = folder, arguments
        self.prefix, self.variables = [], {}  # command that starts theirs, and additions to their environment
        self.processes = {}
        self.end()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.end()

    def start(self, *indices, options=()):
        """Starts these workers, default all. `options` come before their arguments."""
        for index in indices or range(2):
            environment = {**os.environ, **self.variables, **self.cluster_variables(index)}
            output = self.folder / f"worker-{index}.txt"
            command = [*options, *self.arguments]
            self.processes[index] = spawn(command, output, prefix=self.prefix, env=environment)
        return self

    def cluster_variables(self, index):
        """Environment variables that describe the cluster to a worker."""
        config = {"cluster": {"worker": self.addresses}, "task": {"type": "worker", "index": index}}
        return {"TF_CONFIG": json.dumps(config)}

    def output(self, index):
        """Returns the output of a worker so far."""
        return (self.folder / f"worker-{index}.txt").read_text()

    def ends_with(self, code):
        """Waits for all workers, and checks their exit codes."""
        for index, worker in self.processes.items():
            assert worker.wait(LIMIT_SECONDS) == code, self.output(index)[-3000:]
        return self

    def wait_for_records(self, run, count):
        """Waits until stats.jsonl has this number of lines."""
        wait_for_records(run, count, self.processes.values())
        return self

    def send(self, index, number):
        """Sends a signal to a worker."""
        self.processes[index].send_signal(number)

    def end(self):
        """Kills all processes. Those that are started next have other ports."""
        for worker in self.processes.values():
            with contextlib.suppress(ProcessLookupError):
                worker.send_signal(signal.SIGCONT)
                worker.kill()
            worker.wait()
        self.processes, self.addresses = {}, [f"127.0.0.1:{port}" for port in free_ports(2)]


def main(arguments):
    from tests.faults import injection
    from tests.training import tiny

    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--models-before", type=int, default=0)
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--fastgan", action="store_true")
    parser.add_argument("--fault")
    options, arguments = parser.parse_known_args(arguments)
    if options.devices > 1:
        import tensorflow as tf

        [cpu] = tf.config.list_physical_devices("CPU")
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * options.devices)
    for _ in range(options.models_before):  # Keras numbers the variables of a process
        tiny.TinyGenerator(16).build()
    with tiny.in_place(tiny.FASTGAN if options.fastgan else None), pytest.MonkeyPatch.context() as patch:
        if options.fault:
            getattr(injection, options.fault)(patch)
        return run_command("train", arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
