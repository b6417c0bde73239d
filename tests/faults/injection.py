"""Faults that a process injects into itself: `tests.distributed.process --fault NAME`.

Each function prepares one, with a pytest.MonkeyPatch, at a moment that no other process could hit. The fault prints its
time in a line, which `scenario.py` reads.
"""

import itertools
import os
import resource
import signal
import time

from gan_tf.cli import train
from gan_tf.distributed import liveness, workers
from gan_tf.metrics import score
from gan_tf.runs import folder as runs
from gan_tf.training import resume, selection

FAULT_LINE = "fault at "  # followed by the time in seconds since 1970
CHECKPOINT = 4  # the fault comes at the fourth checkpoint, so that there are good ones before it


def killed_while_writing_a_checkpoint(patch):
    """The system kills the process when half of the file is written."""

    def fault(state, run, keep):
        newest, prefix = run.checkpoints()[0]
        if newest == int(state.images_seen.numpy()):  # written again after a score: nothing would be lost
            return False
        [data] = run.state.glob(f"{prefix.name}.data-*")
        return limit_file_size(data.stat().st_size // 2)

    call_before(patch, resume, "save_state", CHECKPOINT, fault)


def killed_while_removing_checkpoints(patch):
    """The new checkpoint is complete, and one more than `--keep` exists."""
    call_before(patch, runs.Run, "tidy_checkpoints", CHECKPOINT, kill_this_process)


def killed_while_writing_best(patch):
    """The first best weights exist; the file that would replace them is half written. Every score counts as better."""
    patch.setattr(score.Score, "better_than", lambda *scores: True)
    call_before(patch, runs.Run, "replace_best", 2, lambda run, *_: limit_file_size(run.best.stat().st_size // 2))


def killed_while_connecting(patch):
    """TensorFlow is about to connect the workers."""
    call_before(patch, workers, "connect", 1, kill_this_process)


def long_score(patch):
    """The second score takes minutes, with the progress calls of a real one."""

    def fault(trainer, *arguments):
        report_time()
        progress = selection.EvaluationProgress(trainer.workers)
        for second in range(300):
            progress(second, 300, "waited")
            time.sleep(1)

    call_before(patch, selection, "score_epoch", 2, fault)


def late_end(patch):
    """The chief ends its training later than the others, by more than it takes to detect a lost worker."""

    def fault(run):
        report_time()
        time.sleep(20)

    patch.setattr(liveness, "GRACE_SECONDS", 1.0)
    call_before(patch, train, "next_steps", 1, fault)


def clock_back(patch):
    """The time of day jumps back by an hour; the monotonic clock does not."""

    def fault(state, run, keep):
        report_time()
        now, nanoseconds = time.time, time.time_ns
        patch.setattr(time, "time", lambda: now() - 3600)
        patch.setattr(time, "time_ns", lambda: nanoseconds() - 3600 * 10**9)

    call_before(patch, resume, "save_state", CHECKPOINT, fault)


def call_before(patch, owner, name, number, fault):
    """Calls fault(*arguments) before call `number` of a function; again before the next call if it returns False."""
    original, calls, due = getattr(owner, name), itertools.count(1), [True]

    def patched(*arguments):
        if next(calls) >= number and due[0]:
            due[0] = fault(*arguments) is False
        return original(*arguments)

    patch.setattr(owner, name, patched)


def report_time():
    """Prints the time of the fault."""
    print(f"{FAULT_LINE}{time.time()}", flush=True)


def kill_this_process(*arguments):
    """Ends this process with SIGKILL."""
    report_time()
    os.kill(os.getpid(), signal.SIGKILL)


def limit_file_size(size):
    """Makes the system kill this process when it writes a file beyond `size` bytes."""
    report_time()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
