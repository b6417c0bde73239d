"""The run folder: records, checkpoints, best weights and settings under faults."""

import errno
import io
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

from gan_tf.config.settings import TrainConfig
from gan_tf.errors import UsageError
from gan_tf.io.files import read_lines
from gan_tf.runs import folder as run_module
from gan_tf.runs.folder import Run, describe_change, refuse_data_change, refuse_identity_change

DATA = {"fingerprint": "f" * 64, "images": 12, "class_names": []}


@pytest.fixture
def run(tmp_path):
    run = Run(tmp_path / "mine")
    run.create()
    yield run
    run.close()


def make_checkpoint(run, seen, parts=("index", "data-00000-of-00001")):
    for part in parts:
        (run.state / f"{run.checkpoint_prefix(seen).name}.{part}").write_text("content")


def test_opening_a_run_creates_nothing(tmp_path):
    run = Run(tmp_path / "mine")
    assert not run.exists() and run.checkpoints() == [] and run.records() == [] and run.best_meta() is None
    assert run.newest_grid() is None and run.trained_images() == 0
    assert list(tmp_path.iterdir()) == []


def test_settings_come_back(run):
    config = TrainConfig(dataset="panda", loss="bce", patience=3)
    run.write_settings(config, DATA)
    assert run.exists()
    assert run.read_settings() == (config, DATA)


def test_no_run_folder_is_said(tmp_path):
    with pytest.raises(UsageError, match="is no run folder"):
        Run(tmp_path).read_settings()


def test_records_leave_out_what_was_cut_short(run):
    run.log(8, "train", {"loss": 1.0})
    run.log(16, "train", {"loss": float("nan")})
    with open(run.stats, "ab") as file:
        file.write(b'{"images_seen": 24, \xff\n\n{"images_seen": 3')
    assert [record["images_seen"] for record in run.records()] == [8, 16]
    assert np.isnan(run.records()[1]["loss"])


def test_lines_of_a_file_are_bounded():
    content = b"\n".join([b"ab", b"x" * 9, b"abcdef", b"abcdefg", b"abcdefgh", b"", b"x" * 16, b"cd", b"efg"])
    lines = list(read_lines(io.BytesIO(content), 8))
    assert [line.rstrip(b"\n") for line in lines] == [b"ab", b"abcdef", b"abcdefg", b"", b"cd", b"efg"]


def test_cut_forgets_records_and_grids_past_a_moment(run):
    for seen in (8, 16, 24):
        run.log(seen, "train", {})
        run.grid_path(seen).write_text("png")
        run.grid_path(seen, "copies").write_text("png")
    (run.samples / "mine.png").write_text("png")
    run.cut(16)
    assert [record["images_seen"] for record in run.records()] == [8, 16]
    assert sorted(path.name for path in run.samples.iterdir()) == [
        "copies-000000008.png",
        "copies-000000016.png",
        "mine.png",
        "samples-000000008.png",
        "samples-000000016.png",
    ]
    assert run.newest_grid() == run.grid_path(16)
    assert run.newest_grid("copies") == run.grid_path(16, "copies")


def test_checkpoints_come_newest_first_and_need_an_index(run):
    for seen in (8, 16, 1_000_000):
        make_checkpoint(run, seen)
    make_checkpoint(run, 24, ["data-00000-of-00001"])
    assert [seen for seen, _ in run.checkpoints()] == [1_000_000, 16, 8]


def test_tidying_keeps_the_newest_and_foreign_files(run):
    for seen in (8, 16, 24, 32):
        make_checkpoint(run, seen)
    make_checkpoint(run, 20, ["data-00000-of-00001"])
    foreign = ["ckpt-old.index", "ckpt-backup.tar", "checkpoint", "notes.txt"]
    for name in foreign:
        (run.state / name).write_text("mine")
    (run.state / f"{run.checkpoint_prefix(28).name}_temp").mkdir()
    run.tidy_checkpoints(newest=24, keep=2)  # 32 was damaged when the run was continued
    kept = [
        f"{run.checkpoint_prefix(seen).name}.{part}" for seen in (16, 24) for part in ("index", "data-00000-of-00001")
    ]
    assert sorted(path.name for path in run.state.iterdir()) == sorted([*foreign, *kept])


def test_trained_images_counts_records_and_checkpoints(run):
    run.log(8, "train", {})
    assert run.trained_images() == 8
    make_checkpoint(run, 16)
    assert run.trained_images() == 16


def test_best_holds_weights_and_score_together(run):
    weights = {"blocks/0/kernel": np.arange(6, dtype=np.float32).reshape(2, 3)}
    run.replace_best(weights, {"score": {"name": "swd2k", "value": 2.5}, "images_seen": 40})
    back, meta = run.best_weights()
    np.testing.assert_array_equal(back["blocks/0/kernel"], weights["blocks/0/kernel"])
    assert back.keys() == weights.keys()
    assert meta == run.best_meta() == {"score": {"name": "swd2k", "value": 2.5}, "images_seen": 40}
    assert [path.name for path in run.best.parent.iterdir()] == ["generator.npz"]


def test_damaged_best_is_refused(run):
    run.replace_best({"w": np.zeros(100)}, {"images_seen": 40})
    run.best.write_bytes(run.best.read_bytes()[:200])
    with pytest.raises(UsageError, match="generator.npz is damaged"):
        run.best_weights()


@pytest.mark.parametrize("seed", range(60))
def test_weights_with_a_few_wrong_bytes_are_whole_or_refused(run, seed):
    """Nothing but UsageError, whatever zipfile makes of it: other compression, encryption, versions to come."""
    random = np.random.default_rng(seed)
    run.replace_best({"w": np.zeros(4)}, {"images_seen": 40})
    content = bytearray(run.best.read_bytes())
    for at in random.integers(0, len(content), 1 + seed % 4):
        content[at] ^= 1 << random.integers(8)
    run.best.write_bytes(bytes(content[: random.integers(1, len(content))] if seed % 3 == 0 else content))
    try:
        assert run.best_weights()[1] == {"images_seen": 40}
    except UsageError as error:
        assert "generator.npz is damaged" in str(error) and "\n" not in str(error)


@pytest.mark.parametrize("change", [(8, 99), (8, 12), (6, 1), (6, 32), (6, 64), (4, 200)])
def test_weights_that_zipfile_does_not_know_are_refused(run, change):
    """In the central directory: method of compression, flags (encrypted, patched), version."""
    run.replace_best({"w": np.zeros(4)}, {"images_seen": 40})
    content = bytearray(run.best.read_bytes())
    at = content.index(b"PK\x01\x02") + 2 + change[0]
    content[at] = change[1]
    run.best.write_bytes(bytes(content))
    with pytest.raises(UsageError, match="is damaged"):
        run.best_weights()


def keep(run, *moments):
    for seen in moments:
        run.keep_snapshot({"w": np.full(3, seen, np.float32)}, {"score": {"value": seen / 2}, "images_seen": seen})


def test_snapshots_are_kept_and_removed(run):
    keep(run, 1_000_000, 40, 80)
    assert [meta["images_seen"] for meta in run.snapshot_metas()] == [40, 80, 1_000_000]
    weights, meta = run.snapshot_weights(80)
    assert meta == {"score": {"value": 40.0}, "images_seen": 80} and list(weights) == ["w"]
    np.testing.assert_array_equal(weights["w"], [80, 80, 80])
    run.remove_snapshot(80)
    run.remove_snapshot(80)
    assert [meta["images_seen"] for meta in run.snapshot_metas()] == [40, 1_000_000]
    with pytest.raises(UsageError, match="--which 80: .* has no snapshot of that many images; it has 40, 1000000"):
        run.snapshot_weights(80)


def test_a_damaged_snapshot_is_left_out_and_refused(run):
    keep(run, 40, 80)
    path = sorted(run.snapshots.iterdir())[0]
    path.write_bytes(path.read_bytes()[:200])
    assert [meta["images_seen"] for meta in run.snapshot_metas()] == [80]
    with pytest.raises(UsageError, match=f"{path} is damaged"):
        run.snapshot_weights(40)


def test_a_run_of_an_older_version_has_no_snapshots(tmp_path):
    assert Run(tmp_path).snapshot_metas() == []


def test_no_best_yet_is_said(run):
    with pytest.raises(UsageError, match="has no best weights yet"):
        run.best_weights()


def test_a_run_is_open_in_one_place(run):
    with pytest.raises(UsageError, match="--run mine: another process trains in"):
        Run(run.folder).create()
    run.close()
    again = Run(run.folder)
    again.create()
    again.close()


@pytest.mark.parametrize("name", ["state", "samples", "best", "snapshots", "stats.jsonl", "lock"])
def test_a_link_in_a_run_does_not_lead_training_elsewhere(tmp_path, name):
    outside = tmp_path / "outside"
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / name).symlink_to(outside)  # where nothing is yet
    with pytest.raises(UsageError, match=f"{name} leads out of the run folder, to {outside}; remove that link"):
        Run(folder).create()
    assert not outside.exists() and [path.name for path in folder.iterdir()] == [name]


def test_links_within_a_run_and_to_a_whole_run_are_followed(tmp_path):
    (tmp_path / "disk" / "run" / "pictures").mkdir(parents=True)
    (tmp_path / "disk" / "run" / "samples").symlink_to("pictures")
    (tmp_path / "mine").symlink_to(tmp_path / "disk" / "run")
    run = Run(tmp_path / "mine")
    run.create()
    run.close()
    assert (tmp_path / "disk" / "run" / "state").is_dir()
    assert run.evaluation_folder(8) == tmp_path / "mine" / "evaluations" / "000000008"


@pytest.mark.parametrize("number", [errno.EWOULDBLOCK, errno.EACCES, errno.ENOLCK, errno.EOPNOTSUPP, errno.EIO])
def test_only_a_held_lock_is_told_as_another_process(tmp_path, monkeypatch, number):
    monkeypatch.setattr(run_module, "take_lock", failing(number))
    with pytest.raises(UsageError) as caught:
        Run(tmp_path / "mine").create()
    held = number in (errno.EWOULDBLOCK, errno.EACCES)
    assert ("--run mine: another process trains" in str(caught.value)) == held
    told = f"--checkpoints: the file system of {tmp_path / 'mine'} does not let files be locked ({os.strerror(number)})"
    assert (told in str(caught.value)) != held and "\n" not in str(caught.value)


def failing(number):
    def fail(*arguments, **options):
        raise OSError(number, os.strerror(number))

    return fail


def test_what_a_kill_left_and_cannot_be_removed_is_told_in_a_line(tmp_path, monkeypatch):
    run = Run(tmp_path / "mine")
    run.samples.mkdir(parents=True)
    (run.samples / "a.png.part").write_text("half")
    monkeypatch.setattr(Path, "unlink", failing(errno.EACCES))
    with pytest.raises(UsageError, match=r"--checkpoints: cannot write .*mine \(Permission denied\); choose another"):
        run.create()
    monkeypatch.undo()
    run.create()  # the lock was given back
    run.close()


def test_a_folder_that_may_not_be_searched_is_told_in_a_line(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "exists", failing(errno.EACCES))  # what Python 3.11 does; a test that root can run
    run = Run(tmp_path)
    for read in (run.exists, run.best_meta, run.best_weights, lambda: run.snapshot_weights(8)):
        with pytest.raises(UsageError, match=r"cannot be read \(Permission denied\); make .* --checkpoints\)"):
            read()


def test_what_a_kill_left_half_written_is_removed(run):
    run.close()
    (run.samples / "samples-000000008.png.part").write_text("half")
    again = Run(run.folder)
    again.create()
    again.close()
    assert list(run.samples.iterdir()) == []


def test_changes_are_described():
    before = TrainConfig(dataset="panda")
    after = TrainConfig(dataset="panda", total_kimg=800.0, micro_batch="auto", loss="bce")
    assert describe_change(before, after) == ["--total-kimg: 400.0 -> 800.0", "--micro-batch: None -> auto"]
    refuse_identity_change(before, TrainConfig(dataset="/elsewhere/panda", patience=3), "folder")
    with pytest.raises(
        UsageError, match="--loss is 'bce' and was 'hinge': give --loss hinge to continue the run folder"
    ):
        refuse_identity_change(before, after, "folder")


@pytest.mark.parametrize(
    ("setting", "other", "remedy"),
    [
        ({"mirror": False}, {"mirror": True}, "--no-mirror"),
        ({}, {"mirror": False}, "--mirror"),
        ({"background": "#102030"}, {"background": "white"}, "--background '#102030'"),
        ({"model": "pggan"}, {"phase_lr": "4:0.1"}, "--phase-lr ''"),
        ({"model": "pggan", "phase_batch": "8"}, {"phase_batch": "16"}, "--phase-batch 8"),
        ({"model": "pggan", "ema_kimg": None}, {"ema_kimg": 1.0}, "--ema-kimg None"),
        ({"ngf": 32}, {"model": "pggan", "ngf": 64}, "--model fastgan --ngf 32"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_remedy_of_a_changed_setting_can_be_pasted(setting, other, remedy):
    with pytest.raises(UsageError, match=f": give {re.escape(remedy)} to continue the run folder"):
        refuse_identity_change(TrainConfig(**setting), TrainConfig(**{**setting, **other}), "folder")


def test_other_data_is_refused():
    refuse_data_change(DATA, dict(DATA), "folder")
    with pytest.raises(UsageError, match=r"--dataset: .*\(12 images, .* now 13, "):
        refuse_data_change(DATA, {**DATA, "fingerprint": "0" * 64, "images": 13}, "folder")


def test_files_are_json_for_other_programs(run):
    run.write_settings(TrainConfig(dataset="panda"), DATA)
    run.write_environment({"tensorflow": "2.21"})
    assert json.loads((run.folder / "config.json").read_text())["data"] == DATA
    assert json.loads((run.folder / "environment.json").read_text()) == {"tensorflow": "2.21"}
