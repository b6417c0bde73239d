"""Memory of a mapped set: 70,000 images at 256x256 need less than 4 GB; tested at a tenth of that size."""

import json
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_a_mapped_set_needs_little_memory(tmp_path):
    command = [sys.executable, "-m", "tests.data.large_set", "7000", "256", str(tmp_path)]
    result = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    figures = json.loads(result.stdout)
    assert figures["images"] == 7000 and figures["set_gb"] > 1.3
    assert figures["prepare_peak_gb"] < 0.4 and figures["reduce_peak_gb"] < 0.4
    assert figures["peak_gb"] < 1.2  # most of it is TensorFlow
