"""The run folder: records, grids, checkpoints, weight files and settings, also damaged ones."""

import dataclasses
import errno
import os
import re
from types import SimpleNamespace

import numpy as np
import pytest

from gan_tf.config.settings import TrainConfig
from gan_tf.errors import UsageError
from gan_tf.runs.files import check_data
from gan_tf.runs.folder import Run
from gan_tf.training.resume import refuse_data_change, refuse_identity_change

DATA = {"fingerprint": "f" * 64, "images": 12, "class_names": []}


@pytest.fixture
def run(tmp_path):
    run = Run(tmp_path / "mine")
    run.create()
    yield run
    run.close()


def test_records_leave_out_damaged_lines(run):
    run.log(8, "train", {"loss": 1.0})
    run.log(16, "train", {"loss": float("nan")})
    with open(run.stats, "ab") as file:
        file.write(b'{"images_seen": 24, \xff\n\n[]\n{"images_seen": "8"}\n{"images_seen": 3')
    assert [record["images_seen"] for record in run.records()] == [8, 16]
    assert run.records()[1]["loss"] is None


def test_cut_removes_later_records_and_grids(run):
    for seen in (8, 16, 24):
        run.log(seen, "train", {})
        run.grid_path(seen).write_text("png")
        run.grid_path(seen, "copies").write_text("png")
    foreign = {run.samples / name for name in ("mine.png", "photo-2024.png", "mine-000000024.png")}
    for path in foreign:
        path.write_text("png")
    run.cut(16)
    assert [record["images_seen"] for record in run.records()] == [8, 16]
    kept = {run.grid_path(seen, kind) for seen in (8, 16) for kind in ("samples", "copies")}
    assert set(run.samples.iterdir()) == {*kept, *foreign}
    assert run.newest_grid() == run.grid_path(16) and run.newest_grid("copies") == run.grid_path(16, "copies")


# Checkpoints


def make_checkpoint(run, seen, parts=("index", "data-00000-of-00001")):
    for part in parts:
        (run.state / f"{run.checkpoint_prefix(seen).name}.{part}").write_text("content")


def test_checkpoints_are_sorted_newest_first_and_need_an_index(run):
    run.log(8, "train", {})
    assert run.trained_images() == 8
    for seen in (8, 16, 1_000_000):
        make_checkpoint(run, seen)
    make_checkpoint(run, 24, ["data-00000-of-00001"])
    assert [seen for seen, _ in run.checkpoints()] == [1_000_000, 16, 8]
    assert run.trained_images() == 1_000_000


def test_tidying_keeps_the_newest_checkpoints_and_foreign_files(run):
    for seen in (8, 16, 24, 32):
        make_checkpoint(run, seen)
    make_checkpoint(run, 20, ["data-00000-of-00001"])
    foreign = {run.state / name for name in ("ckpt-old.index", "ckpt-backup.tar", "checkpoint", "notes.txt")}
    foreign |= {run.state / f"{run.checkpoint_prefix(8).name}.{end}" for end in ("zip", "data-mine")}
    for path in foreign:
        path.write_text("mine")
    (run.state / f"{run.checkpoint_prefix(28).name}_temp").mkdir()
    run.tidy_checkpoints(newest=24, keep=2)  # 32 was damaged when the run was continued
    assert [seen for seen, _ in run.checkpoints()] == [24, 16]
    assert foreign < set(run.state.iterdir()) and len(list(run.state.iterdir())) == len(foreign) + 4


# Snapshots


def test_snapshots_are_kept_removed_and_left_out_if_they_are_damaged(run):
    for seen in (1_000_000, 40, 80):
        run.keep_snapshot({"w": np.full(3, seen, np.float32)}, {"score": {"value": seen / 2}, "images_seen": seen})
    assert [meta["images_seen"] for meta in run.snapshot_metas()] == [40, 80, 1_000_000]
    weights, meta = run.snapshot_weights(80)
    assert meta == {"score": {"value": 40.0}, "images_seen": 80} and list(weights) == ["w"]
    np.testing.assert_array_equal(weights["w"], [80, 80, 80])
    run.remove_snapshot(80)
    run.remove_snapshot(80)
    assert [meta["images_seen"] for meta in run.snapshot_metas()] == [40, 1_000_000]
    with pytest.raises(UsageError, match="--which 80: .* 40, 1000000"):
        run.snapshot_weights(80)
    path = sorted(run.snapshots.iterdir())[0]
    path.write_bytes(path.read_bytes()[:200])
    assert [meta["images_seen"] for meta in run.snapshot_metas()] == [1_000_000]
    with pytest.raises(UsageError, match=f"{path} is damaged"):
        run.snapshot_weights(40)


# Lock, links and permissions


def test_run_is_locked_until_it_is_closed(run):
    with pytest.raises(UsageError, match="--run mine: another process trains"):
        Run(run.folder).create()
    run.close()
    again = Run(run.folder)
    again.create(writes=False)  # holds the lock too, without a change of the folder
    with pytest.raises(UsageError, match="--run mine: another process trains"):
        Run(run.folder).create(writes=False)
    again.create()
    again.close()


def test_only_its_own_temporary_files_are_removed(run):
    run.close()
    left = [run.grid_path(8), run.grid_path(8, "phases"), run.best, run.snapshots / "generator-000000008.npz"]
    left = [path.with_name(f"{path.name}.0123abcd.part") for path in (*left, run.stats, run.folder / "config.json")]
    foreign = [run.folder / "my" / "x.part", run.samples / "x.png.part", run.best.parent / "mine.0123abcd.part"]
    foreign.append(run.folder / "config.json")
    for path in (*left, *foreign):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    run.create()
    assert [path.exists() for path in (*left, *foreign)] == [False] * len(left) + [True] * len(foreign)


@pytest.mark.parametrize("number", [errno.EWOULDBLOCK, errno.EACCES, errno.EIO])
def test_only_a_held_lock_is_reported_as_another_process(tmp_path, monkeypatch, number):
    def fail(file):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("gan_tf.io.locks._lock", fail)
    held = number in (errno.EWOULDBLOCK, errno.EACCES)
    error, message = (UsageError, "--run mine") if held else (OSError, os.strerror(number))
    with pytest.raises(error, match=message):
        Run(tmp_path / "mine").create()


@pytest.mark.parametrize("name", ["samples/a.png", "state/old.txt", "report.html", "stats.jsonl"])
def test_a_folder_with_other_files_in_the_places_of_a_run_is_refused(tmp_path, name):
    path = tmp_path / "mine" / name
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    with pytest.raises(UsageError, match=f"--run mine: {path} is in the way"):
        Run(tmp_path / "mine").create()
    assert path.read_text() == "mine"


@pytest.mark.parametrize("name", ["state", "samples", "best", "snapshots", "stats.jsonl", "lock"])
def test_links_out_of_a_run_are_refused(tmp_path, name):
    outside = tmp_path / "outside"
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / name).symlink_to(outside)
    with pytest.raises(UsageError, match=f"{name} leads out of the run folder, to {outside}"):
        Run(folder).create()
    assert not outside.exists() and [path.name for path in folder.iterdir()] == [name]


def test_links_within_a_run_and_to_a_whole_run_are_followed(tmp_path):
    (tmp_path / "disk" / "run" / "images").mkdir(parents=True)
    (tmp_path / "disk" / "run" / "samples").symlink_to("images")
    (tmp_path / "mine").symlink_to(tmp_path / "disk" / "run")
    run = Run(tmp_path / "mine")
    run.create()
    run.close()
    assert (tmp_path / "disk" / "run" / "state").is_dir()
    assert run.evaluation_folder(8) == tmp_path / "mine" / "evaluations" / "000000008"


# Changes between two starts of a run


@pytest.mark.parametrize(
    ("setting", "other", "remedy"),
    [
        ({}, {"loss": "bce"}, "--loss hinge"),
        ({"mirror": False}, {"mirror": True}, "--no-mirror"),
        ({}, {"mirror": False}, "--mirror"),
        ({"background": "#102030"}, {"background": "white"}, "--background '#102030'"),
        ({"model": "pggan"}, {"phase_lr": "4:0.1"}, "--phase-lr ''"),
        ({"model": "pggan", "phase_batch": "8"}, {"phase_batch": "16"}, "--phase-batch 8"),
        ({"model": "pggan", "ema_kimg": None}, {"ema_kimg": 1.0}, "--ema-kimg None"),
        ({"ngf": 32}, {"model": "pggan", "ngf": 64}, "--model fastgan --ngf 32"),
        ({"init_from": "x"}, {"init_from": None}, "--init-from x"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_refused_change_names_the_flags_to_continue(setting, other, remedy):
    with pytest.raises(UsageError, match=f": give {re.escape(remedy)} to continue the run folder, or --run") as caught:
        refuse_identity_change(TrainConfig(**setting), TrainConfig(**{**setting, **other}), Run("folder"))
    assert "--init-from folder" not in str(caught.value)  # it has no checkpoint


def test_refused_change_offers_the_networks_of_the_run_where_they_fit(run):
    make_checkpoint(run, 8)
    for before, after, fit in (
        ({}, {"lr": 0.1}, True),
        ({}, {"lr": 0.1, "ngf": 8}, False),
        ({"model": "pggan", "r1_gamma": 10.0}, {"model": "pggan", "seed": 3}, False),  # it has not grown yet
        ({"init_from": "x"}, {"init_from": None}, False),
    ):
        with pytest.raises(UsageError, match="--run NAME") as caught:
            refuse_identity_change(TrainConfig(**before), TrainConfig(**after), run)
        assert (f"--init-from {run.folder}" in str(caught.value)) == fit


def test_other_data_is_refused_and_init_from_is_offered_where_it_works(run):
    def refusal(fingerprint="0" * 64, classes=0, **settings):
        before = TrainConfig(**settings)
        after = dataclasses.replace(before, dataset="new", classes=classes, conditional=classes > 0)
        report = SimpleNamespace(unreadable={"a.png": "Permission denied"})
        dataset = SimpleNamespace(fingerprint=fingerprint, images=range(13), report=report)
        try:
            refuse_data_change(before, after, DATA, dataset, run)
        except UsageError as error:
            return str(error)
        return None

    assert refusal(DATA["fingerprint"]) is None
    parts = "12 images then, 13 now", "1 not readable, such as a.png (Permission denied);", "--run NAME"
    assert refusal().startswith("--dataset new: ") and all(part in refusal() for part in parts)
    assert "--init-from" not in refusal()  # it has no checkpoint
    make_checkpoint(run, 8)
    assert f"--init-from {run.folder}" in refusal()
    # Not fully grown, and other networks.
    for other in ({"model": "pggan"}, {"classes": 2}, {"classes": 2, "fingerprint": DATA["fingerprint"]}):
        assert "--init-from" not in refusal(**other)


def test_stored_data_is_checked():
    data = {"fingerprint": "ab", "images": 3, "class_names": ["cat"], "class_counts": [3], "converted_from": "x.pkl"}
    check_data(data, "here")
    check_data({"fingerprint": "ab", "images": 3}, "here")
    for name, value in (("fingerprint", None), ("images", "3"), ("class_names", [1]), ("class_counts", [-1])):
        with pytest.raises(UsageError, match=f"here.*data.{name}"):
            check_data({**data, name: value}, "here")
