"""Runs all benchmarks, one after the other in separate processes, and writes a JSON file and a Markdown table.

    python benchmarks/bench.py --out bench            # bench.json and bench.md; also `make bench`
    python benchmarks/bench.py --only fastgan start   # those whose names contain one of these words
    sh benchmarks/gpu.sh                              # the measurements for GPUs

Half precision is measured on devices that support it. A measurement that fails, as for lack of memory, is recorded with
its error, and the others continue.
"""

import dataclasses
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Literal

import compare
from frame import run

import gan_tf
from gan_tf.cli.quiet import start_tensorflow
from gan_tf.errors import UsageError
from gan_tf.io.files import check_writable, user_path, write_atomically
from gan_tf.io.progress import log
from gan_tf.runs.files import write_json

FOLDER = Path(__file__).resolve().parent
STYLEGAN2_64 = "--model stylegan2 --resolution 64 --channel-base 4096 --batch-size 16 --steps 3"
PGGAN_64 = "--model pggan --resolution 64 --level 4 --fmap-base 1024 --fmap-max 96 --batch-size 8"
PRECISION = "PRECISION"  # in the flags: measured in each precision
CPU = {  # name: script and flags
    "FastGAN step, 256x256, batch 8": f"step.py --batch-size 8 --steps 4 {PRECISION}",
    "FastGAN step, 64x64, ngf 32, batch 8": f"step.py --resolution 64 --ngf 32 --ndf 32 --batch-size 8 {PRECISION}",
    "FastGAN step, 64x64, ngf 32, batch 16": f"step.py --resolution 64 --ngf 32 --ndf 32 --batch-size 16 {PRECISION}",
    "FastGAN step, 64x64, ngf 32, batch 32": f"step.py --resolution 64 --ngf 32 --ndf 32 --batch-size 32 {PRECISION}",
    "Progressive GAN step, 64x64, width of the demo, batch 8": f"step.py {PGGAN_64} {PRECISION}",
    "StyleGAN2 step, 64x64, channel_base 4096, batch 16": f"step.py {STYLEGAN2_64} {PRECISION}",
    "FastGAN generation, 256x256, batch 16": f"inference.py --batch-size 16 --rounds 3 {PRECISION}",
    "Inception features, 256x256": f"evaluate.py --images 64 --rounds 3 {PRECISION}",
    "Input, 256x256": "input.py --seconds 2",
    "Start, FastGAN 256x256": "start.py --preset fastgan-256 --resolution 256",
    "Start, FastGAN demo 64x64": "start.py --preset demo --resolution 64",
}
GPU_STEPS = "--resolution 256 --steps 5 --steps-per-call 8"
GPU = {
    f"{title}, 256x256{', XLA' if jit else ''}": f"step.py {flags} {GPU_STEPS} {jit} {PRECISION}"
    for title, flags in (
        ("FastGAN step, batch 8", "--batch-size 8"),
        ("Progressive GAN step, batch 8", "--model pggan --level 6 --batch-size 8"),
        ("StyleGAN2 step, batch 16", "--model stylegan2 --batch-size 16"),
    )
    for jit in ("", "--jit")
}


@dataclasses.dataclass(frozen=True)
class BenchOptions:
    """Runs all benchmarks and writes OUT.json and OUT.md."""

    suite: Literal["cpu", "gpu"] = "cpu"  # gpu: steps at 256x256 in each precision, with and without XLA
    only: tuple[str, ...] = ()  # measurements whose names contain one of these words; default all
    out: str = "bench"  # files to write, without the ending
    overwrite: bool = False  # replace existing files
    json: bool = False  # print one JSON object


def bench(options):
    """Runs the measurements and writes the files. Returns the report with --json, else None.

    The report is {"machine": facts, "measurements": {name: figures}}.
    """
    out = user_path(options.out)
    files = [out.with_name(f"{out.name}.{ending}") for ending in ("json", "md")]
    for file in files:
        check_writable(file, "--out", overwrite=options.overwrite)
    suite = CPU if options.suite == "cpu" else GPU
    names = [name for name in suite if any(word.lower() in name.lower() for word in options.only or [""])]
    if not names:
        raise UsageError(f"--only {' '.join(options.only)} selects no measurement; choose from: {'; '.join(suite)}")
    start_tensorflow()
    from gan_tf.distributed import devices

    machine = describe_machine(devices.describe())
    if options.suite == "gpu" and machine["device"] == "CPU":
        raise UsageError("--suite is gpu, but TensorFlow finds no GPU; install the extra cuda, and see nvidia-smi")
    half = devices.choose_precision("auto", training=True)[0]
    precisions = dict.fromkeys(("float32", *(("float16",) if options.suite == "gpu" else ()), half))
    chosen = commands({name: suite[name] for name in names}, precisions)
    report, started = {"machine": machine, "measurements": {}}, time.monotonic()
    for done, (name, command) in enumerate(chosen.items()):
        figures = report["measurements"][name] = measured(command)
        machine["convolution_peak_gflops"] = peaks(report["measurements"].values())
        write_json(files[0], report)  # now, so that an interruption loses one measurement
        seconds = time.monotonic() - started
        left = f"about {seconds / (done + 1) * (len(chosen) - done - 1) / 60:.0f} min left"
        log(f"[{done + 1}/{len(chosen)}] {name}: {compare.describe(figures)} ({left})")
    write_atomically(files[1], compare.table(report).encode())
    log(f"written to {files[0]} and {files[1]}")
    return report if options.json else None


def commands(measurements, precisions):
    """Returns the commands of measurements, {name: [script, flag, ...]}, in each precision where PRECISION is given."""
    chosen = {}
    for name, words in measurements.items():
        if PRECISION not in words:
            chosen[name] = words.split()
        for precision in precisions if PRECISION in words else ():
            chosen[f"{name}, {precision}"] = words.replace(PRECISION, f"--precision {precision}").split()
    return chosen


def measured(command):
    """Runs a benchmark. Returns its figures, with its command; {"error": line} instead of the figures if it fails."""
    script, *flags = command
    done = subprocess.run([sys.executable, FOLDER / script, *flags, "--json"], capture_output=True, text=True)
    name = f"benchmarks/{script} {' '.join(flags)}"
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        return {"command": name, "error": lines[-1]}
    return {"command": name, **json.loads(done.stdout)}


def describe_machine(device):
    """Returns facts about this machine. `device`: names of the GPUs, or "CPU"."""
    import tensorflow as tf

    info = Path("/proc/cpuinfo")  # only Linux has it
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line for line in lines if "model name" in line]
    return {
        "device": device,
        "cpu": names[0].partition(": ")[2] if names else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "gan_tf": gan_tf.__version__,
        "tensorflow": tf.__version__,
    }


def peaks(measurements):
    """Returns the median rate of the large convolution that steps measure, {precision: GFLOP/s}."""
    rates = {}
    for figures in measurements:
        if "convolution_peak_gflops" in figures:
            rates.setdefault(figures["precision"], []).append(figures["convolution_peak_gflops"])
    return {precision: statistics.median(values) for precision, values in rates.items()}


if __name__ == "__main__":
    sys.exit(run(BenchOptions, bench, sys.argv[1:], prog="benchmarks/bench.py", start=lambda: None))
