"""`gan-tf launch --workers N -- train ARGS`: one run on several worker processes of this machine."""

import dataclasses
import os
import sys

from gan_tf.cli import arguments
from gan_tf.errors import UsageError

PROGRAM = [sys.executable, "-m", "gan_tf.cli.main"]
FOR_SEVERAL = ("auto", "multi_worker")  # values of --strategy that make one training of several workers
USAGE = "gan-tf launch --workers 2 -- train --dataset photos"


@dataclasses.dataclass(frozen=True)
class LaunchOptions:
    """Runs `train` on several worker processes of this machine: gan-tf launch --workers 2 -- train ARGS. Their lines
    come under a prefix, Ctrl-C and SIGTERM are passed on (a second one kills), and after a fault of one all are
    started again, to continue from the newest checkpoint. One process uses all GPUs of a machine by itself: this is
    for trying out what several machines will do, and for machines that do better with several processes.
    """

    workers: int  # processes to start
    restarts: int = 3  # how many times all are started again after a fault of one (a user's mistake, code 2, is none)
    # From the end of the first worker: how long the others may take to save before they are killed. After a signal to
    # launch, all are killed at the latest when 1.5 times as long has passed, also where none ended.
    grace_seconds: float = 60.0
    gpus_per_worker: int | None = None  # each worker's own GPUs; default: all that there are, shared out evenly

    def __post_init__(self):
        for name, least in (("workers", 1), ("restarts", 0), ("grace_seconds", 0), ("gpus_per_worker", 1)):
            value = getattr(self, name)
            if value is not None and not least <= value < float("inf"):
                raise UsageError(f"--{name.replace('_', '-')} is {value}; give a number of at least {least}")


def main(argv) -> int:
    """Runs the command. Returns the exit code.

    Raises:
        UsageError: a wrong option, of `train` too, or a place that this cannot run in.
    """
    options, command = split(argv)
    options = arguments.parse(LaunchOptions, options, prog="gan-tf launch")
    if os.name != "posix":
        raise UsageError(f"launch needs Linux or macOS, and this is {sys.platform}; use WSL2")
    if os.environ.get("TF_CONFIG"):
        raise UsageError("TF_CONFIG is set, so a cluster exists already; unset it, or start gan-tf train itself")
    check(command, options.workers)
    from gan_tf.distributed.launcher import log, supervise, visible_gpus

    gpus = visible_gpus()
    gpus_per_worker = gpus_each(options, gpus)
    if gpus and gpus_per_worker:
        log(f"{gpus_per_worker} of {len(gpus)} GPUs for each of {options.workers} workers")
    return supervise(
        [*PROGRAM, *command],
        workers=options.workers,
        restarts=options.restarts,
        grace_seconds=options.grace_seconds,
        gpus_per_worker=gpus_per_worker,
    )


def split(argv):
    """Returns (options of launch, the command after `--`)."""
    if "--" not in argv:
        return argv, []
    place = argv.index("--")
    return argv[:place], argv[place + 1 :]


def check(command, workers):
    """Finds mistakes in the options of `train` once, before every worker finds them.

    Raises:
        UsageError: no command, another one than train, wrong options, or some that do not fit several workers.
        SystemExit: after --help.
    """
    from gan_tf.cli.train_arguments import parse_arguments

    if not command or command[0] != "train":
        given = f"is {command[0]!r}" if command else "is missing"
        raise UsageError(f"the command after -- {given}; give train and its options: {USAGE}")
    config, _ = parse_arguments(command[1:])
    if workers > 1 and config.strategy not in FOR_SEVERAL:  # each would train on its own, all into one folder
        raise UsageError(
            f"--strategy is {config.strategy}, with which --workers {workers} would be {workers} trainings in one "
            f"folder; give {' or '.join(FOR_SEVERAL)}, or start gan-tf train without launch"
        )


def gpus_each(options, gpus) -> int | None:
    """How many GPUs each worker gets for itself; None: all see all that there are, since there is nothing to share out.

    Two workers on one GPU cannot talk to each other: NCCL refuses that.

    Args:
        gpus: their names, or None where it is not known.

    Raises:
        UsageError: there are too few.
    """
    known = "CUDA_VISIBLE_DEVICES names" if "CUDA_VISIBLE_DEVICES" in os.environ else "nvidia-smi lists"
    if options.gpus_per_worker is not None:
        wanted = options.workers * options.gpus_per_worker
        if gpus is not None and wanted > len(gpus):
            raise UsageError(
                f"--gpus-per-worker {options.gpus_per_worker} needs {wanted} GPUs for --workers {options.workers}, and "
                f"{known} {len(gpus)}; give smaller numbers"
            )
        return options.gpus_per_worker
    if not gpus or options.workers == 1:
        return None
    if options.workers > len(gpus):
        raise UsageError(
            f"--workers is {options.workers}, and {known} {len(gpus)}, but each worker needs a GPU of its own; give "
            f"--workers {len(gpus)}, or set CUDA_VISIBLE_DEVICES to -1 to train without GPUs"
        )
    return len(gpus) // options.workers
