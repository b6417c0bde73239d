"""Memory of a mapped set: 70,000 images at 256x256 need less than 4 GB; tested at a tenth of that size.

    python -m tests.data.test_large_set 70000 256 CACHE_FOLDER

measures the full size, which needs 14 GB of disk.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gan_tf.data.prepare import box_means, prepare
from gan_tf.data.sources import ArraySource

BATCHES, BATCH_SIZE = 200, 32


def peak_gb():
    """Returns this process's peak memory in 10^9 bytes. (getrusage would include the parent's at the fork.)"""
    [kilobytes] = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(kilobytes) * 1024 / 1e9


def measure(count, resolution, cache_folder):
    """Prepares a set, reduces it and reads batches; returns its size and the peak memory after each step."""
    pixels = np.random.default_rng(0).integers(0, 256, 3 * (resolution**2 + 7 * count), np.uint8)
    # Each image is the one before shifted by 7 pixels, in the same memory.
    shape, strides = (count, resolution, resolution, 3), (21, 3 * resolution, 3, 1)
    images = np.lib.stride_tricks.as_strided(pixels, shape, strides, writeable=False)
    source = ArraySource("shifted", images)
    prepared = prepare(source, resolution=resolution, memory_gb=0.1, cache_dir=cache_folder, log=lambda line: None)
    figures = {"set_gb": prepared.images.nbytes / 1e9, "prepare_peak_gb": peak_gb()}
    smallest = prepared.at(4)  # makes all sizes in between too
    figures["reduce_peak_gb"] = peak_gb()
    assert not smallest.mapped and (smallest.images[-1] == box_means(images[count - 1][None], [4])[0][0]).all()
    from gan_tf.data.pipeline import InputPipeline  # imported late, to separate the memory of TensorFlow

    dataset = InputPipeline(prepared, BATCH_SIZE, seed=0, mirror=False).dataset(0)
    for element in dataset.take(BATCHES):
        assert (element["images"][-1].numpy() == images[int(element["index"][-1])]).all()
    return figures | {"peak_gb": peak_gb()}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_mapped_set_needs_little_memory(tmp_path):
    command = [sys.executable, "-m", "tests.data.test_large_set", "7000", "256", str(tmp_path)]
    figures = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    assert figures["set_gb"] > 1.3
    assert figures["prepare_peak_gb"] < 0.4 and figures["reduce_peak_gb"] < 0.4
    assert figures["peak_gb"] < 1.2  # most of it is TensorFlow


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])))
