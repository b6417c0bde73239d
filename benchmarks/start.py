"""Measures the seconds from the training command to the end of its first step, and the CPU seconds of `--help`.

    python benchmarks/start.py --preset fastgan-256 --resolution 256 --json
    python benchmarks/start.py --preset demo --resolution 64 --precision bfloat16 --json

Runs `train.py` on a file of random images in a temporary folder, as a user would, and ends it after the first training
record, which is written after the first step. The start includes the imports, the images, the first checkpoint and
sample grid, and tracing the step. The fastest of the runs has the program's files in the cache of the file system.
"""

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Literal

from frame import MeasurementFailed, run

from gan_tf.config.presets import choose

TRAIN = Path(__file__).resolve().parent.parent / "train.py"
RECORDS = 20  # training records in an epoch: in one of 20 batches, each step writes a record
LIMIT_SECONDS = 600  # for the first step
POLL_SECONDS = 0.02


@dataclasses.dataclass(frozen=True)
class StartOptions:
    """Measures the start of a training run on random images."""

    preset: str = "fastgan-256"  # as in training
    model: Literal["fastgan", "pggan", "stylegan2"] | None = None  # as in training
    resolution: int = 256  # pixels
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"  # as in training
    runs: int = 2  # starts; the fastest one counts
    json: bool = False  # print one JSON object


def measure(options):
    """Returns the figures as a dict."""
    config = dataclasses.replace(choose(options.preset, options.model)[1], resolution=options.resolution)
    with tempfile.TemporaryDirectory() as folder:
        write_images(Path(folder) / "random.npz", RECORDS * next(iter(config.batch_sizes.values())), options.resolution)
        arguments = ["--preset", options.preset, "--model", config.model, "--resolution", options.resolution]
        arguments += ["--dataset", "random.npz", "--metric", "swd2k", "--precision", options.precision]
        arguments += ["--epoch-images", 1]  # the length of an epoch is then the number of images
        seconds = [seconds_to_first_step(arguments, folder, f"run-{i}") for i in range(options.runs)]
    return {
        "preset": options.preset,
        "model": config.model,
        "resolution": options.resolution,
        "precision": options.precision,
        "seconds_to_first_step": round(min(seconds), 2),
        "seconds_to_first_step_of_each_run": [round(each, 2) for each in seconds],
        "help_cpu_seconds": round(min(help_cpu_seconds() for _ in range(3)), 3),
    }


def write_images(path, count, resolution):
    """Writes random images to an .npz file."""
    import numpy as np

    np.savez(path, images=np.random.default_rng(0).integers(0, 256, (count, resolution, resolution, 3), np.uint8))


def seconds_to_first_step(arguments, folder, name):
    """Returns the seconds from the command to the record of the first step, and ends the run.

    Args:
        arguments: of train.py.
        folder: working folder, which contains the images.
        name: of the run.

    Raises:
        MeasurementFailed: the command ended before, or takes longer than LIMIT_SECONDS.
    """
    command = [sys.executable, TRAIN, *arguments, "--run", name, "--checkpoints", "checkpoints", "--offline"]
    records = Path(folder) / "checkpoints" / name / "stats.jsonl"
    with (Path(folder) / f"{name}.log").open("w+", encoding="utf-8") as log:
        started = time.monotonic()
        process = subprocess.Popen(list(map(str, command)), cwd=folder, stdout=log, stderr=subprocess.STDOUT)
        try:
            while not has_trained(records):
                if process.poll() is not None or time.monotonic() - started > LIMIT_SECONDS:
                    log.seek(0)
                    lines = log.read().strip().splitlines() or [f"no step within {LIMIT_SECONDS} s"]
                    raise MeasurementFailed(f"train.py has taken no step: {lines[-1]}")
                time.sleep(POLL_SECONDS)
            return time.monotonic() - started
        finally:
            process.kill()
            process.wait()


def has_trained(records):
    """Returns True if a stats.jsonl has the complete record of a step."""
    if not records.exists():
        return False
    lines = records.read_text(encoding="utf-8").split("\n")[:-1]
    return any(json.loads(line)["kind"] == "train" for line in lines)


def help_cpu_seconds():
    """Returns the CPU seconds of `train.py --help`. Windows does not count those of child processes: 0."""
    before = os.times()
    subprocess.run([sys.executable, TRAIN, "--help"], stdout=subprocess.DEVNULL, check=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


if __name__ == "__main__":
    sys.exit(run(StartOptions, measure, sys.argv[1:], prog="benchmarks/start.py", start=lambda: None))
