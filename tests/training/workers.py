"""Runs of several workers on this host: each a process of `tests.training.process` with its own TF_CONFIG."""

import contextlib
import json
import os
import signal
import socket
import time

from tests.training import process

END_SECONDS = 60  # in which every surviving worker must end after a fault
START_SECONDS = 240  # a loaded machine imports TensorFlow slowly


class Group:
    """Workers of one run.

    Args:
        folder: where what they say is kept, in worker-0.txt and so on.
        words: their command line.
        count: how many.
        prefix: words of a command that starts theirs.
        variables: of their environment, beside our own.
    """

    def __init__(self, folder, words, count=2, prefix=(), variables=None):
        self.folder, self.words, self.count, self.prefix = folder, words, count, prefix
        self.variables = variables or {}
        self.addresses = [f"127.0.0.1:{port}" for port in free_ports(count)]
        self.processes = {}

    def start(self, *indices, options=()):
        """Starts these workers, default all, with some more words at the front of their command line."""
        for index in indices or range(self.count):
            environment = {**os.environ, **self.variables, **self.place(index)}
            self.processes[index] = process.spawn(
                [*options, *self.words], self.said_path(index), prefix=self.prefix, env=environment
            )
        return self

    def place(self, index):
        """The environment variable that tells a worker its place."""
        cluster = {"cluster": {"worker": self.addresses}, "task": {"type": "worker", "index": index}}
        return {"TF_CONFIG": json.dumps(cluster)}

    def said_path(self, index):
        return self.folder / f"worker-{index}.txt"

    def said(self, index):
        return self.said_path(index).read_text()

    def wait(self, seconds=START_SECONDS):
        """Exit codes of those that were started, in order."""
        deadline = time.monotonic() + seconds
        return [p.wait(max(0.1, deadline - time.monotonic())) for _, p in sorted(self.processes.items())]

    def when_trained(self, run, records):
        """Waits until stats.jsonl has so many lines."""
        deadline = time.monotonic() + START_SECONDS
        while not (run.stats.exists() and run.stats.read_bytes().count(b"\n") >= records):
            ended = {index: p.poll() for index, p in self.processes.items() if p.poll() is not None}
            if ended or time.monotonic() > deadline:
                said = "\n".join(self.said(index)[-1500:] for index in self.processes)
                raise RuntimeError(f"not trained so far; ended: {ended}\n{said}")
            time.sleep(0.005)
        return self

    def send(self, index, number):
        self.processes[index].send_signal(number)

    def end(self):
        """Leaves no process behind."""
        for worker in self.processes.values():
            with contextlib.suppress(ProcessLookupError):
                worker.send_signal(signal.SIGCONT)
                worker.kill()
            worker.wait()


def free_ports(count):
    """Ports that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
