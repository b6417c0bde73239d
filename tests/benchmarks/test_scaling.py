"""benchmarks/scaling.py: figures of workers on this machine, counts of their collective operations, and faults."""

import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from gan_tf.config.presets import PRESETS
from gan_tf.models import FAMILIES
from gan_tf.models.variables import named_variables
from gan_tf.training.recipes import fastgan

ROOT = Path(__file__).resolve().parents[2]
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
PGGAN = {"resolution": 16, "fmap_base": 32, "fmap_max": 8}
FASTGAN = {"resolution": 64, "ngf": 8, "ndf": 8}

needs_two_cores = pytest.mark.skipif(CORES < 2, reason="two workers need two cores")


def command(*flags, **named):
    words = [word for name, value in named.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    program = [sys.executable, str(ROOT / "benchmarks" / "scaling.py"), "--precision", "float32", "--steps", "1"]
    return [*program, *words, *flags]


def run(*flags, **named):
    return subprocess.run(command(*flags, **named), capture_output=True, text=True, cwd=ROOT, timeout=600)


def figures_of(**named):
    done = run("--json", **named)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def networks(model, **changes):
    """Returns the generator and the discriminator of a family, built."""
    config = dataclasses.replace(next(iter(PRESETS[model].values())), **changes)
    return FAMILIES[model].generator(config, "float32"), FAMILIES[model].discriminator(config, "float32")


def weight_count(network, without=()):
    found = named_variables(network).items()
    return sum(v.shape.num_elements() for path, v in found if v.trainable and not path.startswith(without))


def norm_sizes(network, decoders=False):
    """Returns the channels of each batch norm of a network: of D's decoders, or of all other layers."""
    found = named_variables(network).items()
    means = [(path, v.shape[0]) for path, v in found if path.endswith("moving_mean")]
    return [size for path, size in means if path.startswith("decoder_layers") == decoders]


def check_arithmetic(figures):
    """Checks figures that follow from others."""
    assert figures["images_per_second"] == pytest.approx(figures["batch_size"] / figures["seconds_per_step"], rel=0.01)
    if figures["workers"] > 1:
        model = figures["seconds_apart"] + figures["seconds_of_all_reduces"]
        assert figures["seconds_of_model"] == pytest.approx(model, abs=1e-4)


@pytest.mark.slow
@needs_two_cores
def test_two_workers_sum_the_gradients_of_all_used_weights():
    result = figures_of(workers=2, model="pggan", batch_size=4, **PGGAN)
    [two] = result["measurements"]
    assert (result["device"], result["precision"], result["cores_of_a_worker"]) == ("CPU", "float32", CORES // 2)
    assert (two["workers"], two["devices"], two["batch_size"]) == (2, 2, 8)
    check_arithmetic(two)
    # In the middle of the fade to the last level, only the colour layers of the first level are not used.
    weights = sum(weight_count(player, ("to_rgb/0/", "from_rgb/0/")) for player in networks("pggan", **PGGAN))
    assert two["all_reduces"] == {"gradients": 2, "batch_norm": 0, "statistics": 1, "input": 1}
    assert two["all_reduce_bytes"] == {"gradients": 4 * weights, "batch_norm": 0, "statistics": 4 * 9, "input": 8}
    assert two["gradient_dtype"] == "float32"
    # Twice four images of 16x16 pixels.
    assert two["input_bytes_per_second"] == pytest.approx(8 * 16 * 16 * 3 / two["seconds_per_step"], rel=0.01)


@pytest.mark.slow
@needs_two_cores
def test_batch_norm_sums_once_forward_and_once_backward_for_each_pass():
    result = figures_of(workers="1,2", batch_size=2, **FASTGAN)
    one, two = result["measurements"]
    assert "all_reduces" not in one and one["efficiency"] == 1.0
    for each in (one, two):
        check_arithmetic(each)
    rate = two["images_per_second"] / one["images_per_second"]
    assert two["efficiency"] == pytest.approx(rate / 2, abs=0.002)

    g, d = networks("fastgan", **FASTGAN)
    # A pass and its gradient each sum two values for every channel. G has one pass; D has one of reals and two of fakes
    # (for D and for G); its decoders have one of reals.
    norms = [(2, norm_sizes(g)), (6, norm_sizes(d, decoders=False)), (2, norm_sizes(d, decoders=True))]
    assert two["all_reduces"]["batch_norm"] == sum(sums * len(sizes) for sums, sizes in norms)
    assert two["all_reduce_bytes"] == {
        "gradients": 4 * (weight_count(g) + weight_count(d)),
        "batch_norm": 4 * 2 * sum(sums * sum(sizes) for sums, sizes in norms),
        "statistics": 4 * (len(fastgan.STATISTICS)),
        "input": 8,
    }


@pytest.mark.parametrize(
    ("flags", "flag"),
    [
        (("--workers", "two"), "--workers"),
        (("--workers", "1,999"), "--workers"),
        (("--level", "2"), "--level"),
        (("--model", "pggan", "--resolution", "16", "--level", "3"), "--level"),
        (("--batch-size", "0"), "--batch-size"),
    ],
)
def test_wrong_options(flags, flag):
    failed = run(*flags)
    assert (failed.returncode, failed.stdout) == (2, "")
    assert failed.stderr.startswith(f"benchmarks/scaling.py: error: {flag}") and failed.stderr.count("\n") == 1


@needs_two_cores
def test_workers_are_killed_after_the_time_limit():
    late = run("--workers", "2", "--limit-seconds", "3")
    assert (late.returncode, late.stdout) == (1, "")
    assert "worker 0, worker 1" in late.stderr and "--limit-seconds 3" in late.stderr


@pytest.mark.slow
@needs_two_cores
def test_a_killed_worker_ends_the_others():
    process = subprocess.Popen(
        command(workers=2, **FASTGAN), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )
    end = time.monotonic() + 120
    benchmark = psutil.Process(process.pid)
    # Two workers, and for each a process that measures one worker.
    while len(started := benchmark.children(recursive=True)) < 4:
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.1)
    max(benchmark.children(), key=lambda child: child.pid).kill()
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "")
    assert "worker 1 of 2 ended with code 137" in err and err.count("\n") == 1
    assert not psutil.wait_procs(started, timeout=10)[1]
