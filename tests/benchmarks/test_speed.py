"""benchmarks/step.py, operations.py, evaluate.py and inference.py print their figures as JSON."""

import json
import subprocess
import sys

import pytest

from tests.programs import ROOT

FIGURES = {"seconds_per_step", "images_per_second", "gflop_per_image", "fraction_of_peak"}
PGGAN = "--model pggan --resolution 16 --fmap-base 32 --fmap-max 8"


def figures_of(script, flags):
    command = [sys.executable, ROOT / "benchmarks" / script, *flags.split(), "--precision", "float32", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_a_level_is_measured():
    figures = figures_of("step.py", f"{PGGAN} --batch-size 4 --level 1 --steps 1")
    assert figures.keys() >= FIGURES
    assert (figures["level"], figures["pixels"], figures["batch_size"]) == (1, 8, 4)
    assert figures["gflop_per_image"] > 0


@pytest.mark.slow
def test_a_step_of_phases_is_measured_phase_by_phase():
    small = "--model stylegan2 --resolution 16 --channel-base 64 --channel-max 4 --batch-size 4 --augment none"
    figures = figures_of("step.py", f"{small} --steps 1")
    assert figures.keys() >= FIGURES
    phases = {each["phase"]: each for each in figures["phases"]}
    assert {name: each["every"] for name, each in phases.items()} == {
        "update_generator": 1,
        "regularise_path_length": 4,
        "update_discriminator": 1,
        "regularise_r1": 16,
    }
    mean = sum(each["seconds"] / each["every"] for each in phases.values())
    assert abs(figures["seconds_per_step"] - mean) < 0.001
    assert abs(sum(each["share_of_step"] for each in phases.values()) - 1) < 0.05
    assert all(each["gflop_per_image"] > 0 for each in phases.values())


@pytest.mark.slow
def test_the_time_of_a_step_is_shared_among_its_operations():
    figures = figures_of("operations.py", f"{PGGAN} --level 1 --steps 1 --most 200")
    shares = {each["kind"]: each["share"] for each in figures["kinds"]}
    assert abs(sum(shares.values()) - 1) < 0.05
    assert not any("inference" in kind for kind in shares)
    convolutions = sum(share for kind, share in shares.items() if "Conv" in kind or "MatMul" in kind)
    assert 0 < figures["convolutions"] < 1 and abs(figures["convolutions"] - convolutions) < 0.03


@pytest.mark.slow
def test_inception_is_measured():
    figures = figures_of("evaluate.py", "--resolution 64 --images 4 --batch-size 2 --rounds 1")
    assert (figures["resize"], figures["precision"], figures["batch_size"]) == ("pytorch", "float32", 2)
    assert 11.2 < figures["gflop_per_image"] < 11.5  # 5.7 thousand million multiplications and additions
    assert figures["images_per_second"] > 0 and 0 < figures["fraction_of_peak"] < 1.5
    assert figures["seconds_for_5000"] > 0


@pytest.mark.slow
def test_each_form_of_a_generator_is_measured():
    figures = figures_of("inference.py", "--resolution 64 --ngf 8 --batch-size 2 --rounds 1")
    for variant in ("published", "training", "folded"):
        assert figures[f"{variant}_images_per_second"] > 0
    assert figures["folded_to_published"] > 0
    assert (figures["resolution"], figures["batch_size"], figures["precision"]) == (64, 2, "float32")
