"""Starts the worker processes of a benchmark on this machine, each on its share of the cores."""

import contextlib
import io
import json
import os
import time

from frame import MeasurementFailed

from gan_tf.distributed import launcher
from gan_tf.errors import USAGE_ERROR, UsageError

CORES = "GAN_TF_BENCHMARK_CORES"  # environment variable: numbers of the cores of a worker
THREADS = ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS")


def worker_counts(text) -> list[int]:
    """Parses numbers of workers such as "1,2". Raises UsageError for other text."""
    counts = text.split(",")
    if not all(count.strip().isdecimal() and int(count) > 0 for count in counts):
        raise UsageError(f"--workers is {text!r}; give numbers of workers such as 1,2")
    return [int(count) for count in counts]


def divide_cores(workers, gpus) -> list[list[int]]:
    """Divides the cores of this process evenly. Returns a list of core numbers for each worker.

    Raises:
        UsageError: too few cores, or too few GPUs on a machine with GPUs.
    """
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    for count, name in ((len(cores), "cores"), *([(gpus, "GPUs")] if gpus else [])):
        if count < workers:
            raise UsageError(f"--workers asks for {workers}, and there are {count} {name}; give at most {count}")
    size = len(cores) // workers
    return [cores[i * size : (i + 1) * size] for i in range(workers)]


def environments(count, cores, gpus):
    """Returns the environment of each of `count` workers, as dicts; a single worker has no TF_CONFIG.

    cores: result of `divide_cores`.
    """
    result = launcher.environments(count, 1 if gpus else None)
    for environment, numbers in zip(result, cores, strict=False):
        environment[CORES] = ",".join(map(str, numbers))
        environment |= dict.fromkeys(THREADS, str(len(numbers)))
        if count == 1:
            del environment["TF_CONFIG"]
    return result


def without_cluster():
    """Returns the environment of this process without the variables of a cluster."""
    return {name: value for name, value in os.environ.items() if name not in ("TF_CONFIG", "SLURM_STEP_NUM_TASKS")}


def set_affinity():
    """Restricts this process to the cores of `environments`. Call it before TensorFlow starts, which counts cores."""
    if os.environ.get(CORES) and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, map(int, os.environ[CORES].split(",")))


def run_workers(command, environments, limit_seconds) -> dict:
    """Runs a benchmark in each environment, all at the same time. Returns the JSON object that worker 0 prints.

    Raises:
        UsageError: a worker ended with exit code 2.
        MeasurementFailed: a worker ended with another exit code, or did not end in time.
    """
    out, err, end = io.StringIO(), io.StringIO(), time.monotonic() + limit_seconds
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        launcher.worker_processes(command, environments) as (processes, copy),
    ):
        codes = [None] * len(processes)
        while None in codes and not any(codes) and time.monotonic() < end:
            copy(launcher.TICK_SECONDS)
            codes = [process.poll() for process in processes]
    for index, code in enumerate(codes):
        if code:
            message = last_line(err.getvalue(), f"[worker {index}] ")
            if code == USAGE_ERROR:
                raise UsageError(message.partition("error: ")[2] or message)
            code = launcher.shell_code(code)
            raise MeasurementFailed(f"worker {index} of {len(environments)} ended with code {code}: {message}")
    unfinished = ", ".join(f"worker {index}" for index, code in enumerate(codes) if code is None)
    if unfinished:
        raise MeasurementFailed(f"{unfinished} did not end within --limit-seconds {limit_seconds:g}")
    return json.loads(last_line(out.getvalue(), "[worker 0] "))


def last_line(text, prefix) -> str:
    """Returns the last line that has text after `prefix`, without the prefix; "" if there is none."""
    lines = [line.removeprefix(prefix) for line in text.splitlines() if line.startswith(prefix)]
    return next((line for line in reversed(lines) if line.strip()), "")
