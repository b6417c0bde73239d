"""benchmarks/inference.py: one JSON object with the speed of each form."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).resolve().parents[2] / "benchmarks" / "inference.py"
FLAGS = "--resolution 64 --ngf 8 --batch-size 2 --precision float32 --rounds 1 --json"


@pytest.mark.slow
def test_speeds_are_printed_as_json():
    printed = subprocess.run([sys.executable, PROGRAM, *FLAGS.split()], capture_output=True, text=True, check=True)
    result = json.loads(printed.stdout)
    for variant in ("published", "training", "folded"):
        assert result[f"{variant}_images_per_second"] > 0
    assert result["folded_to_published"] > 0
    assert (result["resolution"], result["batch_size"], result["precision"]) == (64, 2, "float32")
