"""benchmarks/inference.py runs and prints what README says."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_it_prints_one_json_object():
    flags = [
        "--resolution",
        "64",
        "--ngf",
        "8",
        "--batch-size",
        "2",
        "--precision",
        "float32",
        "--rounds",
        "1",
        "--json",
    ]
    command = [sys.executable, str(ROOT / "benchmarks" / "inference.py"), *flags]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    result = json.loads(printed)
    for variant in ("published", "training", "folded"):
        assert result[f"{variant}_images_per_second"] > 0
    assert result["folded_to_published"] > 0
    assert (result["resolution"], result["batch_size"], result["precision"]) == (64, 2, "float32")
