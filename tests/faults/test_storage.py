"""Faults of files: kills during a write, full or read-only disks, damaged checkpoints, and a clock that jumps."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from gan_tf.runs.folder import Run
from tests.distributed.process import WorkerGroup
from tests.faults.scenario import CHIEF, FLAGS, LOST, RECORDS, REFUSED, SAVED, WORKER
from tests.training import tiny

pytestmark = pytest.mark.slow

NOBODY = 65534  # user id without permissions


@pytest.mark.parametrize(
    "fault, code, name",
    [
        ("killed_while_writing_a_checkpoint", -signal.SIGXFSZ, "the chief is killed while it writes a checkpoint"),
        ("killed_while_removing_checkpoints", -signal.SIGKILL, "the chief is killed while it removes old checkpoints"),
        ("killed_while_writing_best", -signal.SIGXFSZ, "the chief is killed while it writes the best weights"),
    ],
)
def test_killed_during_a_write(fault, code, name, scenario):
    scenario.start_with_fault(fault).ends({CHIEF: code, WORKER: LOST}, "start all workers again").continues()
    left = [path.name for path in scenario.run.folder.rglob("*") if "_temp" in path.name or path.suffix == ".part"]
    assert not left, "incomplete files are removed"
    scenario.add_row(name, "the other ends with 43")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 24 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", folder], capture_output=True, text=True)
    if mount.returncode:
        pytest.skip(f"mounting a small file system is not allowed here: {mount.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def fill(path):
    """Writes a file until the disk is full."""
    try:
        with open(path, "wb", buffering=0) as file:
            while True:
                file.write(bytes(1 << 16))
    except OSError:
        return


def test_full_disk(small_disk, scenario):
    scenario.set_checkpoints(small_disk)
    scenario.start_trained().fault(fill, small_disk / "fill")
    scenario.ends({CHIEF: REFUSED, WORKER: LOST}, "free some disk space")
    (small_disk / "fill").unlink()
    scenario.continues().add_row("the disk is full", "the chief ends with 2 and prints that, the other with 43")


@pytest.fixture
def another_user(scenario):
    """A folder that only user 65534 may write; the workers of the scenario run as that user.

    Root may write everywhere. The user may read all files, and so Python and this project.
    """
    folder = Path(tempfile.mkdtemp(dir="/tmp", prefix="gan-tf-faults-"))
    if os.geteuid() == 0:
        capabilities = ["--clear-groups", "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
        prefix = scenario.workers.prefix = ["setpriv", f"--reuid={NOBODY}", *capabilities]
        if subprocess.run([*prefix, "true"], capture_output=True).returncode:
            shutil.rmtree(folder)
            pytest.skip("setpriv cannot start a process as another user that may read all")
        os.chown(folder, NOBODY, -1)
    scenario.workers.variables = {"GAN_TF_CACHE": str(folder / "cache"), "HOME": str(folder)}
    yield folder
    scenario.workers.end()
    shutil.rmtree(folder)


def test_folder_that_cannot_be_written(another_user, scenario):
    scenario.set_checkpoints(another_user / "locked")
    scenario.checkpoints.mkdir(mode=0o555)
    scenario.fault(scenario.start)
    scenario.ends({CHIEF: REFUSED, WORKER: REFUSED}, "--checkpoints: cannot write the run folder").leaves_nothing()
    scenario.add_row("the run folder cannot be written", "both end with 2 and print that")


def test_folder_that_becomes_read_only(another_user, scenario):
    scenario.set_checkpoints(another_user / "runs")
    scenario.start_trained().fault(set_modes, scenario.run.folder, 0o555)
    scenario.ends({CHIEF: REFUSED, WORKER: LOST}, "check that it can be read and written")
    set_modes(scenario.run.folder, 0o755)
    outcome = "the chief ends with 2 and prints that, the other with 43"
    scenario.continues().add_row("the run folder becomes read-only", outcome)


def set_modes(folder, mode):
    """Sets the mode of a folder and of all folders in it."""
    for path in [folder, *(path for path in folder.rglob("*") if path.is_dir())]:
        path.chmod(mode)


@pytest.fixture(scope="module")
def stopped_run(dataset, tmp_path_factory):
    """Returns (Run, time of the signal) of workers that SIGTERM stopped in the middle of the training."""
    folder = tmp_path_factory.mktemp("stopped")
    run = Run(folder / "tiny")
    with WorkerGroup(folder, tiny.arguments(dataset, folder, **FLAGS)) as workers:
        workers.start().wait_for_records(run, RECORDS)
        fault_time = time.time()
        workers.send(CHIEF, signal.SIGTERM)
        workers.ends_with(SAVED)
    return run, fault_time


@pytest.fixture
def stopped(stopped_run, scenario):
    """A scenario that continues a copy of that run."""
    run, scenario.fault_time = stopped_run
    shutil.copytree(run.folder, scenario.run.folder)
    return scenario


def cut_short(index, data):
    os.truncate(data, data.stat().st_size // 2)


def flip_bit(index, data):
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)


def delete(index, data):
    index.unlink()
    data.unlink()


@pytest.mark.parametrize(
    "damage, text, name",
    [
        (cut_short, "is damaged", "the newest checkpoint is cut short"),
        (flip_bit, "is damaged", "one bit of the newest checkpoint is flipped"),
        (delete, "continuing", "the newest checkpoint is deleted"),
    ],
)
def test_newest_checkpoint_is_damaged(damage, text, name, stopped):
    _, prefix = stopped.run.checkpoints()[0]
    [data] = stopped.run.state.glob(f"{prefix.name}.data-*")
    damage(prefix.with_suffix(".index"), data)
    stopped.continues(text).add_row(name, "the next start continues from the one before it")


def test_all_checkpoints_are_damaged(stopped, stopped_run):
    """The run is not started from zero; it continues once its state is restored from a backup."""
    records = stopped.run.stats.read_bytes()
    for path in stopped.run.state.glob("ckpt-*"):
        os.truncate(path, 100)
    stopped.fault(stopped.start)
    stopped.ends({CHIEF: REFUSED, WORKER: LOST}, "restore it from a backup, or give --run NAME")
    assert stopped.run.stats.read_bytes() == records
    run, stopped.fault_time = stopped_run
    shutil.copytree(run.state, stopped.run.state, dirs_exist_ok=True)
    stopped.continues().add_row(
        "all checkpoints are damaged, and then restored",
        "the chief ends with 2 and prints that, the other with 43; training does not restart from zero",
    )


def test_clock_that_jumps_back(scenario):
    scenario.start_with_fault("clock_back").trains_to_the_end()
    assert len(scenario.run.checkpoints()) == 2
    scenario.add_row("the chief's clock jumps back an hour", "nothing")
