"""Damaged, changed, finished and interrupted runs continue from the newest complete checkpoint, or are refused."""

import errno
import os
import resource
import shutil
import signal
import types
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.config.settings import TrainConfig
from gan_tf.errors import USAGE_ERROR, UsageError
from gan_tf.runs import files
from gan_tf.runs.checkpoints import write_variables
from gan_tf.runs.folder import Run
from gan_tf.training import schedule
from gan_tf.training.schedule import Timer
from gan_tf.training.selection import reason_to_end
from gan_tf.training.state import restore_checkpoint, restore_newest
from tests.training import tiny

REFUSED = 2


@pytest.fixture(scope="module")
def whole(dataset, tmp_path_factory):
    """A run of 80 images without a stop."""
    return tiny.trained(dataset, tmp_path_factory.mktemp("whole"))


@pytest.fixture
def stopped(whole, tmp_path):
    """A copy of `whole`, with checkpoints at 0, 40 and 80 images."""
    run = Run(shutil.copytree(whole.folder, tmp_path / "tiny"))
    assert [seen for seen, _ in run.checkpoints()] == [80, 40, 0]
    return run


@pytest.fixture(scope="module")
def state():
    """TrainState of another process that continues the run."""
    return tiny.make_trainer().state


def arrays_of(state):
    return {name: variable.numpy() for name, variable in state.named_variables().items()}


def checkpoint_file(run, seen, suffix):
    [path] = run.state.glob(f"{run.checkpoint_prefix(seen).name}.{suffix}*")
    return path


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_byte(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(data)


DAMAGES = [
    *((truncate, "index"), (truncate, "data"), (flip_byte, "data")),
    *((lambda path: path.write_bytes(b""), "index"), (Path.unlink, "data"), (Path.unlink, "index")),
]


@pytest.mark.parametrize(("damage", "suffix"), DAMAGES)
def test_damaged_checkpoint_is_skipped_and_a_run_without_a_complete_one_refused(damage, suffix, stopped, whole, state):
    damage(checkpoint_file(stopped, 80, suffix))
    lines = []
    assert restore_newest(state, stopped, lines.append) == 40
    tiny.assert_equal(arrays_of(state), {k: v for k, v in tiny.weights(whole, 40).items() if k != "format"})
    has_index = (damage, suffix) != (Path.unlink, "index")  # without an index it is not a checkpoint
    assert ["ckpt-000000000080" in line for line in lines] == [True] * has_index
    for seen in (0, 40):
        damage(checkpoint_file(stopped, seen, suffix))
    with pytest.raises(UsageError, match="--run NAME"):
        restore_newest(state, stopped, lambda line: None)


def test_run_continues_after_damage_to_checkpoint_records_and_events(dataset, tmp_path, monkeypatch, capsys):
    """best/ is then an epoch ahead of the checkpoint: the same score, measured again, does not count as stale."""
    tiny.set_scores(monkeypatch, [2.0, 1.0, 1.0])
    whole = tiny.trained(dataset, tmp_path / "whole")
    stopped = Run(shutil.copytree(whole.folder, tmp_path / "tiny"))
    assert stopped.best_meta()["images_seen"] == 80
    truncate(checkpoint_file(stopped, 80, "data"))
    with open(stopped.stats, "a") as file:
        file.write('{"images_seen": 84, "kind": "tra')
    newest = max(stopped.folder.glob("events.*"), key=lambda path: path.stat().st_size)
    newest.write_bytes(newest.read_bytes()[:-7])
    run = tiny.trained(dataset, stopped.folder.parent)
    assert "from 40 images" in capsys.readouterr().out
    tiny.assert_same_run(run, whole, 80)
    assert set(tiny.events(run)) == set(tiny.events(whole))


def test_damaged_best_weights_are_set_aside(stopped, dataset, capsys):
    stopped.best.write_bytes(b"damaged")
    run = tiny.trained(dataset, stopped.folder.parent, total_kimg=0.084)
    assert "it is now generator.damaged" in capsys.readouterr().out
    assert run.best.with_suffix(".damaged").read_bytes() == b"damaged" and run.best_meta()["images_seen"] == 84


def test_best_weights_without_permission_are_not_set_aside(stopped, dataset, monkeypatch, capsys):
    def read_array(archive, *arguments):
        if Path(archive.filename) == stopped.best:
            raise PermissionError(errno.EACCES, "Permission denied")
        return original(archive, *arguments)

    original = files.read_array
    monkeypatch.setattr(files, "read_array", read_array)
    assert tiny.train(dataset, stopped.folder.parent, total_kimg=0.084)[0] == USAGE_ERROR
    assert "generator.npz cannot be read (Permission denied)" in capsys.readouterr().err
    assert stopped.best.exists() and not stopped.best.with_suffix(".damaged").exists()


@pytest.mark.parametrize(
    ("kimg", "patience", "stale", "parts"),
    [
        (0.08, None, 0, ["--total-kimg is 0.08; --total-kimg above 0.08 continues"]),
        (0.04, None, 0, ["--total-kimg is 0.04, and 0.08 kimg are trained already; --total-kimg above 0.08"]),
        (0.12, 2, 3, ["--patience is 2, and the best score is 3 scores old; --patience above 3"]),
        (0.08, 2, 3, ["--total-kimg is 0.08; --patience is 2", "--total-kimg above 0.08 and --patience above 3"]),
        (0.12, 2, 1, None),
        (0.12, None, 3, None),
    ],
)
def test_the_end_of_a_run_names_all_reasons_and_what_continues_it(kimg, patience, stale, parts, state):
    config = TrainConfig(**{**tiny.FLAGS["fastgan"], "total_kimg": kimg, "patience": patience})
    state.stale_epochs.assign(stale)
    stages = schedule.single_stage(config)
    trainer = types.SimpleNamespace(config=config, state=state, stage_before=lambda seen: stages[0])
    end = reason_to_end(trainer, 80)
    assert end is None if parts is None else all(part in end for part in parts), end


def test_finished_run_is_not_trained_again(stopped, dataset, capsys):
    before = stopped.stats.read_text()
    for dry_run in (True, None):
        run = tiny.trained(dataset, stopped.folder.parent, dry_run=dry_run)
        out = capsys.readouterr().out
        assert "nothing to train after 80 images: --total-kimg is 0.08" in out and "time:" not in out
        assert run.stats.read_text() == before
    tags = tiny.events(run)
    assert len(tags) == len(set(tags))


def damage_all(run, monkeypatch):
    for seen in (0, 40, 80):
        truncate(checkpoint_file(run, seen, "data"))


def hold(run, monkeypatch):
    run.create()


def convert(run, monkeypatch):
    config, data = run.read_settings()
    run.write_settings(config, {**data, "converted_from": "all_50000.pth"})


def forbid_writing(run, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere


def fill_disk(run, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: types.SimpleNamespace(free=1000))


@pytest.mark.parametrize(
    ("situation", "changes", "images_seed", "is_early", "parts"),
    [
        (None, {"limit": 3}, 0, True, ["--limit is 3 and was None", "--limit None", "--run NAME"]),
        (None, {"seed": 1, "ngf": 16}, 0, True, ["--ngf 8", "--seed 0", "--run NAME"]),
        (convert, {}, 0, True, ["all_50000.pth", "--init-from"]),
        (hold, {}, 0, True, ["--run", "another process"]),
        (forbid_writing, {}, 0, True, ["--checkpoints"]),
        (None, {}, 1, False, ["--dataset", "--run NAME"]),
        (damage_all, {}, 0, False, ["state", "--run NAME"]),
        (fill_disk, {}, 0, False, ["a checkpoint needs", "--checkpoints"]),
    ],
)
def test_refused_run_stays_as_it_is(
    situation, changes, images_seed, is_early, parts, stopped, tmp_path, capsys, monkeypatch
):
    """Also by --dry-run, in the same words, and before the images are read if they do not matter."""
    if situation:
        situation(stopped, monkeypatch)
    before, lines = {path: path.read_bytes() for path in stopped.folder.rglob("*") if path.is_file()}, []
    for dry_run in (True, None):
        dataset = tiny.images_file(tmp_path, images_seed)
        code, _ = tiny.train(dataset, stopped.folder.parent, dry_run=dry_run, **changes)
        out, err = capsys.readouterr()
        assert code == REFUSED and ("12 images" in out) != is_early
        lines += err.splitlines()
        assert {path: path.read_bytes() for path in stopped.folder.rglob("*") if path.is_file()} == before
    stopped.close()
    line, again = lines
    assert line == again and all(part in line for part in parts), line


def test_moved_data_is_accepted_and_other_settings_may_change(stopped, dataset, tmp_path, capsys):
    moved = shutil.copy(dataset, tmp_path / "images.npz")
    run = tiny.trained(moved, stopped.folder.parent, total_kimg=0.084, patience=9, precision="bfloat16")
    [change] = tiny.records(run, "change")
    assert change["images_seen"] == 80
    assert change["changes"] == [
        f"--dataset: {dataset} -> {moved}",
        "--total-kimg: 0.08 -> 0.084",
        "--patience: None -> 9",
        "--precision: float32 -> bfloat16",
    ]
    assert "--patience: None -> 9" in capsys.readouterr().out
    assert run.read_settings()[0].patience == 9


def test_other_checkpoint_format_is_refused(stopped, state, monkeypatch):
    monkeypatch.setattr("gan_tf.training.state.FORMAT", 3)
    with pytest.raises(UsageError, match="format 2.*environment.json"):
        restore_newest(state, stopped, lambda line: None)


@pytest.mark.parametrize("changes", [{"other": 0}, {"attempt": [0, 0]}, {"images_seen": 4}], ids=str)
def test_checkpoint_that_does_not_fit_leaves_the_state_unchanged(changes, state, tmp_path):
    """One of version 0.1.0, which has no statistics."""
    state.images_seen.assign(40)
    for variable in state.statistics.values():
        variable.assign([1.0, 2.0])
    before = arrays_of(state)
    stored = {name: value + 1 for name, value in before.items() if not name.startswith("statistics/")}
    stored |= {"images_seen": np.int64(0), "format": 1, "tally": np.zeros(9), **changes}
    write_variables(tmp_path / "ckpt", {name: tf.Variable(value) for name, value in stored.items()})
    with pytest.raises(ValueError):
        restore_checkpoint(state, 0, tmp_path / "ckpt")
    tiny.assert_equal(arrays_of(state), before)


def test_unwritable_folder_is_refused(dataset, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    assert tiny.train(dataset, tmp_path / "file")[0] == REFUSED
    [line] = capsys.readouterr().err.splitlines()
    assert "--checkpoints" in line


def at_every_step(action):
    """A family that calls action(images seen) in each training step."""

    def train_step(state, reals, labels, draws, variant):
        with tf.control_dependencies([tf.py_function(lambda seen: action(int(seen)), [draws.images_seen], [])]):
            reals = tf.identity(reals)
        return tiny.fastgan.train_step(state, reals, labels, draws, variant)

    return tiny.family(train_step)


def at_step(step, action):
    """A family that calls `action` in training step `step`."""
    return at_every_step(lambda seen: action() if seen == 4 * step else None)


def test_checkpoint_minutes(dataset, tmp_path, monkeypatch):
    """By a clock with which a step takes a second: every three seconds, at the end of each epoch, at the first grid."""
    now = [0.0]
    monkeypatch.setattr(schedule, "EARLY_GRIDS", (5, 7, 9))
    monkeypatch.setattr(schedule, "time", types.SimpleNamespace(monotonic=lambda: now[0]))

    def tick(seen):
        now[0] += 1.0

    run = tiny.trained(dataset, tmp_path, at_every_step(tick), checkpoint_minutes=0.05)
    assert [seen for seen, _ in run.checkpoints()] == [80, 76, 64, 52, 40, 32, 20, 12, 0]
    assert [seen for seen, _ in run.grids()] == [20, 28, 36, 40, 80]


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, *(pytest.param(n, marks=pytest.mark.slow) for n in (signal.SIGINT, signal.SIGHUP))]
)
def test_signal_saves_the_run_which_then_continues(number, dataset, whole, tmp_path, capsys):
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    code, run = tiny.train(dataset, tmp_path, at_step(12, lambda: signal.raise_signal(number)))
    assert code == 42
    assert number.name in capsys.readouterr().out
    assert run.checkpoints()[0][0] == 52  # the step was finished
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
    run = tiny.trained(dataset, tmp_path)
    tiny.assert_same_run(run, whole, 80)


def test_full_disk_ends_in_one_line_and_the_run_continues(dataset, whole, tmp_path, capfd):
    """A limit on the size of files simulates a full disk: half of the next checkpoint can be written."""
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill():
        size = checkpoint_file(Run(tmp_path / "tiny"), 40, "data").stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, before[1]))

    try:
        code, run = tiny.train(dataset, tmp_path, at_step(17, fill))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert code == REFUSED
    line = capfd.readouterr().err.splitlines()[-1]
    assert all(part in line for part in ("gan-tf: error:", "ckpt-000000000080", "disk", "continues from 40 images")), (
        line
    )
    assert [seen for seen, _ in run.checkpoints()] == [40, 0]
    assert not [path for path in run.state.iterdir() if path.is_dir()]
    run = tiny.trained(dataset, tmp_path)
    assert "from 40 images" in capfd.readouterr().out
    tiny.assert_same_state(run, whole, 80)
    assert tiny.records(run) == tiny.records(whole)


@pytest.mark.parametrize(("number", "code"), [(errno.EACCES, REFUSED), (errno.ESTALE, 1)])
def test_disk_error_ends_in_one_line(number, code, dataset, tmp_path, capfd, monkeypatch):
    def fail(*arguments, **options):
        raise OSError(number, os.strerror(number), "stats.jsonl")

    monkeypatch.setattr(Run, "create", fail)
    assert tiny.train(dataset, tmp_path)[0] == code
    line = capfd.readouterr().err.splitlines()[-1]
    assert line.startswith("gan-tf: error:") and "stats.jsonl" in line and os.strerror(number) in line


def test_time_limit_scores_saves_and_continues(dataset, whole, tmp_path, capsys, monkeypatch):
    answers = iter([False, False, True])
    with monkeypatch.context() as patch:
        patch.setattr(Timer, "is_up", lambda timer: next(answers))
        run = tiny.trained(dataset, tmp_path, max_minutes=1.0)
    assert "finished after 12 images: --max-minutes 1 are over; the same command" in capsys.readouterr().out
    assert run.checkpoints()[0][0] == tiny.records(run, "epoch")[-1]["images_seen"] == 12
    run = tiny.trained(dataset, tmp_path)
    tiny.assert_same_state(run, whole, 80, but=tiny.SCORED)  # it has one more score


def test_patience_stops_the_run_also_at_the_next_start(dataset, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("gan_tf.metrics.score.Score.better_than", lambda score, value: False)
    flags = {"total_kimg": 0.4, "epoch_images": 12, "patience": 2}
    for start in ("finished", "nothing to train"):
        run = tiny.trained(dataset, tmp_path, **flags)
        assert run.checkpoints()[0][0] == 36
        assert f"{start} after 36 images: --patience is 2" in capsys.readouterr().out
