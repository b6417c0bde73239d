"""`python -m tests.fuzz`: see the package's docstring."""

import argparse
import dataclasses
import json
import sys
from pathlib import Path

from tests.fuzz.fuzzing import fuzz, fuzz_in_child
from tests.fuzz.readers import READERS

ROW = "{:<10} {:>7} {:>7} {:>8} {:>9}"


def main():
    """Fuzzes the readers. Exit code 1 if there are findings."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Damaged files for every reader.")
    parser.add_argument("readers", nargs="*", metavar="READER", help=f"of {', '.join(READERS)}; default all")
    parser.add_argument("--count", type=int, default=2000, help="inputs for each reader")
    parser.add_argument("--start", type=int, default=0, help="number of the first input")
    parser.add_argument("--marker", help=argparse.SUPPRESS)  # in a child process: file for the current number
    options = parser.parse_args()
    if unknown := set(options.readers) - set(READERS):
        parser.error(f"no reader {', '.join(sorted(unknown))}; choose from {', '.join(READERS)}")
    if options.marker:
        numbers = range(options.start, options.start + options.count)
        print(json.dumps(dataclasses.asdict(fuzz(options.readers[0], numbers, Path(options.marker)))))
        return 0
    print(ROW.format("reader", "inputs", "valid", "refused", "findings"))
    findings = []
    for name in options.readers or READERS:
        result = fuzz_in_child(name, options.count, options.start)
        print(ROW.format(name, options.count, result.valid, result.refused, len(result.findings)), flush=True)
        findings += [(name, number, what) for number, what in result.findings]
    for name, number, what in findings:
        print(f"\n{name} #{number}: {what}")
    return 1 if findings else 0


sys.exit(main())
