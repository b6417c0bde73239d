"""Where images go, and that a job which was interrupted anywhere ends with the same bytes."""

import json
import re
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from gan_tf.errors import UsageError
from gan_tf.io.image_files import read_png
from gan_tf.sampling.store import JOURNAL, RAW, Store, check_out

ROOT = Path(__file__).resolve().parents[2]
SEEDS = [*range(20, 29), 1_000_000]  # 10 images in batches of 4
SIZE = 8
JOB = {"weights": "a"}
OUTS = ["pictures", "pictures.zip", "pictures.npz"]


class Stopped(Exception):
    """What ends a process in these tests."""


def image(seed):
    return np.random.default_rng(seed).integers(0, 256, (SIZE, SIZE, 3), np.uint8)


def work(out, seeds=SEEDS, job=JOB, stop_after=None, about=None):
    """Does a job as `gan-tf generate` does, up to so many batches; returns how many images were there before."""
    with Store(out, seeds, 4, SIZE, job, about) as store:
        before = store.before
        for number, batch in enumerate(store.lacking):
            if number == stop_after:
                raise Stopped
            store.write(batch, np.stack([image(seed) for seed in batch]))
        for i, seed in enumerate(seeds):
            np.testing.assert_array_equal(store.image(i), image(seed))
        store.finish()
    return before


def content(out):
    """{name: bytes} of all that a job left."""
    if out.is_dir():
        return {path.name: path.read_bytes() for path in out.iterdir()}
    assert not out.with_name(out.name + ".unfinished").exists()
    return {out.name: out.read_bytes()}


def journal(out):
    return (out if out.suffix == "" else out.with_name(out.name + ".unfinished")) / JOURNAL


@pytest.mark.parametrize("name", OUTS)
@pytest.mark.parametrize("stop_after", [0, 1, 2])
def test_a_stopped_job_goes_on_to_the_same_bytes(tmp_path, name, stop_after):
    wanted, out = tmp_path / "whole" / name, tmp_path / "stopped" / name
    assert work(wanted) == 0
    with pytest.raises(Stopped):
        work(out, stop_after=stop_after)
    assert name == "pictures" or not out.exists()
    assert work(out) == 4 * stop_after
    assert content(out) == content(wanted)


@pytest.mark.parametrize("name", OUTS)
def test_what_a_kill_can_leave_is_mended(tmp_path, name):
    """A batch that is on the disk without its line, a line that was cut short, half a row, half a picture."""
    work(tmp_path / "whole" / name)
    out = tmp_path / "stopped" / name
    with pytest.raises(Stopped):
        work(out, stop_after=2)
    lines = journal(out).read_bytes().split(b"\n")
    journal(out).write_bytes(b"\n".join([lines[0], b"1", b"2"]))  # no end of the line: not sure that it is a 2
    if name.endswith(".npz"):
        with open(journal(out).parent / RAW, "ab") as raw:
            raw.write(b"half")
    else:
        (journal(out).parent / "seed-000024.png.0a1b2c3d.part").write_bytes(b"half")
    assert work(out) == 4
    assert content(out) == content(tmp_path / "whole" / name)


def test_a_picture_that_was_removed_is_made_again(tmp_path):
    work(tmp_path / "whole")
    with pytest.raises(Stopped):
        work(tmp_path / "out", stop_after=2)
    (tmp_path / "out" / "seed-000021.png").unlink()
    assert work(tmp_path / "out") == 4
    assert content(tmp_path / "out") == content(tmp_path / "whole")


@pytest.mark.parametrize("name", OUTS)
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"job": {"weights": "b"}}, "other is: the weights (--which, or the run has gone on); finish it with"),
        ({"seeds": SEEDS[:-1]}, "other is: the seeds (--seeds, --count); finish"),
        ({"seeds": SEEDS[:-1], "job": {"weights": "a", "truncation": 1}}, "--count), --truncation; finish"),
        ({"about": {20: "best"}}, "other is: what was chosen (--best); finish"),
    ],
)
def test_an_unfinished_job_of_other_settings_is_kept(tmp_path, name, change, words):
    """Nothing of it is lost: the old command still goes on."""
    out = tmp_path / name
    with pytest.raises(Stopped):
        work(out, stop_after=2)
    with pytest.raises(UsageError, match=re.escape(words)) as error:
        work(out, **change)
    folder = out if name == "pictures" else out.with_name(out.name + ".unfinished")
    assert f"or delete {folder}" in str(error.value) and "\n" not in str(error.value)
    assert work(out) == 8


def test_a_journal_that_is_none_is_refused(tmp_path):
    (tmp_path / JOURNAL).write_text("my own list\n")
    with pytest.raises(UsageError, match=f"{JOURNAL} is damaged"):
        work(tmp_path)
    assert (tmp_path / JOURNAL).read_text() == "my own list\n"


def test_a_journal_that_was_cut_short_in_its_first_line_begins_anew(tmp_path):
    (tmp_path / JOURNAL).write_text('{"format": 1, "se')
    assert work(tmp_path) == 0 and len(content(tmp_path)) == 10


def test_pictures_of_other_seeds_are_named_and_stay(tmp_path):
    for name in ("seed-000001.png", "seed-123456789.png", "seed-5.png", "seed-000020.png"):
        (tmp_path / name).write_text("mine")
    with Store(tmp_path, SEEDS, 4, SIZE, JOB) as store:
        assert store.foreign == ["seed-000001.png", "seed-123456789.png"]
    assert (tmp_path / "seed-000001.png").read_text() == "mine"


KILLED = """
import os, pathlib, signal, sys
from tests.sampling import test_store
moment, number = sys.argv[2], int(sys.argv[3])
module, name = os if moment == "replace" else pathlib.Path, moment
call, calls = getattr(module, name), []

def killing(*arguments, **options):
    calls.append(arguments)
    if len(calls) == number:
        os.kill(os.getpid(), signal.SIGKILL)
    return call(*arguments, **options)

def finish(self):
    setattr(module, name, killing)
    finished(self)

finished, test_store.Store.finish = test_store.Store.finish, finish
test_store.work(pathlib.Path(sys.argv[1]))
"""


@pytest.mark.parametrize(
    ("name", "moment", "number"),
    [
        ("pictures.zip", "replace", 1),  # packed, and not yet called so
        ("pictures.npz", "replace", 1),
        ("pictures.zip", "unlink", 2),  # the archive is there, and what it was made of
        ("pictures.zip", "unlink", 5),  # some of it is removed
        ("pictures.npz", "unlink", 2),
        ("pictures.zip", "rmdir", 1),  # only an empty folder is left
        ("pictures", "unlink", 1),  # all pictures are there, and the journal
    ],
)
def test_a_kill_in_the_last_steps_leaves_nothing_for_ever(tmp_path, name, moment, number):
    work(tmp_path / "whole" / name)
    out = tmp_path / "killed" / name
    code = subprocess.run([sys.executable, "-c", KILLED, str(out), moment, str(number)], cwd=ROOT).returncode
    assert code == -signal.SIGKILL
    if moment == "replace":
        assert len(list(out.parent.glob("*.part"))) == 1
    if moment != "rmdir":
        assert journal(out).exists()
    work(out)
    assert content(out) == content(tmp_path / "whole" / name)
    assert [path.name for path in out.parent.iterdir()] == [name]


def test_a_finished_job_is_done_anew(tmp_path):
    work(tmp_path / "out")
    (tmp_path / "out" / "seed-000020.png").write_bytes(b"something else")
    assert work(tmp_path / "out") == 0


def test_other_files_in_the_folder_stay(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    work(tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "mine"
    assert len(content(tmp_path)) == 11


def test_a_second_process_is_refused(tmp_path):
    with Store(tmp_path, SEEDS, 4, SIZE, JOB), pytest.raises(UsageError, match="another process writes there"):
        work(tmp_path)


def test_zip_holds_the_pictures(tmp_path):
    work(tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [f"seed-{seed:06d}.png" for seed in SEEDS]
        archive.extract("seed-000025.png", tmp_path)
    np.testing.assert_array_equal(read_png(tmp_path / "seed-000025.png"), image(25))


def test_npz_holds_images_and_seeds(tmp_path):
    work(tmp_path / "a.npz", about={seed: f"rank of {seed}" for seed in SEEDS})
    with np.load(tmp_path / "a.npz") as arrays:
        assert arrays["images"].dtype == np.uint8 and arrays["images"].shape == (10, SIZE, SIZE, 3)
        np.testing.assert_array_equal(arrays["images"], np.stack([image(seed) for seed in SEEDS]))
        assert arrays["seeds"].tolist() == SEEDS
        assert arrays["about"][0] == "rank of 20"


def test_both_can_be_a_data_set(tmp_path):
    from gan_tf.data.sources import open_source

    for name in ("a.npz", "a.zip"):
        work(tmp_path / name)
        assert len(open_source(str(tmp_path / name))) == 10


def test_an_unknown_kind_of_file_is_refused(tmp_path):
    with pytest.raises(UsageError, match="do not go into a .tar; give a folder"):
        check_out(tmp_path / "a.tar")
    check_out(tmp_path / "v1.0")  # a folder may be called so
    (tmp_path / "samples.tar").mkdir()
    check_out(tmp_path / "samples.tar")


def test_the_journal_says_what_the_job_is(tmp_path):
    with pytest.raises(Stopped):
        work(tmp_path, stop_after=1)
    first, second, rest = journal(tmp_path).read_text().split("\n")
    assert json.loads(first)["weights"] == "a" and (second, rest) == ("1", "")
