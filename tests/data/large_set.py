"""Prepares a set much larger than its memory limit, reads batches, and prints the peak memory as JSON.

    python -m tests.data.large_set COUNT RESOLUTION CACHE_DIR

Runs as a separate process, since it measures its peak memory. 70000 256 is the size that must work within 4 GB of host
memory; it needs 14 GB of disk.
"""

import json
import resource
import sys
from pathlib import Path

import numpy as np

from gan_tf.data.prepare import box_means, prepare
from gan_tf.data.sources import ArraySource

BATCHES = 200
BATCH_SIZE = 32


class Drawn:
    """A sequence of images computed on access: one noise image, shifted by another offset each."""

    def __init__(self, count, resolution):
        self.count = count
        self.base = np.random.default_rng(0).integers(0, 256, (resolution, resolution, 3), np.uint8)

    def __len__(self):
        return self.count

    def __getitem__(self, i):
        return np.roll(self.base, (i % 251, i // 251), (0, 1))


def peak_gb():
    """Returns this process's peak memory in 10^9 bytes.

    On Linux not from getrusage, which includes the memory of the parent at the fork.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def main(count, resolution, cache_dir):
    """Returns the figures as a dict."""
    drawn = Drawn(count, resolution)
    source = ArraySource("drawn", drawn)
    prepared = prepare(source, resolution=resolution, memory_gb=0.1, cache_dir=cache_dir, log=lambda line: None)
    figures = {"images": len(prepared), "set_gb": prepared.images.nbytes / 1e9, "prepare_peak_gb": peak_gb()}
    smallest = prepared.at(4)  # makes all sizes in between too
    figures["reduce_peak_gb"] = peak_gb()
    assert not smallest.mapped and (smallest.images[-1] == box_means(drawn[count - 1][None], [4])[0][0]).all()
    from gan_tf.data.pipeline import InputPipeline  # imported late, to separate the memory of TensorFlow

    pipeline = InputPipeline(prepared, BATCH_SIZE, seed=0, mirror=False)
    for _, element in zip(range(BATCHES), pipeline.dataset(0), strict=False):
        i = int(element["index"][-1])
        assert (element["images"][-1].numpy() == drawn[i]).all()
    return figures | {"peak_gb": peak_gb()}


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])))
