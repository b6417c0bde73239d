"""What the machine offers: devices, a distribution strategy, a precision, and how much memory is in use."""

import resource
import sys
from pathlib import Path

import psutil
import tensorflow as tf

from gan_tf.distributed import cluster_spec as places
from gan_tf.errors import UsageError

NATIVE_BFLOAT16 = ("amx_bf16", "avx512_bf16")  # instruction sets, as Linux names them
KERAS_POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}


def let_gpu_memory_grow():
    """Makes TensorFlow take GPU memory as it needs it and not all of it at once. Call before anything else."""
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)


def choose_strategy(name):
    """Returns (tf.distribute.Strategy, reason) for `--strategy`.

    auto takes all workers of TF_CONFIG, all GPUs if there are several, and one device else. `mirrored` takes the
    logical CPUs where there is no GPU. With a cluster, call it before any other TensorFlow operation; it waits until
    all workers have started.

    Raises:
        UsageError: multi_worker without a cluster, or a TF_CONFIG that cannot be read.
    """
    cluster = places.cluster_of_environment()
    if name == "multi_worker" and not cluster:
        raise UsageError("--strategy is multi_worker, but TF_CONFIG is not set; set it on every worker, or give auto")
    if cluster and name in ("auto", "multi_worker"):
        places.place_of_environment()  # puts SLURM's into TF_CONFIG
        return tf.distribute.MultiWorkerMirroredStrategy(), f"{cluster} names a cluster"
    gpus = tf.config.list_logical_devices("GPU")
    if name == "mirrored" or (name == "auto" and len(gpus) > 1):
        devices = [device.name for device in gpus or tf.config.list_logical_devices("CPU")]
        return tf.distribute.MirroredStrategy(devices), f"{len(devices)} devices"
    return tf.distribute.get_strategy(), "one device"


def choose_precision(name):
    """Returns (precision, reason) for `--precision`: auto is bfloat16 where the hardware multiplies it natively."""
    if name != "auto":
        return name, "asked for"
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        capability = tf.config.experimental.get_device_details(gpus[0]).get("compute_capability", (0, 0))
        if capability >= (8, 0):
            return "bfloat16", f"compute capability {capability[0]}.{capability[1]} multiplies it natively"
        return "float32", f"compute capability {capability[0]}.{capability[1]} has no bfloat16"
    native = [flag for flag in NATIVE_BFLOAT16 if flag in cpu_flags()]
    if native:
        return "bfloat16", f"this CPU multiplies it natively ({native[0]})"
    return "float32", "this CPU does not multiply bfloat16"


def cpu_flags() -> set[str]:
    """Instruction sets of the CPU; empty where the system does not tell."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    return next((set(line.split(":")[1].split()) for line in lines if line.startswith("flags")), set())


def peak_memory_gb() -> float:
    """Most memory in use so far, in GiB: of the first GPU if there is one, else of this process."""
    if tf.config.list_logical_devices("GPU"):
        return tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**30
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**30 if sys.platform == "darwin" else peak / 2**20


def free_memory_gb() -> float:
    """Memory that this process has or may still take, in GiB, as the system estimates it."""
    return (psutil.virtual_memory().available + psutil.Process().memory_info().rss) / 2**30


def describe() -> str:
    """One line about the devices."""
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return "CPU"
    names = [tf.config.experimental.get_device_details(gpu).get("device_name", "GPU") for gpu in gpus]
    return ", ".join(names)
