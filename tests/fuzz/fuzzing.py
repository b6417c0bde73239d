"""Runs a reader on generated inputs, in a child process."""

import dataclasses
import faulthandler
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

from gan_tf.data.images import UnreadableImage
from gan_tf.errors import UsageError
from tests.fuzz.readers import READERS, check_refusal

HANGS_SECONDS = 120
MEMORY = 8 << 30  # bytes of address space of a child process
MOST_FINDINGS = 20
# Audit events of Python that no reader may raise: a started process, an import by a pickle.
FORBIDDEN = ("os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "pickle.find_class")


@dataclasses.dataclass
class Result:
    """Number of inputs of one reader by outcome, and the findings [(number of the input, traceback)]."""

    valid: int = 0
    refused: int = 0
    findings: list = dataclasses.field(default_factory=list)


def fuzz(name, numbers, marker) -> Result:
    """Reads the inputs of these numbers. `marker` is a file that contains the number of the current input."""
    reader, result, forbidden = READERS[name], Result(), []
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, resource.RLIM_INFINITY))
    with tempfile.TemporaryDirectory() as root:
        os.environ["GAN_TF_CACHE"] = str(Path(root, "cache"))
        sys.addaudithook(lambda event, arguments: forbidden.append(event) if event in FORBIDDEN else None)
        for number in numbers:
            marker.write_text(str(number))
            folder = Path(root, "input")
            folder.mkdir()
            path = reader.make(random.Random(f"{name} {number}"), folder)
            faulthandler.dump_traceback_later(HANGS_SECONDS, exit=True)
            outcome = _read(reader, path)
            faulthandler.cancel_dump_traceback_later()
            outcome = f"the file raised {forbidden.pop()}" if forbidden else outcome
            shutil.rmtree(folder)
            if outcome in ("valid", "refused"):
                setattr(result, outcome, getattr(result, outcome) + 1)
            else:
                result.findings.append((number, outcome))
                if len(result.findings) >= MOST_FINDINGS:
                    break
    return result


def _read(reader, path):
    """Returns "valid", "refused", or the traceback of another error."""
    try:
        try:
            reader.read(path)
            return "valid"
        except (UsageError, UnreadableImage) as error:
            check_refusal(error, path)
            return "refused"
    except Exception:  # noqa: BLE001
        return traceback.format_exc()


def fuzz_in_child(name, count, start=0) -> Result:
    """Runs `fuzz` in a child process, whose death is a finding."""
    with tempfile.TemporaryDirectory() as folder:
        marker = Path(folder, "number")
        command = [sys.executable, "-m", "tests.fuzz", name, "--count", str(count), "--start", str(start)]
        root = Path(__file__).parents[2]
        child = subprocess.run([*command, "--marker", str(marker)], capture_output=True, text=True, cwd=root)
        if child.returncode == 0:
            return Result(**json.loads(child.stdout))
        number = int(marker.read_text()) if marker.exists() else -1
    return Result(findings=[(number, f"the process ended with {child.returncode}:\n{child.stderr[-3000:]}")])
