"""`gan-tf launch --workers N -- train ARGS`: one run on several worker processes of this machine."""

import dataclasses
import os
import sys

from gan_tf.cli import arguments
from gan_tf.errors import UsageError

PROGRAM = [sys.executable, "-m", "gan_tf.cli.main"]
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
    gpus_per_worker: int | None = None  # give each worker so many GPUs of its own; else all see all

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
    check(command)
    check_gpus(options)
    from gan_tf.supervisor import supervise

    return supervise(
        [*PROGRAM, *command],
        workers=options.workers,
        restarts=options.restarts,
        grace_seconds=options.grace_seconds,
        gpus_per_worker=options.gpus_per_worker,
    )


def split(argv):
    """Returns (options of launch, the command after `--`)."""
    if "--" not in argv:
        return argv, []
    place = argv.index("--")
    return argv[:place], argv[place + 1 :]


def check(command):
    """Finds mistakes in the options of `train` once, before every worker finds them.

    Raises:
        UsageError: no command, another one than train, or wrong options.
        SystemExit: after --help.
    """
    from gan_tf.cli.train import parse_arguments

    if not command or command[0] != "train":
        given = f"is {command[0]!r}" if command else "is missing"
        raise UsageError(f"the command after -- {given}; give train and its options: {USAGE}")
    parse_arguments(command[1:])


def check_gpus(options):
    """Refuses to share out more GPUs than CUDA_VISIBLE_DEVICES names; without it there is nothing to check.

    Raises:
        UsageError: there are too few.
    """
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    wanted = options.workers * (options.gpus_per_worker or 0)
    if named is not None and wanted > len([name for name in named.split(",") if name not in ("", "-1")]):
        raise UsageError(
            f"--gpus-per-worker {options.gpus_per_worker} needs {wanted} GPUs for --workers {options.workers}, and "
            f"CUDA_VISIBLE_DEVICES is {named!r}; give smaller numbers"
        )
