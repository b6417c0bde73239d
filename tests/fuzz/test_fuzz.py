"""Generated inputs for every reader, each in a child process: a few in the quick tests, 2,000 in the slow ones."""

import faulthandler
import itertools
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

import pytest

from gan_tf.data.images import UnreadableImage
from gan_tf.errors import UsageError
from tests.fuzz.readers import READERS, check_refusal

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="uses process limits of Linux")

COUNT = int(os.environ.get("FUZZ_COUNT", 2000))  # inputs for each reader in the slow tests
HANGS_SECONDS = 120
MEMORY = 8 << 30  # bytes of address space of a child process
# Audit events of Python that no reader may raise: a started process, an import by a pickle.
FORBIDDEN = ("os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "pickle.find_class")


def fuzz(names, numbers):
    """Reads the inputs of these readers and numbers, and prints (reader, number, outcome) of each as JSON.

    An outcome is "valid", "refused" or a traceback.
    """
    forbidden = []
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, resource.RLIM_INFINITY))
    with tempfile.TemporaryDirectory() as root:
        os.environ["GAN_TF_CACHE"] = str(Path(root, "cache"))
        sys.addaudithook(lambda event, arguments: forbidden.append(event) if event in FORBIDDEN else None)
        for name, number in itertools.product(names, numbers):
            folder = Path(root, "input")
            folder.mkdir()
            make, read = READERS[name]
            path = make(random.Random(f"{name} {number}"), folder)
            faulthandler.dump_traceback_later(HANGS_SECONDS, exit=True)
            outcome = _outcome(read, path)
            faulthandler.cancel_dump_traceback_later()
            shutil.rmtree(folder)
            outcome = f"the file raised {forbidden.pop()}" if forbidden else outcome
            print(json.dumps([name, number, outcome]), flush=True)


def _outcome(read, path):
    try:
        try:
            read(path)
            return "valid"
        except (UsageError, UnreadableImage) as error:
            check_refusal(error, path)
            return "refused"
    except Exception:  # noqa: BLE001
        return traceback.format_exc()


def fuzz_in_child(names, count):
    """Runs `fuzz` in a child process. Returns the numbers of valid and refused inputs, and the findings as text."""
    program = f"from tests.fuzz.test_fuzz import fuzz; fuzz({list(names)}, range({count}))"
    command = [sys.executable, "-c", program]
    child = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    results = [json.loads(line) for line in child.stdout.splitlines()]
    if child.returncode != 0:
        name, number = list(itertools.product(names, range(count)))[len(results)]
        results.append([name, number, f"the process ended with {child.returncode}:\n{child.stderr[-3000:]}"])
    outcomes = [outcome for *_, outcome in results]
    findings = [f"{name} {number}: {text}" for name, number, text in results if text not in ("valid", "refused")]
    return outcomes.count("valid"), outcomes.count("refused"), findings


def test_every_input_is_read_or_refused():
    valid, refused, findings = fuzz_in_child(READERS, 60)
    assert not findings and valid + refused == 60 * len(READERS)


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_changes_reach_the_whole_reader_and_leave_some_files_valid(name):
    valid, refused, findings = fuzz_in_child([name], COUNT)
    assert not findings, "\n".join(findings)
    assert min(valid, refused) >= COUNT // 20
