"""Several workers of one program on this machine, run as one: signals passed on, logs under a prefix, restarts.

It starts processes and waits for them; what the workers say to each other is TensorFlow's matter. One thread does it
all, so that forking is safe and no lock can be left held.

    start all --> one ends with a fault --> SIGTERM to the others --> grace --> SIGKILL --> start all again
              `-> all end with 0        `-> a signal for us goes to all; a second one kills, and so does time
"""

import contextlib
import ctypes
import itertools
import json
import os
import re
import selectors
import signal
import socket
import subprocess
import sys
import time

USAGE_ERROR = 2  # exit code: the user's to mend, so that another start would end in the same way
INTERRUPTED = 42  # exit code: saved, start me again
TICK_SECONDS = 0.1  # between two looks at the workers
# Graces from a signal for us to SIGKILL, where no worker ends. With the usual 60 s that is within the two minutes which
# platforms leave us, so that the last lines still say who hung.
PATIENCE = 1.5
NVIDIA_SMI_SECONDS = 60  # it may wake sleeping GPUs first
DRAIN_SECONDS = 2.0  # for the last lines of a worker that has ended
LINE_BYTES = 1 << 16  # a longer line is cut, so that no worker can fill our memory
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if os.name == "posix" else ()
DIE_WITH_PARENT = 1  # Linux: PR_SET_PDEATHSIG


def supervise(command, *, workers, restarts, grace_seconds, gpus_per_worker=None, clock=time.monotonic) -> int:
    """Runs `workers` processes of `command`, and all of them again after a fault. Returns the exit code.

    0: all ended with 0. 2: one ended with 2. 42: a signal came to us, or to them, and all saved. Else the code of
    the first that ended with a fault, 128 + N after signal N, once the restarts are used up.

    Args:
        command: list of words; each worker gets its place in TF_CONFIG.
        restarts: how many times the group may be started again.
        grace_seconds: between the end of the first worker and SIGKILL for the others, whose group cannot go on; from
            a signal for us to SIGKILL for all it is at most PATIENCE times as long.
        gpus_per_worker: worker i sees only GPUs i * K to (i + 1) * K - 1 of `visible_gpus`; None: all see all.
        clock: seconds; measures the grace.
    """
    with Signals() as signals:
        for attempt in range(restarts + 1):
            with Group(command, environments(workers, gpus_per_worker)) as group:
                watch(group, signals, grace_seconds, clock)
            code = verdict(group.ended, signals.first)
            if code in (0, USAGE_ERROR):
                return code
            if signals.first:
                break
            if attempt < restarts:
                log(f"restart {attempt + 1} of {restarts}")
    why = "" if signals.first else f", and --restarts {restarts} allows no more"
    log(f"ended with code {code}{why}; the same command continues the run")
    return code


def watch(group, signals, grace_seconds, clock):
    """Returns when all workers of a group have ended: by themselves, after a signal to us, or made to after a fault."""
    told, killed, limits = False, False, {}  # limits: {what is over then: the time at which the slow ones are killed}
    while True:
        group.relay(TICK_SECONDS)
        for index, code in group.reap().items():
            if code:
                log(f"worker {index} ended with {in_words(code)}")
        if not group.alive:
            return
        fault = any(group.ended.values())
        if (signals.first or fault) and not told:
            number = signal.SIGINT if signals.first == signal.SIGINT else signal.SIGTERM
            log(f"{signals.first.name} passed on to the workers" if signals.first else "stopping the other workers")
            group.tell(number)
            told = True
        if signals.first:  # all of them may hang
            patience = PATIENCE * grace_seconds
            limits.setdefault(f"{patience:g} s since {signals.first.name} are over", clock() + patience)
        if told and group.ended:  # those that listen end together
            limits.setdefault(f"{grace_seconds:g} s are over", clock() + grace_seconds)
        over = ["a second signal came"] if signals.count > 1 else []
        over += [limit for limit, end in limits.items() if clock() >= end]
        if over and not killed:
            log(f"{over[0]}: killing {', '.join(f'worker {index}' for index in group.alive)}")
            group.kill()
            killed = True


def verdict(ended, stopped_by) -> int:
    """Our exit code.

    Args:
        ended: {index: return code}, in the order in which the workers ended.
        stopped_by: the signal that came to us, or None.
    """
    codes = [shell_code(code) for code in ended.values()]
    if USAGE_ERROR in codes:
        return USAGE_ERROR
    # A worker that a signal meets before it has begun to listen has nothing to save.
    saved = {0, INTERRUPTED} | ({128 + signal.SIGINT, 128 + signal.SIGTERM} if stopped_by else set())
    faults = [code for code in codes if code not in saved]
    if faults:
        return faults[0]
    return INTERRUPTED if any(codes) else 0


def shell_code(code) -> int:
    """A return code as shells write it: 128 + N after signal N."""
    return 128 - code if code < 0 else code


def in_words(code) -> str:
    """A return code for a person."""
    return f"code {code}" if code >= 0 else f"code {shell_code(code)} ({signal.Signals(-code).name})"


def environments(workers, gpus_per_worker=None) -> list[dict[str, str]]:
    """The environment of each worker: ours, and its place in a cluster on free ports of this machine."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(workers)]
    found, gpus = [], []
    if gpus_per_worker is not None:  # where nothing tells of the GPUs, they are counted from 0 all the same
        gpus = visible_gpus() or [str(number) for number in range(workers * gpus_per_worker)]
    for index in range(workers):
        place = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        own = {"TF_CONFIG": json.dumps(place), "PYTHONUNBUFFERED": "1"}
        if gpus_per_worker is not None:
            own["CUDA_VISIBLE_DEVICES"] = ",".join(gpus[index * gpus_per_worker : (index + 1) * gpus_per_worker])
        found.append({**os.environ, **own})
    return found


def visible_gpus() -> list[str] | None:
    """The GPUs that this process may use, by number or name, found without TensorFlow, which would take them.

    Those of CUDA_VISIBLE_DEVICES, else all that nvidia-smi lists; None where neither is there.
    """
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:  # CUDA, too, reads it up to the first that is none
        return list(itertools.takewhile(lambda name: name not in ("", "-1"), map(str.strip, named.split(","))))
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=NVIDIA_SMI_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return [str(number) for number in range(len(re.findall(r"^GPU \d+:", listed.stdout, re.M)))]


def free_ports(count) -> list[int]:
    """Ports that nobody listens on now. Held together until all are found, so that they differ."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def log(text):
    """A line of our own, on stderr."""
    write(sys.stderr, f"[launch] {text}\n")


def write(stream, text):
    """Writes to a stream. One that is gone (a closed pipe, a terminal that hung up) must not end the training."""
    with contextlib.suppress(OSError, ValueError):
        stream.write(text)
        stream.flush()


class Signals:
    """Notes SIGINT, SIGTERM and SIGHUP that come to us within the block. What is ignored stays so (nohup)."""

    def __init__(self):
        self.first, self.count = None, 0

    def __enter__(self):
        heeded = [number for number in STOPS if signal.getsignal(number) != signal.SIG_IGN]
        self._before = {number: signal.signal(number, self._note) for number in heeded}
        return self

    def __exit__(self, *error):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number, frame):
        self.first = self.first or signal.Signals(number)
        self.count += 1


class Group:
    """Processes with their pipes. None of them, nor a child of theirs, lives on after the block.

    Attributes:
        ended: {index: return code} in the order of their ends.
    """

    def __init__(self, command, environments):
        self._command, self._environments = command, environments
        self._processes, self._pipes, self.ended = [], selectors.DefaultSelector(), {}

    def __enter__(self):
        try:
            for index, environment in enumerate(self._environments):
                process = start(self._command, environment)
                self._processes.append(process)
                for pipe, stream in ((process.stdout, sys.stdout), (process.stderr, sys.stderr)):
                    os.set_blocking(pipe.fileno(), False)
                    self._pipes.register(pipe, selectors.EVENT_READ, Lines(f"[worker {index}] ", stream))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error):
        self.kill()
        for process in self._processes:
            process.wait()
            kill_group(process)  # children of a worker that ended by itself
        end = time.monotonic() + DRAIN_SECONDS
        while self._pipes.get_map() and time.monotonic() < end:
            self.relay(TICK_SECONDS)
        for key in list(self._pipes.get_map().values()):
            self._close(key)
        self._pipes.close()

    @property
    def alive(self) -> list[int]:
        """The workers that have not ended."""
        return [index for index in range(len(self._processes)) if index not in self.ended]

    def reap(self) -> dict[int, int]:
        """{index: return code} of the workers that have ended since the last call."""
        found = {index: code for index in self.alive if (code := self._processes[index].poll()) is not None}
        self.ended |= found
        return found

    def tell(self, number):
        """Sends a signal to each worker that lives; what it makes of its own children is its matter."""
        for index in self.alive:
            self._processes[index].send_signal(number)

    def kill(self):
        """Kills the workers that live, and their children."""
        for index in self.alive:
            kill_group(self._processes[index])

    def relay(self, seconds):
        """Passes on what the workers have written; waits up to `seconds` for something."""
        if not self._pipes.get_map():
            time.sleep(seconds)
        for key, _ in self._pipes.select(seconds):
            with contextlib.suppress(BlockingIOError):
                if data := os.read(key.fd, LINE_BYTES):
                    key.data.feed(data)
                else:
                    self._close(key)

    def _close(self, key):
        key.data.end()
        self._pipes.unregister(key.fileobj)
        key.fileobj.close()


class Lines:
    """Turns bytes into whole lines under a prefix, and writes them to a stream."""

    def __init__(self, prefix, stream):
        self._prefix, self._stream, self._rest = prefix, stream, b""

    def feed(self, data):
        """Writes the lines that `data` completes."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) >= LINE_BYTES:
            lines, self._rest = [*lines, self._rest], b""
        texts = [line.decode(errors="replace").removesuffix("\r") for line in lines]
        write(self._stream, "".join(f"{self._prefix}{text}\n" for text in texts))

    def end(self):
        """Writes what has no end of line."""
        if self._rest:
            self.feed(b"\n")


def start(command, environment):
    """Starts a worker in a session of its own: Ctrl-C on the terminal reaches us alone, and is passed on once.

    On Linux the worker gets SIGTERM, and so saves, when this process is killed.
    """
    parent, libc = os.getpid(), ctypes.CDLL(None) if sys.platform == "linux" else None

    def follow_parent():
        libc.prctl(DIE_WITH_PARENT, signal.SIGTERM)
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)

    return subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        start_new_session=True,
        preexec_fn=follow_parent if libc else None,
    )


def kill_group(process):
    """Kills a worker and all that it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
