"""benchmarks/evaluate.py prints its results as JSON."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_it_prints_one_json_object():
    flags = ["--resolution", "64", "--images", "4", "--batch-size", "2", "--rounds", "1", "--json"]
    command = [sys.executable, str(ROOT / "benchmarks" / "evaluate.py"), *flags]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    result = json.loads(printed)
    assert (result["resize"], result["precision"], result["batch_size"]) == ("pytorch", "float32", 2)
    assert 11.2 < result["gflop_per_image"] < 11.5  # 5.7 thousand million multiplications and additions
    assert result["images_per_second"] > 0 and 0 < result["fraction_of_peak"] < 1.5
    assert result["seconds_for_5000"] > 0
