"""A run of two workers on this host: processes of `tests.distributed.process` with TF_CONFIG."""

import contextlib
import json
import os
import signal

from gan_tf.distributed.launcher import free_ports
from tests.distributed import process


class WorkerGroup:
    """Workers of one run; at the end of a `with` block they are killed.

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
            self.processes[index] = process.spawn(command, output, prefix=self.prefix, env=environment)
        return self

    def cluster_variables(self, index):
        """Environment variables that describe the cluster to a worker."""
        config = {"cluster": {"worker": self.addresses}, "task": {"type": "worker", "index": index}}
        return {"TF_CONFIG": json.dumps(config)}

    def output(self, index):
        """Returns what a worker has printed."""
        return (self.folder / f"worker-{index}.txt").read_text()

    def ends_with(self, code):
        """Waits for all workers, and checks their exit codes."""
        for index, worker in self.processes.items():
            assert worker.wait(process.LIMIT_SECONDS) == code, self.output(index)[-3000:]
        return self

    def wait_for_records(self, run, count):
        """Waits until stats.jsonl has this number of lines."""
        process.wait_for_records(run, count, self.processes.values())
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
