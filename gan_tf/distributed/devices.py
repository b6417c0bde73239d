"""Chooses the distribution strategy and the precision for the devices of this machine, and measures memory."""

import contextlib
import os
import re
import sys
from pathlib import Path

import psutil
import tensorflow as tf

from gan_tf.distributed.cluster_spec import cluster_source
from gan_tf.errors import UsageError

try:
    import resource
except ImportError:  # Windows
    resource = None

# Turing GPUs (compute capability 7.5) without Tensor Cores. On some of them convolutions in float16 return NaN.
NO_TENSOR_CORES = re.compile(r"GTX 16|MX[45]50|\bT\d{3,4}\b")
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


def check_gpus():
    """Raises UsageError for a GPU that TensorFlow has no code for. Initialises no device.

    Such a GPU fails at the first step, some with CUDA_ERROR_INVALID_PTX. GAN_TF_ANY_GPU=1 skips the check.
    """
    codes = tf.sysconfig.get_build_info().get("cuda_compute_capabilities", ())
    if not codes or os.environ.get("GAN_TF_ANY_GPU"):
        return
    for gpu in tf.config.list_physical_devices("GPU"):
        capability, name = gpu_details(gpu)
        if capability > (0, 0) and not any(has_code(code, capability) for code in codes):
            number = ".".join(map(str, capability))
            raise UsageError(
                f"TensorFlow {tf.__version__} has no code for {name} of compute capability {number} (it has "
                f"{', '.join(codes)}): install a TensorFlow that was built for it, or set CUDA_VISIBLE_DEVICES to "
                "other GPUs, or to -1 to use the CPU; GAN_TF_ANY_GPU=1 skips this check"
            )


def has_code(code, capability) -> bool:
    """Returns True if a GPU of a compute capability (major, minor) runs code such as "sm_89" or "compute_90".

    Machine code (sm) runs on GPUs of its major version. PTX (compute) is compiled for later ones too, but the PTX of
    TensorFlow's wheels for 9.0 cannot be compiled for 10 and later.
    """
    if not (match := re.match(r"(sm|compute)_(\d+)(\d)", code)):
        return True  # unknown
    kind, built = match[1], (int(match[2]), int(match[3]))
    if kind == "sm" or built[0] < 10 <= capability[0]:
        return built[0] == capability[0] and built <= capability
    return built <= capability


def gpu_details(gpu):
    """Returns (compute capability, name) of a physical device, ((0, 0), "GPU") if unknown."""
    try:
        details = tf.config.experimental.get_device_details(gpu)
    except RuntimeError as error:  # TensorFlow cannot read its own "12.0a"
        found = re.search(r"(\d+)\.(\d+)", str(error))
        details = {"compute_capability": tuple(map(int, found.groups()))} if found else {}
    return details.get("compute_capability", (0, 0)), details.get("device_name", "GPU")


def choose_precision(name, training=False):
    """Returns (precision, reason) for `--precision`.

    `auto`: bfloat16 on hardware that supports it; in training, float16 on other GPUs with Tensor Cores; else float32.
    """
    if name != "auto":
        return name, "as given"
    if gpus := [gpu_details(gpu) for gpu in tf.config.list_physical_devices("GPU")]:
        capability = min(gpus)[0]  # all compute the same step
        text = f"compute capability {capability[0]}.{capability[1]} has"
        if capability >= (8, 0):
            return "bfloat16", f"{text} native bfloat16"
        if not training:
            return "float32", f"{text} no native bfloat16"
        if capability >= (7, 0) and not any(NO_TENSOR_CORES.search(gpu) for _, gpu in gpus):
            return "float16", f"{text} no native bfloat16, but Tensor Cores for float16"
        return "float32", f"{text} neither native bfloat16 nor Tensor Cores; --precision float16 needs less memory"
    cpu = Path("/proc/cpuinfo")  # only Linux has it
    words = cpu.read_text(encoding="utf-8").split() if cpu.exists() else []
    flags = [flag for flag in NATIVE_BFLOAT16 if flag in words]
    reason = f"this CPU has native bfloat16 ({flags[0]})" if flags else "this CPU has no native bfloat16"
    return ("bfloat16" if flags else "float32"), reason


def peak_memory_gb() -> float:
    """Returns the peak memory in GiB: of the first GPU if there is one, else of this process."""
    if tf.config.list_logical_devices("GPU"):
        return tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**30
    if resource is None:
        memory = psutil.Process().memory_info()
        return getattr(memory, "peak_wset", memory.rss) / 2**30
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**30 if sys.platform == "darwin" else peak / 2**20


def free_memory_gb() -> float:
    """Estimates the memory that this process can use in total, including its present use, in GiB.

    In a container psutil describes the whole machine; the limit of the container is in a file of its control group.
    """
    free = psutil.virtual_memory().available + psutil.Process().memory_info().rss
    for path in CONTAINER_LIMITS:
        with contextlib.suppress(OSError, ValueError):  # reads no file of a disk: no such limit, or "max"
            free = min(free, int(Path(path).read_text(encoding="utf-8")))
    return free / 2**30


def describe() -> str:
    """Returns the names of the GPUs, or "CPU"."""
    return ", ".join(gpu_details(gpu)[1] for gpu in tf.config.list_physical_devices("GPU")) or "CPU"
