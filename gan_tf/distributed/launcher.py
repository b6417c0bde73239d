"""Runs several worker processes of one command on this machine: forwards signals, prefixes their output, restarts them.

start all --> one fails --> SIGTERM to the others --> grace --> SIGKILL --> start all again
          `-> all end with 0
          `-> launcher receives a signal --> forwarded to all --> grace, or a second signal --> SIGKILL
"""

import contextlib
import ctypes
import functools
import itertools
import math
import os
import re
import selectors
import signal
import socket
import subprocess
import sys
import time

from gan_tf.errors import INTERRUPTED, USAGE_ERROR
from gan_tf.io.json_text import json_text

TICK_SECONDS = 0.1  # between two checks of the workers
# From a signal to SIGKILL for all workers, in multiples of --grace-seconds, even if none has ended. With the default of
# 60 s that is less than the two minutes that batch systems allow.
SIGNAL_GRACES = 1.5
OUTPUT_SECONDS = 2.0  # for reading the last lines of workers that have ended


def supervise(command, *, workers, restarts, grace_seconds, gpus_per_worker=None) -> int:
    """Runs `workers` processes of `command`, and starts all of them again after a fault. Returns the exit code.

    0: all ended with 0. 2: one ended with 2. 42: a signal stopped them and all saved. Otherwise the code of the first
    worker that failed in the last attempt, 128 + N for signal N.

    Args:
        command: list of arguments, the same for all workers, which differ in the environment variable TF_CONFIG.
        restarts: how many times all workers may be started again.
        grace_seconds: from the end of the first worker to SIGKILL for the others, after a fault or a signal.
        gpus_per_worker: K: worker i gets GPUs i * K to (i + 1) * K - 1 of `visible_gpus`. None: all workers get all.
    """
    received = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup ignores SIGHUP
            signal.signal(number, lambda number, frame: received.append(signal.Signals(number)))
    for attempt in range(restarts + 1):
        if attempt:
            log(f"restart {attempt} of {restarts}")
        with worker_processes(command, environments(workers, gpus_per_worker)) as (processes, copy):
            ended = wait_for_end(processes, copy, received, grace_seconds)
        code = exit_code(ended, received)
        if code in (0, USAGE_ERROR):
            return code
        if received:
            break
    reason = "" if received else f", and --restarts {restarts} allows no more"
    log(f"ended with code {code}{reason}; the same command continues the run")
    return code


def wait_for_end(processes, copy, received, grace_seconds) -> dict[int, int]:
    """Waits until all workers have ended. After a signal or a fault, forwards the signal or stops the other workers.

    Args:
        copy: function (seconds) that copies the output of the workers for that time.
        received: list of the signals that the launcher received, to which a handler appends.

    Returns:
        {worker: return code}, in the order in which they ended.
    """
    ended, stopping, killed, deadline = {}, False, False, (math.inf, "")  # (time of SIGKILL, reason)
    while True:
        copy(TICK_SECONDS)
        for index, process in enumerate(processes):
            if index not in ended and (code := process.poll()) is not None:
                ended[index] = code
                if code:
                    name = f" ({signal.Signals(-code).name})" if code < 0 else ""
                    log(f"worker {index} ended with code {shell_code(code)}{name}")
        alive = {index: process for index, process in enumerate(processes) if index not in ended}
        if not alive:
            return ended
        now = time.monotonic()
        if not stopping and (received or any(ended.values())):
            stopping = True
            log(f"{received[0].name} forwarded to the workers" if received else "stopping the other workers")
            for process in alive.values():
                process.send_signal(signal.SIGINT if received[:1] == [signal.SIGINT] else signal.SIGTERM)
            if received:
                seconds = SIGNAL_GRACES * grace_seconds
                deadline = (now + seconds, f"{seconds:g} s since {received[0].name} are over")
        if stopping and ended:
            deadline = min(deadline, (now + grace_seconds, f"{grace_seconds:g} s are over"))
        if len(received) > 1:
            deadline = (now, "a second signal came")
        if now >= deadline[0] and not killed:
            log(f"{deadline[1]}: killing {', '.join(f'worker {index}' for index in alive)}")
            for process in alive.values():
                kill_group(process)
            killed = True


def exit_code(ended, received) -> int:
    """Returns the exit code of the launcher, given the result of `wait_for_end` and the signals received."""
    codes = [shell_code(code) for code in ended.values()]
    if USAGE_ERROR in codes:
        return USAGE_ERROR
    # A worker that a signal ended before it started to train had nothing to save.
    saved = {0, INTERRUPTED} | ({128 + signal.SIGINT, 128 + signal.SIGTERM} if received else set())
    faults = [code for code in codes if code not in saved]
    return faults[0] if faults else INTERRUPTED if any(codes) else 0


def shell_code(code) -> int:
    """Converts a return code of subprocess to that of a shell: 128 + N for signal N."""
    return 128 - code if code < 0 else code


def environments(workers, gpus_per_worker=None) -> list[dict[str, str]]:
    """Returns the environment of each worker: this process's, TF_CONFIG with free ports, and its GPUs."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(workers)]
    result = []
    for index in range(workers):
        config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        result.append({**os.environ, "TF_CONFIG": json_text(config), "PYTHONUNBUFFERED": "1"})
    if gpus_per_worker is not None:
        gpus = visible_gpus() or [str(number) for number in range(workers * gpus_per_worker)]
        for index, variables in enumerate(result):
            share = gpus[index * gpus_per_worker : (index + 1) * gpus_per_worker]
            variables["CUDA_VISIBLE_DEVICES"] = ",".join(share)
    return result


def visible_gpus() -> list[str] | None:
    """Returns the numbers or names of the GPUs, without TensorFlow, which would allocate them.

    Those of CUDA_VISIBLE_DEVICES, else all that nvidia-smi lists; None without either.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:  # like CUDA, read it up to the first invalid name
        return list(itertools.takewhile(lambda name: name not in ("", "-1"), map(str.strip, visible.split(","))))
    try:  # nvidia-smi may have to wake the GPUs
        listing = subprocess.run(["nvidia-smi", "-L"], capture_output=True, timeout=60).stdout
    except (OSError, subprocess.TimeoutExpired):  # reads no file: a program is missing
        return None
    return [str(number) for number in range(len(re.findall(rb"^GPU \d+:", listing, re.M)))]


def free_ports(count) -> list[int]:
    """Returns different ports on which no process listens now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]


def log(text):
    """Prints a line of the launcher on stderr."""
    write(sys.stderr, f"[launch] {text}\n")


def write(stream, text):
    """Writes to a stream. A closed pipe or terminal must not end the training."""
    with contextlib.suppress(OSError, ValueError):  # reads no file: a closed stream
        stream.write(text)
        stream.flush()


@contextlib.contextmanager
def worker_processes(command, environments):
    """Context manager: starts a process in each environment; at the end kills them and their children.

    Yields (processes, copy). copy(seconds) copies their output for that time, with a prefix for each worker.

    Each process has its own session, so that Ctrl-C reaches the launcher only, which forwards it once. On Linux, if the
    launcher is killed, workers receive SIGTERM and save. The launcher has no threads: the kernel would send that signal
    again for each thread that ends after the main thread.
    """
    processes, selector = [], selectors.DefaultSelector()
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    options["preexec_fn"] = (lambda: libc.prctl(1, signal.SIGTERM)) if libc else None  # 1: PR_SET_PDEATHSIG
    try:
        for index, environment in enumerate(environments):
            process = subprocess.Popen(command, env=environment, start_new_session=True, **options)
            processes.append(process)
            for pipe, stream in ((process.stdout, sys.stdout), (process.stderr, sys.stderr)):
                selector.register(pipe, selectors.EVENT_READ, (f"[worker {index}] ", stream, b""))
        yield processes, functools.partial(copy_output, selector)
    finally:
        for process in processes:
            kill_group(process)  # also the children of a worker that has ended
            process.wait()
        end = time.monotonic() + OUTPUT_SECONDS
        while selector.get_map() and time.monotonic() < end:
            copy_output(selector, TICK_SECONDS)


def copy_output(selector, seconds):
    """Copies lines from the registered pipes to their streams for some seconds."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        for key, _ in selector.select(left):
            prefix, stream, rest = key.data
            data = os.read(key.fd, 1 << 16)
            *lines, rest = (rest + data).split(b"\n")
            selector.modify(key.fileobj, selectors.EVENT_READ, (prefix, stream, rest))
            if not data:
                selector.unregister(key.fileobj)
                key.fileobj.close()
                lines += [rest] if rest else []
            for line in lines:
                write(stream, prefix + line.decode(errors="replace").rstrip("\r") + "\n")


def kill_group(process):
    """Kills a worker and all processes that it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # reads no file: a process
        os.killpg(process.pid, signal.SIGKILL)
