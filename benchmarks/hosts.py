"""Worker processes of a benchmark on this machine, each under a TF_CONFIG of its own and on its share of the cores."""

import contextlib
import io
import json
import os
import time

from frame import MeasurementFailed

from gan_tf.distributed import launcher as supervisor
from gan_tf.errors import UsageError

CORES = "GAN_TF_BENCHMARK_CORES"  # environment: numbers of the cores that a worker keeps to
THREADS = ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS")


def worker_counts(text) -> list[int]:
    """The numbers in "1,2".

    Raises:
        UsageError: something else stands there.
    """
    words = text.split(",")
    if not all(word.strip().isdecimal() and int(word) > 0 for word in words):
        raise UsageError(f"--workers is {text!r}; give numbers of workers such as 1,2")
    return [int(word) for word in words]


def shares_of(workers, gpus) -> list[list[int]]:
    """Equal shares of the cores that this process may use: a list of core numbers for each of so many workers.

    Args:
        gpus: how many GPUs there are; 0 on a machine without.

    Raises:
        UsageError: there are too few cores or GPUs.
    """
    if os.name != "posix":
        raise UsageError("worker processes need Linux or macOS; use WSL2")
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    for count, name in ((len(cores), "cores"), *([(gpus, "GPUs")] if gpus else [])):
        if count < workers:
            raise UsageError(f"--workers asks for {workers}, and there are {count} {name}; give at most {count}")
    size = len(cores) // workers
    return [cores[i * size : (i + 1) * size] for i in range(workers)]


def environments(count, shares, gpus):
    """The environments of so many workers; one alone is told of no cluster."""
    found = supervisor.environments(count, 1 if gpus else None)
    for environment, cores in zip(found, shares, strict=False):
        environment[CORES] = ",".join(map(str, cores))
        environment |= dict.fromkeys(THREADS, str(len(cores)))
        if count == 1:
            del environment["TF_CONFIG"]
    return found


def without_cluster():
    """This process's environment without its place in a cluster."""
    return {name: value for name, value in os.environ.items() if name not in ("TF_CONFIG", "SLURM_STEP_NUM_TASKS")}


def keep_to_cores():
    """Keeps this process to the cores that `environments` gave it; before TensorFlow starts, which counts them."""
    if os.environ.get(CORES) and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, map(int, os.environ[CORES].split(",")))


def run_workers(command, environments, limit_seconds) -> dict:
    """Runs a benchmark once in each environment, all at the same time: the JSON object that the first one prints.

    None of the processes lives on after this.

    Raises:
        UsageError: a worker ended with 2.
        MeasurementFailed: one ended with another code, or not in time.
    """
    said, told, end = io.StringIO(), io.StringIO(), time.monotonic() + limit_seconds
    with (
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(told),
        supervisor.Group(command, environments) as group,
    ):
        while group.alive and not any(group.ended.values()) and time.monotonic() < end:
            group.relay(supervisor.TICK_SECONDS)
            group.reap()
        unfinished = group.alive
    faults = {index: code for index, code in group.ended.items() if code}
    if faults:
        index, code = next(iter(faults.items()))
        # What it said last, without the prefix of its lines.
        words = [
            line.partition("] ")[2] for line in told.getvalue().splitlines() if line.startswith(f"[worker {index}]")
        ]
        last = words[-1] if words else "it said nothing"
        if code == supervisor.USAGE_ERROR:
            raise UsageError(last.partition("error: ")[2] or last)
        raise MeasurementFailed(f"worker {index} of {len(environments)} ended with {supervisor.in_words(code)}: {last}")
    if unfinished:
        names = ", ".join(f"worker {index}" for index in unfinished)
        raise MeasurementFailed(f"{names} of {len(environments)} had not ended after --limit-seconds {limit_seconds:g}")
    return json.loads(last_line(said.getvalue(), "[worker 0] "))


def last_line(text, prefix) -> str:
    """The last line of a text that has some words behind this prefix; empty without one."""
    words = [line.removeprefix(prefix) for line in text.splitlines() if line.startswith(prefix)]
    return next((line for line in reversed(words) if line.strip()), "")
