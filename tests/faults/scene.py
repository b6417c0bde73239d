"""Two workers of one run that meet a fault; measures what the fault matrix tells."""

import re
import time

from gan_tf.runs.folder import Run
from tests.faults.inflict import STRUCK
from tests.faults.table import PROPERTY, Row
from tests.training import tiny
from tests.training.workers import END_SECONDS, START_SECONDS, Group

NAMES = ("chief", "worker")
CHIEF, WORKER = 0, 1
CHECKPOINT_MINUTES = 0.01
IMAGES = 600
FLAGS = {
    "strategy": "multi_worker",
    "deterministic": True,
    "augment": "diffaugment",
    "total_kimg": IMAGES / 1000,  # 150 steps
    "epoch_images": 200,  # 3 scores
    "checkpoint_minutes": CHECKPOINT_MINUTES,
    "keep": None,  # the program's own
}
RECORDS = 28  # lines of stats.jsonl when a fault comes: in the second epoch
# A step, a score and the writing itself may come between two checkpoints that are due, on a busy machine.
LATE_SECONDS = 10.0
TRAINED, SAVED, LOST = 0, 42, 43  # exit codes
REFUSED = 2


class Scene:
    """A run of two workers, whose fault is told by `tell`.

    Args:
        folder: of this test.
        dataset: path of the images.
        undisturbed: Run of two workers that met no fault.
        note: function (name, value) that adds to the test's report.
        group: further arguments of `Group`.
    """

    def __init__(self, folder, dataset, undisturbed, note, **group):
        self.folder, self.dataset, self.undisturbed, self.note = folder, dataset, undisturbed, note
        self.move_run_to(folder / "runs")
        self._group, self._groups = group, []
        self._struck_at, self._end_seconds, self._lost = None, [], None

    @property
    def workers(self) -> Group:
        """Those that were started last."""
        return self._groups[-1]

    def move_run_to(self, checkpoints):
        """Sets the folder of `--checkpoints`."""
        self.checkpoints, self.run = checkpoints, Run(checkpoints / "tiny")

    def start(self, *indices, options=(), **changes):
        """Starts both workers, or some."""
        words = tiny.arguments(self.dataset, self.checkpoints, **{**FLAGS, **changes})
        self._groups.append(Group(self.folder, words, **self._group))
        self.workers.start(*indices, options=options)
        return self

    def start_trained(self):
        """Starts both, and waits until they are in the middle of it."""
        self.start().workers.when_trained(self.run, RECORDS)
        return self

    def strike(self, act, *arguments):
        """Does act(*arguments), which is the fault, and notes the moment."""
        self._struck_at = time.time()
        act(*arguments)
        return self

    def struck_itself(self, index, code):
        """Waits for a worker that was told to meet a fault by itself, and reads the moment."""
        assert self.workers.processes[index].wait(END_SECONDS * 2) == code, self.workers.said(index)[-1500:]
        self._struck_at = float(re.search(STRUCK + r"([\d.]+)", self.workers.said(index))[1])
        return self

    def when_struck(self, index):
        """Waits until a worker tells that its fault has come."""
        deadline = time.monotonic() + START_SECONDS
        while STRUCK not in self.workers.said(index):
            if time.monotonic() > deadline or self.workers.processes[index].poll() is not None:
                raise RuntimeError(f"the fault did not come: {self.workers.said(index)[-1500:]}")
            time.sleep(0.05)
        return self

    def ends(self, codes, words):
        """The survivors end in time, each with its code, and say these words in one line.

        Args:
            codes: {index: exit code}.
        """
        for index, code in codes.items():
            process, said = self.workers.processes[index], self.workers.said
            left = self._struck_at + END_SECONDS - time.time()
            assert process.wait(max(0.1, left)) == code, said(index)[-1500:]
            self._end_seconds.append(time.time() - self._struck_at)
            assert "Traceback" not in said(index), said(index)[-3000:]
        lines = [line for index in codes for line in self.workers.said(index).splitlines() if words in line]
        assert lines, [self.workers.said(index)[-1500:] for index in codes]
        return self

    def goes_on(self, says="continuing"):
        """Both are started again and end as if nothing had been; no more is lost than may be."""
        trained = self.run.trained_images()
        saved = {seen: prefix.with_suffix(".index").stat().st_mtime for seen, prefix in self.run.checkpoints()}
        self.workers.end()
        self.start().trains_to_the_end()
        said = self.workers.said(0)
        assert says in said, said[-3000:]
        seen = int(re.search(r"continuing .* from (\d+) images", said)[1])
        seconds = max(0.0, self._struck_at - saved[seen])
        assert seconds <= 60 * CHECKPOINT_MINUTES + LATE_SECONDS, f"{seconds} s are lost"
        self._lost = f"{trained - seen} images, {seconds:.1f} s" if trained > seen else "none"
        return self

    def trains_to_the_end(self):
        """Both end well, and the run is the undisturbed one."""
        assert self.workers.wait() == [TRAINED, TRAINED], self.workers.said(0)[-3000:]
        assert_same_run(self.run, self.undisturbed)
        return self

    def tell(self, fault, happened, equal=True):
        """Puts the row of `fault` into the test's report."""
        slowest = f"{max(self._end_seconds):.0f} s" if self._end_seconds else "-"
        self.note(PROPERTY, list(Row(fault, happened, self._lost or "-", slowest, "yes" if equal else "-")))

    def end(self):
        """Leaves no process behind."""
        for group in self._groups:
            group.end()


def assert_same_run(run, undisturbed):
    """State, records, best weights and pictures of a disturbed run are those of the other, bit for bit."""
    tiny.assert_same_state(run, undisturbed, IMAGES)
    assert tiny.records(run, "train", "epoch") == tiny.records(undisturbed, "train", "epoch")
    assert run.best_meta() == undisturbed.best_meta()
    found = tiny.events(run)
    assert len(found) == len(set(found)), "TensorBoard holds a value twice"
    assert set(tiny.events(undisturbed)) <= set(found)  # and grids of the moments of continuing
    for path in undisturbed.samples.glob("samples-*.png"):
        assert path.read_bytes() == (run.samples / path.name).read_bytes(), path.name
