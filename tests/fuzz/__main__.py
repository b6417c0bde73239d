"""`python -m tests.fuzz`: see the package's docstring."""

import argparse
import dataclasses
import json
import os
import sys
import tempfile
from pathlib import Path

from tests.fuzz.hunt import attempt, hunt, hunt_apart
from tests.fuzz.readers import READERS

ROW = "{:<8} {:>7} {:>7} {:>8} {:>9} {:>10} {:>14} {:>9}"


def main():
    """Runs the hunt. Exit code 1 if there were findings."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Damaged files for every reader.")
    parser.add_argument("readers", nargs="*", metavar="READER", help=f"of {', '.join(READERS)}; default all")
    parser.add_argument("--count", type=int, default=2000, help="inputs for each reader")
    parser.add_argument("--start", type=int, default=0, help="number of the first input")
    parser.add_argument("--only", type=int, help="number of one input")
    parser.add_argument("--marker", help=argparse.SUPPRESS)  # file for the number of the input at hand; JSON out
    options = parser.parse_args()
    unknown = set(options.readers) - set(READERS)
    if unknown:
        parser.error(f"no reader {', '.join(sorted(unknown))}; there are {', '.join(READERS)}")
    numbers = range(options.start, options.start + options.count)
    if options.marker:
        with open(options.marker, "r+b") as marker:
            print(json.dumps(dataclasses.asdict(hunt(options.readers[0], numbers, marker.fileno()))))
        return 0
    if options.only is not None:
        with tempfile.TemporaryDirectory() as root:
            os.environ["GAN_TF_CACHE"] = str(Path(root, "cache"))
            for name in options.readers or READERS:
                print(name, *attempt(name, options.only, Path(root)))
        return 0
    return table(options.readers or READERS, options.count, options.start)


def table(names, count, start):
    """Hunts and prints a line for each reader, and its findings below the table."""
    print(ROW.format("reader", "inputs", "valid", "refused", "findings", "seconds", "slowest (s)", "MB more"))
    found = []
    for name in names:
        result = hunt_apart(name, count, start)
        slowest = f"{result.slowest_seconds:.2f} (#{result.slowest})"
        counts = (result.inputs, result.valid, result.refused, len(result.findings))
        print(ROW.format(name, *counts, f"{result.seconds:.0f}", slowest, f"{result.megabytes:.0f}"), flush=True)
        found += [(name, number, what) for number, what in result.findings]
    for name, number, what in found:
        print(f"\n{name} #{number}: {what}")
    return 1 if found else 0


sys.exit(main())
