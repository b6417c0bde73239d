"""What a damaged, foreign, finished or changed run does: it goes on from what is whole, or it says why not."""

import errno
import json
import os
import resource
import shutil
import signal
import types

import pytest
import tensorflow as tf

from gan_tf.runs.folder import Run
from gan_tf.training import timing
from gan_tf.training.timing import Timer
from tests.training import tiny

REFUSED = 2


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return tiny.images_file(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def whole(dataset, tmp_path_factory):
    """80 images without a stop."""
    code, run = tiny.train(dataset, tmp_path_factory.mktemp("whole"))
    assert code == 0
    return run


@pytest.fixture
def stopped(whole, tmp_path):
    """A copy of the run, which has checkpoints at 0, 40 and 80 images."""
    shutil.copytree(whole.folder, tmp_path / "tiny")
    run = Run(tmp_path / "tiny")
    assert [seen for seen, _ in run.checkpoints()] == [80, 40, 0]
    return run


def files_of(run, seen, suffix):
    [path] = run.state.glob(f"{run.checkpoint_prefix(seen).name}.{suffix}*")
    return path


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def damage_index(run, seen):
    truncate(files_of(run, seen, "index"))


def damage_data(run, seen):
    truncate(files_of(run, seen, "data"))


def empty_index(run, seen):
    files_of(run, seen, "index").write_bytes(b"")


def remove_data(run, seen):
    files_of(run, seen, "data").unlink()


def remove_index(run, seen):
    files_of(run, seen, "index").unlink()


def flip_bytes(run, seen):
    path = files_of(run, seen, "data")
    middle = path.stat().st_size // 2
    data = bytearray(path.read_bytes())
    data[middle : middle + 8] = bytes(255 - byte for byte in data[middle : middle + 8])
    path.write_bytes(data)


DAMAGES = [damage_index, damage_data, empty_index, remove_data, remove_index, flip_bytes]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_checkpoint_gives_way_to_the_one_before(damage, stopped, whole, dataset, capsys):
    damage(stopped, 80)
    code, run = tiny.train(dataset, stopped.folder.parent)
    said = capsys.readouterr().out
    assert code == 0
    assert "from 40 images" in said
    assert damage is remove_index or "ckpt-000000000080 is damaged" in said  # without an index it is not a checkpoint
    tiny.assert_same_state(run, whole, 80)
    assert tiny.records(run) == tiny.records(whole)


def test_damaged_checkpoint_does_not_push_out_a_good_one(stopped, dataset):
    damage_data(stopped, 80)
    code, run = tiny.train(dataset, stopped.folder.parent, total_kimg=0.06, keep=1)
    assert code == 0
    assert [seen for seen, _ in run.checkpoints()] == [60]


@pytest.mark.parametrize("damage", DAMAGES)
def test_run_without_a_whole_checkpoint_is_never_begun_again(damage, stopped, dataset, capsys):
    for seen in (0, 40, 80):
        damage(stopped, seen)
    before = stopped.stats.read_bytes()
    assert tiny.train(dataset, stopped.folder.parent)[0] == REFUSED
    last = capsys.readouterr().err.splitlines()[-1]
    assert "--run NAME" in last and str(stopped.state) in last
    assert stopped.stats.read_bytes() == before


def test_garbage_in_the_state_folder_is_no_checkpoint(stopped, dataset, capsys):
    (stopped.state / "checkpoint").write_bytes(b"")
    (stopped.state / "ckpt-last.index").write_bytes(b"garbage")
    (stopped.state / "ckpt-000000000079.data-00000-of-00001").write_bytes(b"garbage")  # an index was never written
    (stopped.state / "ckpt-000000000078_temp").mkdir()  # what TensorFlow leaves when it is killed while writing
    (stopped.state / "ckpt-000000000078_temp" / "part-00000-of-00001.data-00000-of-00001").write_bytes(b"garbage")
    (stopped.state / "notes.txt").write_text("mine")
    code, run = tiny.train(dataset, stopped.folder.parent, total_kimg=0.1)
    assert code == 0
    assert "from 80 images" in capsys.readouterr().out
    left = {path.name.split(".")[0] for path in run.state.iterdir()}
    assert left == {"checkpoint", "ckpt-last", "notes", *(f"ckpt-{seen:012d}" for seen in (0, 40, 80, 100))}


def test_record_cut_short_is_left_out(stopped, whole, dataset):
    damage_data(stopped, 80)
    with open(stopped.stats, "a") as file:
        file.write('{"images_seen": 84, "kind": "tra')
    code, run = tiny.train(dataset, stopped.folder.parent)
    assert code == 0
    assert tiny.records(run) == tiny.records(whole)


def test_event_file_cut_short_holds_every_value_once(stopped, whole, dataset):
    damage_data(stopped, 80)
    newest = max(stopped.folder.glob("events.*"), key=lambda path: path.stat().st_size)
    newest.write_bytes(newest.read_bytes()[:-7])
    code, run = tiny.train(dataset, stopped.folder.parent)
    found = tiny.events(run)
    assert code == 0
    assert len(found) == len(set(found))
    assert set(found) == set(tiny.events(whole))


def test_finished_run_says_so(stopped, dataset, capsys):
    before = stopped.stats.read_text()
    code, run = tiny.train(dataset, stopped.folder.parent)
    said = capsys.readouterr().out
    assert code == 0
    assert "finished" in said and "--total-kimg" in said
    assert run.stats.read_text() == before
    found = tiny.events(run)
    assert len(found) == len(set(found))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"batch_size": 8}, ["--batch-size is 8 and was 4", "give --batch-size 4 "]),
        ({"loss": "logistic"}, ["--loss is 'logistic' and was 'hinge'", "give --loss hinge "]),
        ({"lr": 0.1}, ["--lr is 0.1 and was 0.0002", "give --lr 0.0002 "]),
        ({"no_mirror": True}, ["--mirror is False and was True", "give --mirror "]),
        ({"limit": 3}, ["--limit is 3 and was None", "give --limit None "]),
        ({"seed": 1, "ngf": 16}, ["--ngf is 16 and was 8", "--seed is 1 and was 0", "give --ngf 8 --seed 0 "]),
    ],
)
def test_changed_identity_is_refused(changes, words, stopped, dataset, capsys):
    before = {path: path.read_bytes() for path in stopped.folder.rglob("*") if path.is_file()}
    assert tiny.train(dataset, stopped.folder.parent, **changes)[0] == REFUSED
    [line] = capsys.readouterr().err.splitlines()
    assert all(word in line for word in [*words, "--run NAME"]), line
    assert {path: path.read_bytes() for path in stopped.folder.rglob("*") if path.is_file()} == before


def test_changed_data_is_refused(stopped, tmp_path, capsys):
    import numpy as np

    other = tmp_path / "images.npz"
    np.savez(other, images=tiny.square_images(11))
    assert tiny.train(other, stopped.folder.parent)[0] == REFUSED
    [line] = capsys.readouterr().err.splitlines()
    assert all(word in line for word in ("--dataset", "12 images", "11", "--run NAME")), line


def test_moved_data_is_accepted_and_run_fields_may_change(stopped, dataset, tmp_path, capsys):
    moved = shutil.copy(dataset, tmp_path / "images.npz")
    code, run = tiny.train(moved, stopped.folder.parent, total_kimg=0.084, patience=9, precision="bfloat16")
    assert code == 0
    [change] = map(json.loads, tiny.records(run, "change"))
    assert change["images_seen"] == 80
    assert change["changes"] == [
        f"--dataset: {dataset} -> {moved}",
        "--total-kimg: 0.08 -> 0.084",
        "--patience: None -> 9",
        "--precision: float32 -> bfloat16",
    ]
    assert "changed --patience: None -> 9" in capsys.readouterr().out
    settings = json.loads((run.folder / "config.json").read_text())["settings"]
    assert settings["patience"] == 9


def edit_settings(run, edit):
    path = run.folder / "config.json"
    stored = json.loads(path.read_text())
    edit(stored)
    path.write_text(json.dumps(stored))


def test_unknown_setting_in_the_run_folder_is_named(stopped, dataset, capsys):
    edit_settings(stopped, lambda stored: stored["settings"].update(patients=3))
    assert tiny.train(dataset, stopped.folder.parent)[0] == REFUSED
    [line] = capsys.readouterr().err.splitlines()
    assert "config.json" in line and "'patients'" in line and "did you mean patience?" in line


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b"[]", b'{"settings": 3, "data": {}}'])
def test_damaged_settings_are_refused(content, stopped, dataset, capsys):
    (stopped.folder / "config.json").write_bytes(content)
    assert tiny.train(dataset, stopped.folder.parent)[0] == REFUSED
    [line] = capsys.readouterr().err.splitlines()
    assert "config.json is damaged" in line and "--run NAME" in line


def test_setting_of_the_wrong_type_is_refused(stopped, dataset, capsys):
    edit_settings(stopped, lambda stored: stored["settings"].update(ngf="wide"))
    assert tiny.train(dataset, stopped.folder.parent)[0] == REFUSED
    [line] = capsys.readouterr().err.splitlines()
    assert "config.json" in line


def test_other_checkpoint_format_is_refused(stopped, dataset, capsys, monkeypatch):
    monkeypatch.setattr("gan_tf.training.state.FORMAT", 3)
    assert tiny.train(dataset, stopped.folder.parent)[0] == REFUSED
    [line] = capsys.readouterr().err.splitlines()
    assert "format 2" in line and "reads 3" in line and "environment.json" in line


def test_second_process_on_a_run_is_refused(stopped, dataset, capsys):
    other = Run(stopped.folder)
    other.create()
    try:
        assert tiny.train(dataset, stopped.folder.parent)[0] == REFUSED
    finally:
        other.close()
    [line] = capsys.readouterr().err.splitlines()
    assert "another process" in line and "--run" in line


def test_unwritable_place_is_refused(dataset, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    assert tiny.train(dataset, tmp_path / "file")[0] == REFUSED
    [line] = capsys.readouterr().err.splitlines()
    assert "--checkpoints" in line and "choose another" in line


def at_every_step(act):
    """A recipe that calls act(images seen) in the middle of each training step."""

    def train_step(state, reals, labels, draws, variant):
        with tf.control_dependencies([tf.py_function(lambda seen: act(int(seen)), [draws.images_seen], [])]):
            reals = tf.identity(reals)
        return tiny.fastgan.train_step(state, reals, labels, draws, variant)

    return tiny.family(train_step)


def at_step(step, act):
    """A recipe that calls `act` once, in the middle of training step `step`."""
    calls = []

    def once(clock):
        if clock == 4 * step and not calls:
            calls.append(step)
            act()

    return at_every_step(once)


def test_checkpoints_come_when_they_are_due(dataset, tmp_path, monkeypatch):
    """By a clock on which a step takes a second: every three seconds, and at the end of an epoch of ten."""
    now = [0.0]
    monkeypatch.setattr(timing, "time", types.SimpleNamespace(monotonic=lambda: now[0]))

    def tick(seen):
        now[0] += 1.0

    code, run = tiny.train(dataset, tmp_path, at_every_step(tick), checkpoint_minutes=0.05)
    assert code == 0
    assert [seen for seen, _ in run.checkpoints()] == [80, 76, 64, 52, 40, 36, 24, 12, 0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_saves_and_the_run_goes_on(number, dataset, whole, tmp_path, capsys):
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    code, run = tiny.train(dataset, tmp_path, at_step(12, lambda: signal.raise_signal(number)))
    said = capsys.readouterr().out
    assert code == 42
    assert number.name in said and "saved" in said and "same command" in said
    assert run.checkpoints()[0][0] == 52  # the step was finished
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
    code, run = tiny.train(dataset, tmp_path)
    assert code == 0
    tiny.assert_same_state(run, whole, 80)
    assert tiny.records(run) == tiny.records(whole)
    found = tiny.events(run)
    assert len(found) == len(set(found))
    assert set(tiny.events(whole)) <= set(found)  # and grids at the moment of the stop


def test_full_disk_ends_in_one_line_and_the_run_goes_on(dataset, whole, tmp_path, capfd, monkeypatch):
    """A limit on the size of files stands in for a full disk: writing past it fails."""
    monkeypatch.setattr(signal, "SIGXFSZ", signal.SIGXFSZ)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill():
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))

    try:
        code, run = tiny.train(dataset, tmp_path, at_step(17, fill))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert code == REFUSED
    line = capfd.readouterr().err.splitlines()[-1]
    assert line.startswith("gan-tf: error:") and "disk" in line
    assert [seen for seen, _ in run.checkpoints()] == [40, 0]
    assert not [path for path in run.state.iterdir() if path.is_dir()]
    code, run = tiny.train(dataset, tmp_path)
    assert code == 0
    assert "from 40 images" in capfd.readouterr().out
    tiny.assert_same_state(run, whole, 80)
    assert tiny.records(run) == tiny.records(whole)


@pytest.mark.parametrize(
    ("number", "code", "words"),
    [
        (errno.EACCES, REFUSED, "check that it can be read and written"),
        (errno.ESTALE, 1, "wait and start again"),
    ],
)
def test_disk_that_refuses_or_fails_ends_in_one_line(number, code, words, dataset, tmp_path, capfd, monkeypatch):
    def refuse(*arguments):
        raise OSError(number, os.strerror(number), "stats.jsonl")

    monkeypatch.setattr(Run, "log", refuse)
    assert tiny.train(dataset, tmp_path)[0] == code
    line = capfd.readouterr().err.splitlines()[-1]
    assert line.startswith(f"gan-tf: error: cannot use stats.jsonl ({os.strerror(number)})") and words in line


def test_time_limit_scores_saves_and_continues(dataset, whole, tmp_path, monkeypatch):
    limit = Timer.is_up
    monkeypatch.setattr(Timer, "is_up", lambda clock: clock.end < float("inf"))
    code, run = tiny.train(dataset, tmp_path, max_minutes=1.0)
    assert code == 0
    assert run.checkpoints()[0][0] == 4  # one step: it stops after a step, never without one
    assert json.loads(tiny.records(run, "epoch")[-1])["images_seen"] == 4
    monkeypatch.setattr(Timer, "is_up", limit)
    code, run = tiny.train(dataset, tmp_path)
    assert code == 0
    tiny.assert_same_state(run, whole, 80, but=["stale_epochs"])  # it has one score more to be better than


def test_time_that_runs_out_after_the_last_look_ends_in_a_checkpoint(dataset, tmp_path, monkeypatch):
    """However the moments fall, what was trained is saved."""
    answers = iter([False, False, True])
    monkeypatch.setattr(Timer, "is_up", lambda clock: next(answers, True))
    code, run = tiny.train(dataset, tmp_path, max_minutes=1.0)
    assert code == 0
    newest = run.checkpoints()[0][0]
    assert newest > 0
    assert newest == json.loads(tiny.records(run)[-1])["images_seen"]


def test_patience_stops_the_run_and_a_second_start_says_so(dataset, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("gan_tf.metrics.score.Score.better_than", lambda score, value: False)
    code, run = tiny.train(dataset, tmp_path, total_kimg=0.4, patience=2)
    assert code == 0
    assert run.checkpoints()[0][0] == 120
    capsys.readouterr()
    assert tiny.train(dataset, tmp_path, total_kimg=0.4, patience=2)[0] == 0
    said = capsys.readouterr().out
    assert "--patience" in said
    assert run.checkpoints()[0][0] == 120


def test_kill_between_best_and_checkpoint_costs_no_patience(stopped, dataset):
    """best/ may be one epoch ahead of the checkpoint: measured again, the same score is the best, not a stale one."""
    assert stopped.best_meta()["images_seen"] == 80
    damage_data(stopped, 80)
    code, run = tiny.train(dataset, stopped.folder.parent)
    assert code == 0
    assert tiny.weights(run, 80)["stale_epochs"] == 0
