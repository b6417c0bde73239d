"""`python -m tests.fuzz`: runs readers on generated inputs, each reader in a child process."""

import argparse
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

from gan_tf.data.images import UnreadableImage
from gan_tf.errors import UsageError
from tests.fuzz.readers import READERS, check_refusal

HANGS_SECONDS = 120
MEMORY = 8 << 30  # bytes of address space of a child process
# Audit events of Python that no reader may raise: a started process, an import by a pickle.
FORBIDDEN = ("os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "pickle.find_class")


def main():
    """Fuzzes the readers. Exit code 1 if there are findings."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Damaged files for every reader.")
    parser.add_argument("readers", nargs="*", metavar="READER", help=f"of {', '.join(READERS)}; default all")
    parser.add_argument("--count", type=int, default=2000, help="inputs for each reader")
    parser.add_argument("--start", type=int, default=0, help="number of the first input")
    options = parser.parse_args()
    if unknown := set(options.readers) - set(READERS):
        parser.error(f"no reader {', '.join(sorted(unknown))}; choose from {', '.join(READERS)}")
    failed = 0
    for name in options.readers or READERS:
        valid, refused, findings = fuzz_in_child([name], options.count, options.start)
        print(f"{name:<10} {valid:>7} valid {refused:>7} refused {len(findings):>4} findings", flush=True)
        for finding in findings:
            print(finding)
        failed = failed or bool(findings)
    return int(failed)


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


def fuzz_in_child(names, count, start=0):
    """Runs `fuzz` in a child process. Returns the numbers of valid and refused inputs, and the findings as text."""
    program = f"from tests.fuzz.__main__ import fuzz; fuzz({list(names)}, range({start}, {start + count}))"
    command = [sys.executable, "-c", program]
    child = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    results = [json.loads(line) for line in child.stdout.splitlines()]
    if child.returncode != 0:
        name, number = list(itertools.product(names, range(start, start + count)))[len(results)]
        results.append([name, number, f"the process ended with {child.returncode}:\n{child.stderr[-3000:]}"])
    outcomes = [outcome for *_, outcome in results]
    findings = [
        f"{name} --start {n} --count 1: {text}" for name, n, text in results if text not in ("valid", "refused")
    ]
    return outcomes.count("valid"), outcomes.count("refused"), findings


if __name__ == "__main__":
    sys.exit(main())
