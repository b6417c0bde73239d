"""Chooses the distribution strategy and the precision for the devices of this machine, and measures memory."""

import contextlib
import resource
import sys
from pathlib import Path

import psutil
import tensorflow as tf

from gan_tf.distributed.cluster_spec import cluster_source
from gan_tf.errors import UsageError

NATIVE_BFLOAT16 = ("amx_bf16", "avx512_bf16")  # instruction sets, as Linux names them
# Memory limits of a container in bytes, in versions 2 and 1 of Linux's control groups.
CONTAINER_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
KERAS_POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}


def choose_strategy(name):
    """Returns (tf.distribute.Strategy, reason) for `--strategy` in a single process.

    `auto` uses all GPUs if there are several, else one device. `mirrored` uses all GPUs, or without GPUs all logical
    CPUs. For several workers see `workers.start_workers`.

    Raises:
        UsageError: multi_worker without TF_CONFIG or a SLURM step.
    """
    if name == "multi_worker" and not cluster_source():
        raise UsageError("--strategy is multi_worker, but TF_CONFIG is not set; set it on every worker, or give auto")
    gpus = tf.config.list_logical_devices("GPU")
    if name == "mirrored" or (name != "default" and len(gpus) > 1):
        devices = [device.name for device in gpus or tf.config.list_logical_devices("CPU")]
        return tf.distribute.MirroredStrategy(devices), f"{len(devices)} devices"
    return tf.distribute.get_strategy(), "one device"


def choose_precision(name):
    """Returns (precision, reason) for `--precision`. `auto`: bfloat16 on hardware that supports it, else float32."""
    if name != "auto":
        return name, "as given"
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        major, minor = tf.config.experimental.get_device_details(gpus[0]).get("compute_capability", (0, 0))
        has_bfloat16 = major >= 8
        reason = f"compute capability {major}.{minor} has {'' if has_bfloat16 else 'no '}native bfloat16"
    else:
        cpu = Path("/proc/cpuinfo")  # only Linux has it
        words = cpu.read_text().split() if cpu.exists() else []
        flags = [flag for flag in NATIVE_BFLOAT16 if flag in words]
        has_bfloat16 = bool(flags)
        reason = f"this CPU has native bfloat16 ({flags[0]})" if flags else "this CPU has no native bfloat16"
    return ("bfloat16" if has_bfloat16 else "float32"), reason


def peak_memory_gb() -> float:
    """Returns the peak memory in GiB: of the first GPU if there is one, else of this process."""
    if tf.config.list_logical_devices("GPU"):
        return tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**30
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**30 if sys.platform == "darwin" else peak / 2**20


def free_memory_gb() -> float:
    """Estimates the memory that this process can use in total, including its present use, in GiB.

    In a container psutil describes the whole machine; the limit of the container is in a file of its control group.
    """
    free = psutil.virtual_memory().available + psutil.Process().memory_info().rss
    for path in CONTAINER_LIMITS:
        with contextlib.suppress(OSError, ValueError):  # no such file, or "max"
            free = min(free, int(Path(path).read_text()))
    return free / 2**30


def describe() -> str:
    """Returns the names of the GPUs, or "CPU"."""
    details = [tf.config.experimental.get_device_details(gpu) for gpu in tf.config.list_physical_devices("GPU")]
    return ", ".join(each.get("device_name", "GPU") for each in details) or "CPU"
