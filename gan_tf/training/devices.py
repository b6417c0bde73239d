"""What the machine offers: devices, a distribution strategy, a precision, and how much memory is in use."""

import json
import os
import resource
import sys
from pathlib import Path

import psutil
import tensorflow as tf

from gan_tf.errors import UsageError

NATIVE_BFLOAT16 = ("amx_bf16", "avx512_bf16")  # instruction sets, as Linux names them
KERAS_POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}


def let_gpu_memory_grow():
    """Makes TensorFlow take GPU memory as it needs it and not all of it at once. Call before anything else."""
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)


def choose_strategy(name):
    """Returns (tf.distribute.Strategy, reason) for `--strategy`.

    auto takes all workers of TF_CONFIG or of the SLURM step, all GPUs if there are several, and one device else.
    `mirrored` takes the logical CPUs where there is no GPU. With a cluster, call it before any other TensorFlow
    operation; it waits until all workers have started.

    Raises:
        UsageError: multi_worker without a cluster, or a TF_CONFIG that cannot be read.
    """
    cluster = cluster_of_environment()
    if name == "multi_worker" and not cluster:
        raise UsageError("--strategy is multi_worker, but TF_CONFIG is not set; set it on every worker, or give auto")
    if cluster and name in ("auto", "multi_worker"):
        return _multi_worker_strategy(cluster), f"{cluster} names a cluster"
    gpus = tf.config.list_logical_devices("GPU")
    if name == "mirrored" or (name == "auto" and len(gpus) > 1):
        devices = [device.name for device in gpus or tf.config.list_logical_devices("CPU")]
        return tf.distribute.MirroredStrategy(devices), f"{len(devices)} devices"
    return tf.distribute.get_strategy(), "one device"


def cluster_of_environment() -> str | None:
    """Where this process is told which workers there are: "TF_CONFIG", "SLURM", or None where it works alone."""
    if os.environ.get("TF_CONFIG"):
        return "TF_CONFIG"
    return "SLURM" if int(os.environ.get("SLURM_STEP_NUM_TASKS") or 1) > 1 else None


def place_in_cluster() -> tuple[int, int] | None:
    """(number of this worker, number of workers), the chief first; None where this process works alone.

    Raises:
        UsageError: a TF_CONFIG that cannot be read.
    """
    cluster = cluster_of_environment()
    if cluster == "SLURM":
        return int(os.environ["SLURM_PROCID"]), int(os.environ["SLURM_STEP_NUM_TASKS"])
    if cluster is None:
        return None
    check_tf_config(os.environ["TF_CONFIG"])
    config = json.loads(os.environ["TF_CONFIG"])
    chiefs, workers = (config["cluster"].get(job, []) for job in ("chief", "worker"))
    index = 0 if config["task"]["type"] == "chief" else len(chiefs) + int(config["task"]["index"])
    count = len(chiefs) + len(workers)
    return (index, count) if count > 1 else None


def check_tf_config(text):
    """Raises UsageError unless TF_CONFIG describes a cluster and this worker's place in it."""
    form = '{"cluster": {"worker": ["HOST:PORT", ...]}, "task": {"type": "worker", "index": 0}}'
    try:
        config = json.loads(text)
        task = config["task"]
        addresses = config["cluster"][task["type"]]
        fits = (
            task["type"] in ("chief", "worker")
            and 0 <= int(task["index"]) < len(addresses)
            and all(":" in address for address in addresses)
        )
    except (KeyError, TypeError, ValueError):
        fits = False
    if not fits:
        raise UsageError(f"TF_CONFIG is {text[:200]!r}; give {form} with this worker's own index")


def _multi_worker_strategy(cluster):
    if cluster == "TF_CONFIG":
        check_tf_config(os.environ["TF_CONFIG"])
        return tf.distribute.MultiWorkerMirroredStrategy()
    return tf.distribute.MultiWorkerMirroredStrategy(tf.distribute.cluster_resolver.SlurmClusterResolver())


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
