"""benchmarks/scaling.py: figures of workers on this machine, counts of their collective operations, and faults."""

import dataclasses
import json
import os
import subprocess
import sys
import time

import psutil
import pytest

from gan_tf.config.presets import PRESETS
from gan_tf.models import FAMILIES
from gan_tf.models.variables import named_variables
from gan_tf.training.recipes import fastgan
from tests.programs import ROOT

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
PGGAN = {"model": "pggan", "resolution": 16, "fmap_base": 32, "fmap_max": 8}
FASTGAN = {"model": "fastgan", "resolution": 64, "ngf": 8, "ndf": 8}

needs_two_cores = pytest.mark.skipif(CORES < 2, reason="two workers need two cores")


def start(**options):
    options = {"precision": "float32", "steps": 1, **options}
    words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    command = [sys.executable, ROOT / "benchmarks" / "scaling.py", *words, "--json"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)


def run(**options):
    """Returns (exit code, stdout, stderr)."""
    process = start(**options)
    out, err = process.communicate(timeout=600)
    return process.returncode, out, err


def measurements(**options):
    """Returns the printed figures. Those that follow from others are checked."""
    code, out, err = run(**options)
    assert code == 0, err
    result = json.loads(out)
    for figures in result["measurements"]:
        rate = figures["batch_size"] / figures["seconds_per_step"]
        assert figures["images_per_second"] == pytest.approx(rate, rel=0.01)
        if figures["workers"] > 1:
            model = figures["seconds_apart"] + figures["seconds_of_all_reduces"]
            assert figures["seconds_of_model"] == pytest.approx(model, abs=1e-4)
    return result


def networks(model, **changes):
    """Returns the variables of the generator and of the discriminator of a family, {path: variable}."""
    config = dataclasses.replace(next(iter(PRESETS[model].values())), **changes)
    family = FAMILIES[model]
    return [named_variables(build(config, "float32")) for build in (family.generator, family.discriminator)]


def weight_bytes(variables, without=()):
    used = [v for path, v in variables.items() if v.trainable and not path.startswith(without)]
    return 4 * sum(variable.shape.num_elements() for variable in used)


def norm_sizes(variables, decoders=False):
    """Returns the channels of each batch norm of a network: of D's decoders, or of all other layers."""
    means = {path: v.shape[0] for path, v in variables.items() if path.endswith("moving_mean")}
    return [size for path, size in means.items() if path.startswith("decoder_layers") == decoders]


@pytest.mark.slow
@needs_two_cores
def test_two_workers_sum_the_gradients_of_all_used_weights():
    result = measurements(workers="1,2", batch_size=4, **PGGAN)
    one, two = result["measurements"]
    assert (result["device"], result["precision"], result["cores_of_a_worker"]) == ("CPU", "float32", CORES // 2)
    assert "all_reduces" not in one and one["efficiency"] == 1.0
    assert two["efficiency"] == pytest.approx(two["images_per_second"] / one["images_per_second"] / 2, abs=0.002)
    assert (two["workers"], two["devices"], two["batch_size"]) == (2, 2, 8)
    # In the middle of the fade to the last level, only the colour layers of the first level are not used.
    gradients = sum(weight_bytes(player, ("to_rgb/0/", "from_rgb/0/")) for player in networks(**PGGAN))
    assert two["all_reduces"] == {"gradients": 2, "batch_norm": 0, "statistics": 1, "input": 1}
    assert two["all_reduce_bytes"] == {"gradients": gradients, "batch_norm": 0, "statistics": 4 * 9, "input": 8}
    assert two["gradient_dtype"] == "float32"
    # Twice four images of 16x16 pixels.
    assert two["input_bytes_per_second"] == pytest.approx(8 * 16 * 16 * 3 / two["seconds_per_step"], rel=0.01)


@pytest.mark.slow
@needs_two_cores
def test_batch_norm_sums_once_forward_and_once_backward_for_each_pass():
    [two] = measurements(workers=2, batch_size=2, **FASTGAN)["measurements"]
    g, d = networks(**FASTGAN)
    # A pass and its gradient each sum two values for every channel. G has one pass; D has one of reals and two of fakes
    # (for D and for G); its decoders have one of reals.
    norms = [(2, norm_sizes(g)), (6, norm_sizes(d)), (2, norm_sizes(d, decoders=True))]
    assert two["all_reduces"]["batch_norm"] == sum(sums * len(sizes) for sums, sizes in norms)
    assert two["all_reduce_bytes"] == {
        "gradients": weight_bytes(g) + weight_bytes(d),
        "batch_norm": 4 * 2 * sum(sums * sum(sizes) for sums, sizes in norms),
        "statistics": 4 * len(fastgan.STATISTICS),
        "input": 8,
    }


@pytest.mark.parametrize(
    "options, flag",
    [
        ({"workers": "two"}, "--workers"),
        ({"workers": "1,999"}, "--workers"),
        ({"level": 2}, "--level"),
        ({**PGGAN, "level": 3}, "--level"),
        ({"batch_size": 0}, "--batch-size"),
    ],
)
def test_wrong_options(options, flag):
    code, out, err = run(**options)
    assert (code, out) == (2, "")
    assert err.startswith(f"benchmarks/scaling.py: error: {flag}") and err.count("\n") == 1


@needs_two_cores
def test_workers_are_killed_after_the_time_limit():
    code, out, err = run(workers=2, limit_seconds=3)
    assert (code, out) == (1, "")
    assert "worker 0, worker 1" in err and "--limit-seconds 3" in err


@pytest.mark.slow
@needs_two_cores
def test_a_killed_worker_ends_the_others():
    process = start(workers=2, **PGGAN)
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
