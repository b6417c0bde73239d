"""benchmarks/bench.py, compare.py, start.py and gpu.sh: files, ratios, failed measurements, and errors."""

import json
import os
import subprocess
import sys

import pytest

from tests.programs import ROOT

MACHINE = {"device": "CPU", "cpu": "X", "cores": 2, "gan_tf": "0", "tensorflow": "2", "python": "3"}


def run(script, *arguments, **variables):
    command = [sys.executable, ROOT / "benchmarks" / script, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env={**os.environ, **variables})


@pytest.fixture
def reports(tmp_path):
    """Two files of bench.py: B has twice the speed at a third of the memory, and starts in a quarter of the time."""
    for name, factor in (("a", 1), ("b", 2)):
        step = {"images_per_second": 3.0 * factor, "seconds_per_step": 2 / factor, "fraction_of_peak": 0.25}
        step["peak_memory_gb"] = 3.0 if name == "a" else 1.0
        measurements = {"step": step, "start": {"seconds_to_first_step": 8.0 / factor**2}, name: {"error": "why"}}
        machine = MACHINE | {"convolution_peak_gflops": {"float32": 100.0 * factor}}
        report = {"machine": machine, "measurements": measurements}
        (tmp_path / f"{name}.json").write_text(json.dumps(report))
    return tmp_path / "a.json", tmp_path / "b.json"


def test_two_results_are_compared_as_ratios(reports):
    done = run("compare.py", *reports, "--json")
    assert json.loads(done.stdout) == {
        "Peak of convolutions, float32": {"gflops": 2},
        "step": {"images_per_second": 2, "fraction_of_peak": 1, "peak_memory_gb": 3},
        "start": {"seconds_to_first_step": 4},
    }
    lines = run("compare.py", *reports).stdout.splitlines()
    assert "| step | 3 images/s | 6 images/s | 2.00 |" in lines and "Only in B: b." in lines


@pytest.mark.parametrize("content", [None, "{", "[]", '{"measurements": []}', '{"measurements": {}}'])
def test_other_files_are_not_compared(reports, content):
    reports[1].unlink() if content is None else reports[1].write_text(content)
    done = run("compare.py", *reports)
    assert (
        (done.returncode, done.stderr.count("\n")) == (2, 1) and "b.json" in done.stderr and "make bench" in done.stderr
    )


@pytest.mark.parametrize(
    ("flags", "named"), [(["--suite", "gpu"], "--suite"), (["--only", "nothing"], "--only"), ([], "--out")]
)
def test_wrong_options_are_one_line(tmp_path, flags, named):
    (tmp_path / "taken.md").touch()
    out = "taken" if named == "--out" else "new"
    done = run("bench.py", *flags, "--out", tmp_path / out, CUDA_VISIBLE_DEVICES="-1")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1) and named in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["taken.md"]


def test_the_script_for_gpus_needs_one(tmp_path):
    variables = {"PYTHON": sys.executable, "CUDA_VISIBLE_DEVICES": "-1"}
    command = ["sh", ROOT / "benchmarks" / "gpu.sh", "--out", tmp_path / "gpu"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **variables}, timeout=120)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1) and "no GPU" in done.stderr


@pytest.fixture
def small(tmp_path):
    """Runs bench.py with two small measurements, of which one fails."""
    program = tmp_path / "program.py"
    program.write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(ROOT / 'benchmarks')!r})\n"
        "import bench, frame\n"
        "bench.CPU = {'small': 'step.py --model pggan --resolution 16 --fmap-base 32 --fmap-max 8 --batch-size 4 '\n"
        "    '--level 1 --steps 1 --images 8 --precision float32', 'wrong': 'step.py --level 1'}\n"
        "sys.exit(frame.run(bench.BenchOptions, bench.bench, sys.argv[1:], prog='bench', start=lambda: None))\n"
    )
    return [sys.executable, program, "--out", tmp_path / "bench"]


@pytest.mark.slow
def test_a_failed_measurement_does_not_end_the_others(small, tmp_path):
    done = subprocess.run(small, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "bench.json").read_text())
    step, wrong = report["measurements"]["small"], report["measurements"]["wrong"]
    assert step["images_per_second"] > 0 and step["batch_size"] == 4
    assert "--level" in wrong["error"] and wrong["command"] == "benchmarks/step.py --level 1"
    assert report["machine"]["convolution_peak_gflops"] == {"float32": step["convolution_peak_gflops"]}
    table = (tmp_path / "bench.md").read_text()
    assert "| small | " in table and "| wrong | failed: " in table
    assert "[2/2] wrong: failed" in done.stderr


@pytest.mark.slow
def test_the_start_of_a_run_is_measured():
    done = run("start.py", "--preset", "demo", "--resolution", "64", "--runs", "1", "--json")
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["seconds_to_first_step"] == figures["seconds_to_first_step_of_each_run"][0] > 1
    assert 0 < figures["help_cpu_seconds"] < figures["seconds_to_first_step"]


def test_a_run_that_does_not_start_is_one_line():
    done = run("start.py", "--resolution", "100", "--runs", "1")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1) and "--resolution" in done.stderr
