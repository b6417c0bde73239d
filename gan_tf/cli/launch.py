"""`gan-tf launch`: trains with several worker processes on this machine."""

import dataclasses
import os
import sys

from gan_tf.cli import arguments
from gan_tf.cli.train import parse_arguments
from gan_tf.errors import UsageError

USAGE = "gan-tf launch --workers 2 -- train --dataset photos"
PROGRAM = [sys.executable, "-m", "gan_tf.cli.main"]
STRATEGIES = ("auto", "multi_worker")  # values of --strategy that connect several workers


@dataclasses.dataclass(frozen=True)
class LaunchOptions:
    """Runs `train` with several worker processes on this machine: gan-tf launch --workers 2 -- train ARGS.

    The output of each worker is prefixed. Ctrl-C and SIGTERM are forwarded; a second one kills the workers. After a
    fault all workers are started again and continue from the newest checkpoint. A single process uses all GPUs of a
    machine too: launch is for testing a setup of several machines, and for machines that run faster with several
    processes.
    """

    workers: int  # number of processes
    restarts: int = 3  # how many times all are started again after a fault (a usage error, code 2, is not one)
    # How long the other workers may take to save before they are killed, after the first worker has ended. After a
    # signal to launch, all workers are killed after 1.5 times as long at the latest.
    grace_seconds: float = 60.0
    gpus_per_worker: int | None = None  # GPUs of each worker; default: all GPUs, divided evenly

    def __post_init__(self):
        for name, least in (("workers", 1), ("restarts", 0), ("grace_seconds", 0), ("gpus_per_worker", 1)):
            value = getattr(self, name)
            if value is not None and not least <= value < float("inf"):
                raise UsageError(f"--{name.replace('_', '-')} is {value}; give a number of at least {least}")


def main(argv) -> int:
    """Runs the command and returns its exit code."""
    if "train" in argv and "--" not in argv:
        raise UsageError(f"-- is missing before train; give {USAGE}")
    end = argv.index("--") if "--" in argv else len(argv)
    options = arguments.parse(LaunchOptions, argv[:end], prog="gan-tf launch")
    command = argv[end + 1 :]
    if os.name != "posix":
        raise UsageError(f"launch needs Linux or macOS, and this is {sys.platform}; use WSL2")
    if os.environ.get("TF_CONFIG"):
        raise UsageError("TF_CONFIG is set, so a cluster exists already; unset it, or start gan-tf train directly")
    if not command or command[0] != "train":
        name = repr(command[0]) if command else "missing"
        raise UsageError(f"the command after -- is {name}; give train and its options: {USAGE}")
    config, _ = parse_arguments(command[1:])
    if options.workers > 1 and config.strategy not in STRATEGIES:
        raise UsageError(
            f"--strategy is {config.strategy}, with which --workers {options.workers} would be {options.workers} "
            f"separate trainings in one folder; give {' or '.join(STRATEGIES)}, or start gan-tf train without launch"
        )
    from gan_tf.distributed.launcher import log, supervise, visible_gpus

    gpus = visible_gpus()
    gpus_per_worker = divide_gpus(options, gpus)
    if gpus and gpus_per_worker:
        log(f"{gpus_per_worker} of {len(gpus)} GPUs for each of {options.workers} workers")
    return supervise(
        [*PROGRAM, *command],
        workers=options.workers,
        restarts=options.restarts,
        grace_seconds=options.grace_seconds,
        gpus_per_worker=gpus_per_worker,
    )


def divide_gpus(options, gpus) -> int | None:
    """Returns the number of GPUs of each worker; None without GPUs, or if a single worker uses all.

    NCCL does not support two workers on one GPU. `gpus`: names of the GPUs; None if unknown.
    """
    source = "CUDA_VISIBLE_DEVICES names" if "CUDA_VISIBLE_DEVICES" in os.environ else "nvidia-smi lists"
    if options.gpus_per_worker is not None:
        needed = options.workers * options.gpus_per_worker
        if gpus is not None and needed > len(gpus):
            raise UsageError(
                f"--gpus-per-worker {options.gpus_per_worker} needs {needed} GPUs for --workers {options.workers}, and "
                f"{source} {len(gpus)}; give smaller numbers"
            )
        return options.gpus_per_worker
    if not gpus or options.workers == 1:
        return None
    if options.workers > len(gpus):
        raise UsageError(
            f"--workers is {options.workers}, and {source} {len(gpus)} GPUs, but each worker needs one; give "
            f"--workers {len(gpus)}, or set CUDA_VISIBLE_DEVICES to -1 to train without GPUs"
        )
    return len(gpus) // options.workers
