"""A run of two workers with one fault, measured for the fault matrix."""

import re
import time
from pathlib import Path

from gan_tf.runs.folder import Run
from tests.distributed.process import LIMIT_SECONDS, WorkerGroup
from tests.faults.injection import FAULT_LINE
from tests.training import tiny

DOCS = (Path(__file__).resolve().parents[2] / "docs" / "distributed.md").read_text()
CHIEF, WORKER = 0, 1
TRAINED, REFUSED, SAVED, LOST = 0, 2, 42, 43  # exit codes
CHECKPOINT_MINUTES = 0.01
IMAGES = 600
FLAGS = {
    "strategy": "multi_worker",
    "deterministic": True,
    "seed": 1,  # every score is better than the one before, so each epoch writes the best weights
    "total_kimg": IMAGES / 1000,  # 150 steps
    "epoch_images": 200,  # 3 scores
    "checkpoint_minutes": CHECKPOINT_MINUTES,
    "keep": None,  # the default
}
RECORDS = 28  # lines of stats.jsonl before a fault: in the second epoch
END_SECONDS = 60  # within which every surviving worker must end after a fault
LATE_SECONDS = 10.0  # a checkpoint that is due may wait for a step, a score and the writing itself


class Scenario:
    """A run of two workers. Methods are chained: start, then fault, ends, continues, and add_row.

    Args:
        folder: of this test.
        dataset: path of the images.
        undisturbed: Run of two workers without a fault.
        record_property: function (name, value) that adds to the test's report.
    """

    def __init__(self, folder, dataset, undisturbed, record_property):
        self.folder, self.dataset, self.undisturbed = folder, dataset, undisturbed
        self._record_property = record_property
        self.set_checkpoints(folder / "runs")
        self.workers = WorkerGroup(folder, [])
        self.fault_time, self._end_seconds, self._lost, self._equal = None, [], None, "yes"

    def set_checkpoints(self, checkpoints):
        """Sets the folder of `--checkpoints`."""
        self.checkpoints, self.run = checkpoints, Run(checkpoints / "tiny")

    def start(self, *indices, options=(), **changes):
        """Starts both workers, or some, with changed settings."""
        flags = {**FLAGS, **changes}
        self.workers.arguments = tiny.arguments(flags.pop("dataset", self.dataset), self.checkpoints, **flags)
        self.workers.start(*indices, options=options)
        return self

    def start_trained(self):
        """Starts both, and waits until they are in the middle of the training."""
        self.start().workers.wait_for_records(self.run, RECORDS)
        return self

    def fault(self, function, *arguments, **options):
        """Calls the function, which causes the fault, and records the time."""
        self.fault_time = time.time()
        function(*arguments, **options)
        return self

    def start_with_fault(self, fault, index=CHIEF, **changes):
        """Starts both, one with `--fault`, and waits until it has reached that."""
        self.start(index, options=["--fault", fault], **changes).start(1 - index, **changes)
        self.wait_for_line(index, FAULT_LINE)
        self.fault_time = float(re.search(FAULT_LINE + r"([\d.]+)", self.workers.output(index))[1])
        return self

    def start_again(self):
        """Kills the remaining workers, and starts both."""
        self.workers.end()
        return self.start()

    def wait_for_line(self, index, text):
        """Waits until a worker has printed a line with `text`."""
        deadline, ended = time.monotonic() + LIMIT_SECONDS, False
        while text not in self.workers.output(index).rpartition("\n")[0]:
            assert not ended and time.monotonic() < deadline, self.workers.output(index)[-1500:]
            ended = self.workers.processes[index].poll() is not None
            time.sleep(0.05)

    def ends(self, codes, text):
        """Checks that workers end in time, and that one of them prints a line with `text`.

        Args:
            codes: {index: exit code}.
        """
        for index, code in codes.items():
            left = self.fault_time + END_SECONDS - time.time()
            assert self.workers.processes[index].wait(max(0.1, left)) == code, self.workers.output(index)[-1500:]
            self._end_seconds.append(time.time() - self.fault_time)
            assert "Traceback" not in self.workers.output(index), self.workers.output(index)[-3000:]
        assert any(text in self.workers.output(index) for index in codes), self.workers.output(CHIEF)[-1500:]
        return self

    def continues(self, text="continuing"):
        """Starts both again; checks that they end as the undisturbed run, and how much work was lost."""
        trained = self.run.trained_images()
        saved = {seen: prefix.with_suffix(".index").stat().st_mtime for seen, prefix in self.run.checkpoints()}
        output = self.start_again().trains_to_the_end().workers.output(CHIEF)
        assert text in output, output[-3000:]
        seen = int(re.search(r"continuing .* from (\d+) images", output)[1])
        seconds = max(0.0, self.fault_time - saved[seen])
        assert seconds <= 60 * CHECKPOINT_MINUTES + LATE_SECONDS, f"{seconds} s are lost"
        self._lost = f"{trained - seen} images, {seconds:.1f} s" if trained > seen else "none"
        return self

    def trains_to_the_end(self):
        """Checks that both end with 0, and that the run is equal to the undisturbed one."""
        self.workers.ends_with(TRAINED)
        tiny.assert_same_run(self.run, self.undisturbed, IMAGES)
        return self

    def leaves_nothing(self):
        """Checks that the workers wrote no file, so that another start is a first start."""
        self._equal = "no file written"
        assert not [path for path in self.checkpoints.rglob("*") if not path.is_dir()]
        return self

    def add_row(self, fault, outcome):
        """Adds a row to the test's report; the documented table must have the same fault and outcome."""
        assert f"| {fault} | {outcome} |" in DOCS
        slowest = f"{max(self._end_seconds):.0f} s" if self._end_seconds else "-"
        self._record_property("fault", [fault, outcome, self._lost or "-", slowest, self._equal])
