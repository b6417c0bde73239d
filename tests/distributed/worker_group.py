"""A run of several workers on this host: processes of `tests.distributed.process` with TF_CONFIG."""

import contextlib
import json
import os
import signal
import time

from gan_tf.distributed.launcher import free_ports
from tests.distributed import process

END_SECONDS = 60  # within which every surviving worker must end after a fault
START_SECONDS = 240  # importing TensorFlow takes long on a busy machine


class WorkerGroup:
    """Workers of one run.

    Args:
        folder: for the output of the workers: worker-0.txt and so on.
        arguments: of `train`.
        count: number of workers.
        prefix: command that starts theirs.
        variables: of their environment, added to this process's.
    """

    def __init__(self, folder, arguments, count=2, prefix=(), variables=None):
        self.folder, self.arguments, self.count, self.prefix = folder, arguments, count, prefix
        self.variables = variables or {}
        self.addresses = [f"127.0.0.1:{port}" for port in free_ports(count)]
        self.processes = {}

    def start(self, *indices, options=()):
        """Starts these workers, default all. `options` come before their arguments."""
        for index in indices or range(self.count):
            environment = {**os.environ, **self.variables, **self.cluster_variables(index)}
            self.processes[index] = process.spawn(
                [*options, *self.arguments], self.output_path(index), prefix=self.prefix, env=environment
            )
        return self

    def cluster_variables(self, index):
        """Environment variables that describe the cluster to a worker."""
        config = {"cluster": {"worker": self.addresses}, "task": {"type": "worker", "index": index}}
        return {"TF_CONFIG": json.dumps(config)}

    def output_path(self, index):
        return self.folder / f"worker-{index}.txt"

    def output(self, index):
        return self.output_path(index).read_text()

    def wait(self, seconds=START_SECONDS):
        """Waits for the workers that were started. Returns their exit codes in order."""
        deadline = time.monotonic() + seconds
        return [p.wait(max(0.1, deadline - time.monotonic())) for _, p in sorted(self.processes.items())]

    def wait_for_records(self, run, records):
        """Waits until stats.jsonl has this number of lines."""
        deadline = time.monotonic() + START_SECONDS
        while not (run.stats.exists() and run.stats.read_bytes().count(b"\n") >= records):
            ended = {index: p.poll() for index, p in self.processes.items() if p.poll() is not None}
            if ended or time.monotonic() > deadline:
                outputs = "\n".join(self.output(index)[-1500:] for index in self.processes)
                raise RuntimeError(f"{records} records were not reached; ended: {ended}\n{outputs}")
            time.sleep(0.005)
        return self

    def send(self, index, number):
        """Sends a signal to a worker."""
        self.processes[index].send_signal(number)

    def end(self):
        """Kills all processes."""
        for worker in self.processes.values():
            with contextlib.suppress(ProcessLookupError):
                worker.send_signal(signal.SIGCONT)
                worker.kill()
            worker.wait()
