"""A run of two workers with one fault, measured for the fault matrix."""

import re
import time

from gan_tf.runs.folder import Run
from tests.distributed.worker_group import END_SECONDS, START_SECONDS, WorkerGroup
from tests.faults.injection import FAULT_LINE
from tests.faults.table import PROPERTY, Row
from tests.training import tiny

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
    "keep": None,  # the default
}
RECORDS = 28  # lines of stats.jsonl before a fault: in the second epoch
LATE_SECONDS = 10.0  # a checkpoint that is due may wait for a step, a score and the writing itself
TRAINED, REFUSED, SAVED, LOST = 0, 2, 42, 43  # exit codes


class Scenario:
    """A run of two workers. Methods are chained: start, then fault, ends, continues, and add_row.

    Args:
        folder: of this test.
        dataset: path of the images.
        undisturbed: Run of two workers without a fault.
        record_property: function (name, value) that adds to the test's report.
        group: further arguments of `WorkerGroup`.
    """

    def __init__(self, folder, dataset, undisturbed, record_property, **group):
        self.folder, self.dataset, self.undisturbed = folder, dataset, undisturbed
        self._record_property = record_property
        self.set_checkpoints(folder / "runs")
        self._group, self._groups = group, []
        self._fault_time, self._end_seconds, self._lost = None, [], None

    @property
    def workers(self) -> WorkerGroup:
        """The group that was started last."""
        return self._groups[-1]

    def set_checkpoints(self, checkpoints):
        """Sets the folder of `--checkpoints`."""
        self.checkpoints, self.run = checkpoints, Run(checkpoints / "tiny")

    def start(self, *indices, options=(), **changes):
        """Starts both workers, or some."""
        arguments = tiny.arguments(self.dataset, self.checkpoints, **{**FLAGS, **changes})
        self._groups.append(WorkerGroup(self.folder, arguments, **self._group))
        self.workers.start(*indices, options=options)
        return self

    def start_trained(self):
        """Starts both, and waits until they are in the middle of the training."""
        self.start().workers.wait_for_records(self.run, RECORDS)
        return self

    def fault(self, function, *arguments):
        """Calls function(*arguments), which causes the fault, and records the time."""
        self._fault_time = time.time()
        function(*arguments)
        return self

    def wait_for_injected_end(self, index, code):
        """Waits for the end of a worker with `--fault`, and reads the time of the fault."""
        assert self.workers.processes[index].wait(END_SECONDS * 2) == code, self.workers.output(index)[-1500:]
        self._fault_time = float(re.search(FAULT_LINE + r"([\d.]+)", self.workers.output(index))[1])
        return self

    def wait_for_injection(self, index):
        """Waits until a worker with `--fault` has reached it."""
        deadline = time.monotonic() + START_SECONDS
        while FAULT_LINE not in self.workers.output(index):
            if time.monotonic() > deadline or self.workers.processes[index].poll() is not None:
                raise RuntimeError(f"the fault did not come: {self.workers.output(index)[-1500:]}")
            time.sleep(0.05)
        return self

    def ends(self, codes, text):
        """Checks that the survivors end in time, and that one of them prints a line with `text`.

        Args:
            codes: {index: exit code}.
        """
        for index, code in codes.items():
            process, output = self.workers.processes[index], self.workers.output
            left = self._fault_time + END_SECONDS - time.time()
            assert process.wait(max(0.1, left)) == code, output(index)[-1500:]
            self._end_seconds.append(time.time() - self._fault_time)
            assert "Traceback" not in output(index), output(index)[-3000:]
        lines = [line for index in codes for line in self.workers.output(index).splitlines() if text in line]
        assert lines, [self.workers.output(index)[-1500:] for index in codes]
        return self

    def continues(self, text="continuing"):
        """Starts both again; checks that they end as the undisturbed run, and how much work was lost."""
        trained = self.run.trained_images()
        saved = {seen: prefix.with_suffix(".index").stat().st_mtime for seen, prefix in self.run.checkpoints()}
        self.workers.end()
        self.start().trains_to_the_end()
        output = self.workers.output(0)
        assert text in output, output[-3000:]
        seen = int(re.search(r"continuing .* from (\d+) images", output)[1])
        seconds = max(0.0, self._fault_time - saved[seen])
        assert seconds <= 60 * CHECKPOINT_MINUTES + LATE_SECONDS, f"{seconds} s are lost"
        self._lost = f"{trained - seen} images, {seconds:.1f} s" if trained > seen else "none"
        return self

    def trains_to_the_end(self):
        """Checks that both end with 0, and that the run is equal to the undisturbed one."""
        assert self.workers.wait() == [TRAINED, TRAINED], self.workers.output(0)[-3000:]
        assert_same_run(self.run, self.undisturbed)
        return self

    def add_row(self, fault, outcome):
        """Adds the row of `fault` to the test's report."""
        slowest = f"{max(self._end_seconds):.0f} s" if self._end_seconds else "-"
        self._record_property(PROPERTY, list(Row(fault, outcome, self._lost or "-", slowest, "yes")))

    def end(self):
        """Kills all processes."""
        for group in self._groups:
            group.end()


def assert_same_run(run, undisturbed):
    """State, records, best weights and images of both runs are equal bit for bit."""
    tiny.assert_same_state(run, undisturbed, IMAGES)
    assert tiny.records(run, "train", "epoch") == tiny.records(undisturbed, "train", "epoch")
    assert run.best_meta() == undisturbed.best_meta()
    events = tiny.events(run)
    assert len(events) == len(set(events)), "TensorBoard has a value twice"
    assert set(tiny.events(undisturbed)) <= set(events)  # a run that was continued has more sample grids
    for path in undisturbed.samples.glob("samples-*.png"):
        assert path.read_bytes() == (run.samples / path.name).read_bytes(), path.name
