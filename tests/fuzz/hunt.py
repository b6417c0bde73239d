"""Gives inputs to a reader, one process for all of them, under limits of time and memory.

Linux only: /proc tells how large the process is.
"""

import dataclasses
import faulthandler
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

from gan_tf.data.images import UnreadableImage
from gan_tf.errors import UsageError
from tests.fuzz.readers import READERS, refusal

HANGS_SECONDS = 120  # of a clock on the wall: C code that answers no signal
ROOM_MB = 512  # of addresses beyond what may be used: threads and libraries reserve more than they take
MOST_FINDINGS = 20


@dataclasses.dataclass
class Result:
    """What became of the inputs of one reader; seconds of processor time, megabytes that the process grew by."""

    reader: str
    inputs: int = 0
    valid: int = 0
    refused: int = 0
    seconds: float = 0.0
    slowest_seconds: float = 0.0
    slowest: int = -1
    megabytes: float = 0.0
    findings: list = dataclasses.field(default_factory=list)  # (number, what)


class TooLong(BaseException):
    """No `except Exception` holds it."""


def hunt(name, numbers, marker=None) -> Result:
    """Reads the inputs of these numbers. Limits this process: call it in one of its own."""
    reader, result = READERS[name], Result(name)
    signal.signal(signal.SIGPROF, _too_long)
    with tempfile.TemporaryDirectory() as root:
        os.environ["GAN_TF_CACHE"] = str(Path(root, "cache"))
        before = _limit_memory(reader)
        for number in numbers:
            if marker is not None:
                os.pwrite(marker, b"%12d" % number, 0)
            faulthandler.dump_traceback_later(HANGS_SECONDS, exit=True)
            what, seconds = attempt(name, number, Path(root))
            result.inputs += 1
            result.seconds += seconds
            if seconds > result.slowest_seconds:
                result.slowest, result.slowest_seconds = number, seconds
            if what in ("valid", "refused"):
                setattr(result, what, getattr(result, what) + 1)
            else:
                result.findings.append((number, what))
                if len(result.findings) >= MOST_FINDINGS:
                    break
        faulthandler.cancel_dump_traceback_later()
    result.megabytes = _peak_megabytes() - before
    if result.megabytes > reader.megabytes:
        result.findings.append((-1, f"the process grew by {result.megabytes:.0f} MB, more than {reader.megabytes}"))
    return result


def attempt(name, number, root):
    """Makes and reads one input: ("valid", "refused" or what went wrong, seconds)."""
    reader = READERS[name]
    folder = root / "input"
    folder.mkdir()
    path = reader.make(random.Random(f"{name} {number}"), folder)
    begin = time.process_time()
    signal.setitimer(signal.ITIMER_PROF, reader.seconds)
    try:
        what = _read(reader, path)
    except TooLong:
        what = f"more than {reader.seconds:g} seconds:\n{traceback.format_exc()}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    seconds = time.process_time() - begin
    shutil.rmtree(folder)
    return what, seconds


def _read(reader, path):
    try:
        reader.read(path)
    except (UsageError, UnreadableImage) as error:
        try:
            text = refusal(error)
            assert isinstance(error, UnreadableImage) or str(path) in text, f"names no file: {text}"
        except Exception:  # noqa: BLE001
            return traceback.format_exc()
        return "refused"
    except Exception:  # noqa: BLE001  which is what is looked for
        return traceback.format_exc()
    return "valid"


def _too_long(number, frame):
    raise TooLong


def _limit_memory(reader):
    """Refuses this process much more memory than the reader may use; returns the megabytes that it has taken so far."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + (reader.megabytes + ROOM_MB << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    return _peak_megabytes()


def _peak_megabytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def hunt_apart(name, count, start=0) -> Result:
    """`hunt` in a process of its own, whose death is a finding too."""
    with tempfile.NamedTemporaryFile() as marker:
        command = [sys.executable, "-m", "tests.fuzz", name, "--count", str(count), "--start", str(start)]
        done = subprocess.run(
            [*command, "--marker", marker.name],
            capture_output=True,
            text=True,
            cwd=Path(__file__).parents[2],
            check=False,
        )
        if done.returncode == 0:
            return Result(**json.loads(done.stdout))
        number = int(Path(marker.name).read_text() or -1)
    died = f"the process ended with {done.returncode}:\n{done.stderr[-3000:]}"
    return Result(name, inputs=max(0, number - start), findings=[(number, died)])
