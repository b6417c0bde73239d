"""What a process does to itself at a moment that nobody outside could meet: `tests.training.process --fault NAME`.

Each tells the moment in a line, which `scene.py` reads.
"""

import itertools
import os
import resource
import signal
import time

from gan_tf.distributed import workers as cluster
from gan_tf.runs import folder as runs
from gan_tf.training import resume, selection

STRUCK = "struck at "  # followed by the time of day in seconds
CHECKPOINT = 4  # number of the one that is met, counted from 1: there are good ones before it
HOUR = 3600.0
LONG_SECONDS = 300


def inflict(name, patch):
    """Makes ready for the fault `name`.

    Args:
        patch: pytest.MonkeyPatch.
    """
    FAULTS[name](patch)


def killed_while_writing_a_checkpoint(patch):
    """The system ends the process in the middle of a write, when the file has half its length."""

    def strike(state, run, keep):
        newest, prefix = run.checkpoints()[0]
        if newest == int(state.images_seen.numpy()):  # this one is written again, after a score: nothing would be lost
            return False
        tell_moment()
        [data] = run.state.glob(f"{prefix.name}.data-*")
        return die_past(data.stat().st_size // 2)

    before(patch, resume, "save_state", CHECKPOINT, strike)


def killed_while_removing_checkpoints(patch):
    """The new one is whole, and one more than should be kept is there."""

    def strike(run, newest, keep):
        tell_moment()
        os.kill(os.getpid(), signal.SIGKILL)

    before(patch, runs.Run, "tidy_checkpoints", CHECKPOINT, strike)


def killed_while_writing_best(patch):
    """The first best weights are there; those that would replace them are half written."""

    def strike(run, weights, meta):
        tell_moment()
        return die_past(run.best.stat().st_size // 2)

    before(patch, runs.Run, "replace_best", 2, strike)


def killed_while_connecting(patch):
    """All workers have met, and TensorFlow is about to connect them."""

    def strike(name):
        tell_moment()
        os.kill(os.getpid(), signal.SIGKILL)

    before(patch, cluster, "connected", 1, strike)


def long_score(patch):
    """The second score takes as long as one of many images may, and shows how far it is as that does."""

    def strike(trainer, *arguments):
        tell_moment()
        progress = selection.EvaluationProgress(trainer.workers)
        for second in range(LONG_SECONDS):
            progress(second, LONG_SECONDS, "waited")
            time.sleep(1)

    before(patch, selection, "score_epoch", 2, strike)


def clock_back(patch):
    """The time of day is an hour earlier from some moment on; the steady clock that waiting goes by is not."""

    def strike(state, run, keep):
        tell_moment()
        now, nanoseconds = time.time, time.time_ns
        patch.setattr(time, "time", lambda: now() - HOUR)
        patch.setattr(time, "time_ns", lambda: nanoseconds() - int(HOUR * 1e9))

    before(patch, resume, "save_state", CHECKPOINT, strike)


FAULTS = {
    act.__name__: act
    for act in (
        killed_while_writing_a_checkpoint,
        killed_while_removing_checkpoints,
        killed_while_writing_best,
        killed_while_connecting,
        long_score,
        clock_back,
    )
}


def before(patch, owner, name, number, strike):
    """Before call `number` of a function, calls strike(*its arguments); before the next one again if that is False."""
    original, calls, due = getattr(owner, name), itertools.count(1), [True]

    def struck(*arguments):
        if next(calls) >= number and due[0]:
            due[0] = strike(*arguments) is False
        return original(*arguments)

    patch.setattr(owner, name, struck)


def tell_moment():
    """Prints when the fault comes."""
    print(f"{STRUCK}{time.time()}", flush=True)


def die_past(size):
    """Lets the system end this process within the write that makes a file longer than `size` bytes."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
