"""Kills within a write, disks that refuse, checkpoints that were damaged, and a clock that jumps."""

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.faults.scene import CHIEF, LOST, REFUSED, SAVED, WORKER
from tests.training.workers import END_SECONDS

pytestmark = pytest.mark.slow

NOBODY = 65534  # a uid without rights


@pytest.mark.parametrize(
    "fault, code, name",
    [
        ("killed_while_writing_a_checkpoint", -signal.SIGXFSZ, "the chief is killed while it writes a checkpoint"),
        ("killed_while_removing_checkpoints", -signal.SIGKILL, "the chief is killed while it removes old checkpoints"),
        ("killed_while_writing_best", -signal.SIGXFSZ, "the chief is killed while it writes the best weights"),
    ],
)
def test_killed_within_a_write(fault, code, name, scene):
    scene.start(CHIEF, options=["--fault", fault])
    scene.workers.start(WORKER)
    scene.struck_itself(CHIEF, code).ends({WORKER: LOST}, "start all workers again").goes_on()
    left = [path.name for path in scene.run.folder.rglob("*") if "_temp" in path.name or path.suffix == ".part"]
    assert not left, "what was half written is swept away"
    scene.tell(name, "the other ends with 43")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own, of a few megabytes."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", place], capture_output=True, text=True)
    if mount.returncode:
        pytest.skip(f"mounting a small file system is not allowed here: {mount.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def fill(place):
    """Writes until nothing more fits."""
    with open(place / "fill", "wb") as file:
        try:
            while True:
                file.write(bytes(1 << 16))
                file.flush()
        except OSError:
            return


def test_full_disk(make_scene, tmp_path, small_disk):
    scene = make_scene(tmp_path)
    scene.move_run_to(small_disk)
    scene.start_trained().strike(fill, small_disk)
    scene.ends({CHIEF: REFUSED, WORKER: LOST}, "free some disk space and start again")
    (small_disk / "fill").unlink()
    scene.goes_on().tell("the disk is full", "the chief ends with 2 and says so, the other with 43")


@pytest.fixture
def another_user(dataset):
    """(folder that only user NOBODY may write, arguments of a scene whose workers run as that user).

    Root is never refused. The user may read all, so that it finds Python and this project wherever they lie.
    """
    folder = Path(tempfile.mkdtemp(dir="/tmp", prefix="gan-tf-faults-"))
    as_nobody = {"prefix": []}
    if os.geteuid() == 0:
        words = ["--clear-groups", "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
        as_nobody["prefix"] = ["setpriv", f"--reuid={NOBODY}", *words]
        if subprocess.run([*as_nobody["prefix"], "true"], capture_output=True).returncode:
            shutil.rmtree(folder)
            pytest.skip("setpriv cannot start a process as another user that may read all")
        os.chown(folder, NOBODY, -1)
    variables = {"GAN_TF_CACHE": str(folder / "cache"), "HOME": str(folder)}
    yield folder, {**as_nobody, "variables": variables}
    shutil.rmtree(folder)


def test_folder_that_cannot_be_written(make_scene, tmp_path, another_user):
    folder, group = another_user
    scene = make_scene(tmp_path, **group)
    scene.move_run_to(folder / "locked")
    scene.checkpoints.mkdir(mode=0o555)
    scene.strike(scene.start)
    scene.ends({CHIEF: REFUSED, WORKER: REFUSED}, "--checkpoints: cannot write the run folder")
    own(scene.checkpoints)
    scene.start().trains_to_the_end()
    scene.tell("the run folder cannot be written", "both end with 2 and say so")


def test_folder_that_becomes_read_only(make_scene, tmp_path, another_user):
    folder, group = another_user
    scene = make_scene(tmp_path, **group)
    scene.move_run_to(folder / "runs")
    scene.start_trained().strike(set_modes, scene.run.folder, 0o555)
    scene.ends({CHIEF: REFUSED, WORKER: LOST}, "check that it can be read and written")
    set_modes(scene.run.folder, 0o755)
    scene.goes_on().tell("the run folder becomes read-only", "the chief ends with 2 and says so, the other with 43")


def own(folder):
    folder.chmod(0o755)
    if os.geteuid() == 0:
        os.chown(folder, NOBODY, -1)


def set_modes(folder, mode):
    """Of a folder and those in it."""
    for path in [folder, *(path for path in folder.rglob("*") if path.is_dir())]:
        path.chmod(mode)


@pytest.fixture
def stopped(scene):
    """A scene whose workers have been stopped by SIGTERM in the middle."""
    scene.start_trained().strike(scene.workers.send, CHIEF, signal.SIGTERM)
    assert scene.workers.wait(END_SECONDS) == [SAVED, SAVED]
    return scene


def newest(run):
    """(index file, data file) of the newest checkpoint."""
    _, prefix = run.checkpoints()[0]
    [data] = run.state.glob(f"{prefix.name}.data-*")
    return prefix.with_suffix(".index"), data


def cut_short(run):
    _, data = newest(run)
    os.truncate(data, data.stat().st_size // 2)


def flip_bit(run):
    _, data = newest(run)
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)


def delete(run):
    for path in newest(run):
        path.unlink()


@pytest.mark.parametrize(
    "damage, says, name",
    [
        (cut_short, "is damaged", "the newest checkpoint is cut short"),
        (flip_bit, "is damaged", "one bit of the newest checkpoint is flipped"),
        (delete, "continuing", "the newest checkpoint is deleted"),
    ],
)
def test_newest_checkpoint_is_damaged(damage, says, name, stopped):
    damage(stopped.run)
    stopped.goes_on(says).tell(name, "the next start continues from the one before it")


def test_all_checkpoints_are_damaged(stopped, tmp_path):
    """Nothing is begun again: with its state back from a backup, the run goes on."""
    shutil.copytree(stopped.run.state, tmp_path / "backup")
    records = stopped.run.stats.read_bytes()
    for path in stopped.run.state.glob("ckpt-*"):
        os.truncate(path, 100)
    stopped.strike(stopped.start)
    stopped.ends({CHIEF: REFUSED, WORKER: LOST}, "restore it from a backup, or give --run NAME")
    assert stopped.run.stats.read_bytes() == records
    shutil.copytree(tmp_path / "backup", stopped.run.state, dirs_exist_ok=True)
    stopped.goes_on()
    stopped.tell(
        "all checkpoints are damaged, and then restored",
        "the chief ends with 2 and says so, the other with 43; nothing is begun again",
    )


def test_clock_that_jumps_back(scene):
    scene.start(CHIEF, options=["--fault", "clock_back"])
    scene.workers.start(WORKER)
    scene.trains_to_the_end()
    assert "struck at" in scene.workers.said(CHIEF)
    assert len(scene.run.checkpoints()) == 2
    scene.tell("the chief's clock jumps back an hour", "nothing")
