"""benchmarks/step.py and operations.py run for the families and print what README says."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FIGURES = {"seconds_per_step", "images_per_second", "gflop_per_image", "fraction_of_peak"}


def run(*flags, program="step.py"):
    command = [sys.executable, str(ROOT / "benchmarks" / program), "--precision", "float32", "--steps", "1", *flags]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300)


@pytest.mark.slow
def test_a_level_is_measured():
    small = ("--model", "pggan", "--resolution", "16", "--fmap-base", "32", "--fmap-max", "8", "--batch-size", "4")
    figures = json.loads(run(*small, "--level", "1", "--json").stdout)
    assert figures.keys() >= FIGURES
    assert (figures["level"], figures["pixels"], figures["batch_size"]) == (1, 8, 4)
    assert figures["gflop_per_image"] > 0


def test_an_unknown_level_is_refused_in_one_line():
    refused = run("--model", "pggan", "--resolution", "16", "--fmap-base", "32", "--fmap-max", "8", "--level", "3")
    assert refused.returncode == 2
    assert refused.stderr.splitlines()[-1].endswith("--level is 3; give 0 to 2 at --resolution 16")


@pytest.mark.slow
def test_a_step_of_phases_is_measured_phase_by_phase():
    small = ("--model", "stylegan2", "--resolution", "16", "--channel-base", "64", "--channel-max", "4")
    figures = json.loads(run(*small, "--batch-size", "4", "--augment", "none", "--json").stdout)
    assert figures.keys() >= FIGURES
    phases = {each["phase"]: each for each in figures["phases"]}
    assert {name: each["every"] for name, each in phases.items()} == {
        "g_step": 1,
        "path_length_step": 4,
        "d_step": 1,
        "r1_step": 16,
    }
    mean = sum(each["seconds"] / each["every"] for each in phases.values())
    assert abs(figures["seconds_per_step"] - mean) < 0.001
    assert abs(sum(each["share_of_step"] for each in phases.values()) - 1) < 0.05
    assert all(each["gflop_per_image"] > 0 for each in phases.values())


@pytest.mark.slow
def test_the_time_of_a_step_is_shared_among_its_operations():
    small = ("--model", "pggan", "--resolution", "16", "--fmap-base", "32", "--fmap-max", "8", "--level", "1")
    figures = json.loads(run(*small, "--most", "200", "--json", program="operations.py").stdout)
    shares = {each["kind"]: each["share"] for each in figures["kinds"]}
    assert abs(sum(shares.values()) - 1) < 0.05
    assert not any("inference" in kind for kind in shares)
    convolutions = sum(share for kind, share in shares.items() if "Conv" in kind or "MatMul" in kind)
    assert 0 < figures["convolutions"] < 1 and abs(figures["convolutions"] - convolutions) < 0.03
