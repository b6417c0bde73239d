"""Scores during training: records, best weights, snapshots, the final score, other metrics, and interruptions."""

import re
import shutil
import signal

import numpy as np
import pytest
import tensorflow as tf  # noqa: F401 - at the top, so that the CPU is split in time

from gan_tf.io import image_files
from gan_tf.metrics.definitions import METRICS
from gan_tf.metrics.score import from_stored
from gan_tf.models.statistics import VERB
from gan_tf.runs.checkpoints import read_arrays
from gan_tf.runs.folder import Run
from gan_tf.runs.weights import load_generator
from gan_tf.sampling.sampler import Sampler
from gan_tf.training import log, selection
from gan_tf.training.log import RunLog
from gan_tf.training.selection import EvaluationProgress
from gan_tf.training.state import weights_of
from tests.metrics import stubs
from tests.training import tiny

REFUSED, INTERRUPTED = 2, 42
SHORT = {"epoch_images": 12}  # a score after every third step


@pytest.fixture(scope="module", autouse=True)
def small_inception():
    """Replaces Inception by a small network; metrics on its features use a few images only."""
    with pytest.MonkeyPatch.context() as patch:
        stubs.replace_networks(patch)
        for name in ("fid5k", "fid10k", "fid50k", "kid5k", "kid50k"):
            patch.setitem(METRICS, name, METRICS[name]._replace(fakes=tiny.FAKES))
        yield


@pytest.fixture(scope="module")
def whole(dataset, tmp_path_factory):
    """A run of 80 images with fid5k after 40 and 80."""
    return tiny.trained(dataset, tmp_path_factory.mktemp("whole"), metric="fid5k")


@pytest.fixture
def copied(whole, tmp_path):
    """A copy of `whole`."""
    return Run(shutil.copytree(whole.folder, tmp_path / "tiny"))


# Records, best weights and snapshots


def test_scores_are_recorded_with_protocol_and_copy_check(whole):
    records = tiny.records(whole, "epoch")
    assert [record["images_seen"] for record in records] == [40, 80]
    for record in records:
        assert record["metric"] == "fid5k" and record["score"] > 0
        protocol = record["protocol"]
        assert (protocol["network"], protocol["reals"], protocol["fakes"]) == (stubs.OFFICIAL, 12, tiny.FAKES)
        assert 0 <= record["copies"] <= 1 and record["copy_parts"]["median_ratio"] > 0
        assert record["copy_protocol"]["space"] == "pixels+inception" and record["copy_protocol"]["mirrored"]
    tags = tiny.events(whole)
    for seen in (40, 80):
        assert {("score/fid5k", seen), ("score/copies", seen), ("copies", seen)} <= set(tags)
        assert whole.grid_path(seen, "copies").exists()


def test_best_weights_are_those_of_the_best_score(whole):
    meta = whole.best_meta()
    best = min(tiny.records(whole, "epoch"), key=lambda record: record["score"])
    assert (meta["images_seen"], meta["score"]["value"]) == (best["images_seen"], best["score"])
    weights, _ = whole.best_weights()
    tiny.assert_equal(weights, whole.snapshot_weights(meta["images_seen"])[0])
    averaged = read_arrays(whole.checkpoint_prefix(meta["images_seen"]), "g_ema")
    for name in ("norm/moving_mean", "norm/moving_variance"):
        assert np.abs(weights[name] - averaged[name]).max() > 1e-4
    tiny.assert_equal({**averaged, **{name: weights[name] for name in weights if "moving_" in name}}, weights)


def test_last_weights_are_those_that_were_scored(whole):
    with tiny.in_place():
        last = load_generator(whole, "last")
    tiny.assert_equal(weights_of(last.generator), whole.snapshot_weights(80)[0])


def test_grid_shows_the_weights_that_were_scored(whole):
    with tiny.in_place():
        sampler = Sampler(load_generator(whole, "80").folded(), seed=0)
    images = image_files.grid(sampler.of_seeds(range(16)))
    np.testing.assert_array_equal(image_files.read_png(whole.grid_path(80)), images)


def test_only_a_better_score_replaces_the_best_weights_and_the_best_snapshots_are_kept(dataset, tmp_path, monkeypatch):
    """Then scores are every two epochs and at the end, and only one snapshot is kept."""
    tiny.set_scores(monkeypatch, [5.0, 3.0, 4.0, float("nan"), 2.0, 9.0, 6.0, 1.0])
    run = tiny.trained(dataset, tmp_path, total_kimg=0.072, keep_best=3, **SHORT)
    assert [record["stale_epochs"] for record in tiny.records(run, "epoch")] == [0, 0, 1, 2, 0, 1]
    assert (run.best_meta()["images_seen"], run.best_meta()["score"]["value"]) == (60, 2.0)
    snapshots = {meta["images_seen"]: meta["score"]["value"] for meta in run.snapshot_metas()}
    assert snapshots == {24: 3.0, 36: 4.0, 60: 2.0}
    with tiny.in_place():
        assert [load_generator(run, str(seen)).images_seen for seen in snapshots] == list(snapshots)
    assert "final" not in run.best_meta() and not tiny.records(run, "final")  # swd has no final score
    run = tiny.trained(dataset, tmp_path, total_kimg=0.108, keep_best=1, eval_every=2, **SHORT)
    assert [record["images_seen"] for record in tiny.records(run, "epoch")][6:] == [96, 108]
    assert [meta["images_seen"] for meta in run.snapshot_metas()] == [108]


# The final score


def test_final_score_is_measured_once_and_on_other_images(whole, dataset, copied):
    meta = whole.best_meta()
    final = from_stored(meta["final"])
    [record] = tiny.records(whole, "final")
    assert (record["metric"], record["score"], record["of"]) == ("fid5k", final.value, meta["images_seen"])
    assert record["images_seen"] == 80 and 0 <= record["copies"] <= 1
    assert final.protocol["fakes_source"].endswith(f"images from number {selection.FINAL_FIRST}")
    assert meta["score"]["protocol"]["fakes_source"].endswith("images from number 0")
    assert final.value != meta["score"]["value"]
    assert ("final/fid5k", 80) in tiny.events(whole)
    before = copied.stats.read_bytes(), copied.best.read_bytes()
    tiny.trained(dataset, copied.folder.parent, metric="fid5k")
    assert (copied.stats.read_bytes(), copied.best.read_bytes()) == before


def test_final_record_is_written_again_after_a_damaged_checkpoint(dataset, whole, copied):
    [path] = copied.state.glob(f"{copied.checkpoint_prefix(80).name}.data*")
    path.write_bytes(path.read_bytes()[:100])
    run = tiny.trained(dataset, copied.folder.parent, metric="fid5k")
    tiny.assert_same_run(run, whole, 80)
    assert set(tiny.events(run)) == set(tiny.events(whole))


def test_final_score_can_be_switched_off(dataset, tmp_path):
    run = tiny.trained(dataset, tmp_path, metric="fid5k", no_final_score=True, total_kimg=0.004)
    assert "final" not in run.best_meta() and not tiny.records(run, "final")


# Another metric in the same run


@pytest.mark.slow
def test_best_weights_are_scored_again_by_another_metric(dataset, tmp_path, capsys):
    folder = tmp_path / "changed"
    tiny.trained(dataset, folder, total_kimg=0.04)
    capsys.readouterr()
    run = tiny.trained(dataset, folder, total_kimg=0.08, metric="kid5k", no_final_score=True)
    output = capsys.readouterr().out
    assert "--metric: swd2k -> kid5k" in output and "another protocol (by swd2k)" in output
    assert [record["metric"] for record in tiny.records(run, "epoch")] == ["swd2k", "kid5k"]
    meta = run.best_meta()
    assert meta["score"]["name"] == "kid5k"
    snapshots = run.snapshot_metas()
    assert [(m["images_seen"], m["score"]["name"]) for m in snapshots] == [(40, "kid5k"), (80, "kid5k")]
    assert meta["score"]["value"] == min(m["score"]["value"] for m in snapshots)
    # Scores have no effect on training.
    whole = tiny.trained(dataset, tmp_path / "whole")
    tiny.assert_same_state(run, whole, 80, but=tiny.SCORED)
    tiny.trained(dataset, folder, total_kimg=0.12, metric="kid5k", no_final_score=True)
    assert "another protocol" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "name", "resize"),
    [({"resize": "clean"}, "fid5k", "clean"), ({"weights": "0123456789abcdef"}, "fid5k-custom:01234567", "pytorch")],
)
def test_all_stored_scores_are_measured_again_by_another_protocol(changes, name, resize, dataset, copied, capsys):
    run = tiny.trained(dataset, copied.folder.parent, total_kimg=0.084, metric="fid5k", **changes)
    assert "another protocol (" in capsys.readouterr().out
    scores = [run.best_meta()["score"], run.best_meta()["final"], *(meta["score"] for meta in run.snapshot_metas())]
    assert {(score["name"], score["protocol"]["resize"]) for score in scores} == {(name, resize)}
    assert tiny.records(run, "epoch")[-1]["metric"] == name


# Interruptions


def interrupt(monkeypatch, work, at_call):
    """Sends SIGTERM at the n-th progress report of a kind of work; returns the list of its reports."""
    reports, call = [], EvaluationProgress.__call__

    def report(self, done, total, verb):
        if verb == work:
            reports.append(done)
            if len(reports) == at_call:
                signal.raise_signal(signal.SIGTERM)
        call(self, done, total, verb)

    monkeypatch.setattr(EvaluationProgress, "__call__", report)
    return reports


@pytest.mark.parametrize(
    ("work", "at_call", "stopped_at"),
    [
        pytest.param("real images measured", 1, 40, id="reals", marks=pytest.mark.slow),
        pytest.param(VERB, 2, 40, id="statistics", marks=pytest.mark.slow),
        pytest.param("fakes measured", 1, 40, id="first score"),
        pytest.param("fakes measured", 4, 80, id="second score", marks=pytest.mark.slow),
        pytest.param("fakes measured", 5, 80, id="final score"),
    ],
)
def test_a_signal_interrupts_a_score_which_is_then_repeated(
    dataset, whole, tmp_path, monkeypatch, capsys, work, at_call, stopped_at
):
    monkeypatch.setenv("GAN_TF_CACHE", str(tmp_path / "cache"))
    with monkeypatch.context() as patch:
        reports = interrupt(patch, work, at_call)
        code, run = tiny.train(dataset, tmp_path, metric="fid5k")
    assert code == INTERRUPTED and "SIGTERM" in capsys.readouterr().out
    assert len(reports) == at_call  # not one batch more
    assert run.checkpoints()[0][0] == stopped_at
    scored = [record["images_seen"] for record in tiny.records(run, "epoch")]
    assert scored == [seen for seen in (40, 80) if seen < stopped_at or at_call == 5]
    assert not tiny.records(run, "final")
    run = tiny.trained(dataset, tmp_path, metric="fid5k")
    tiny.assert_same_run(run, whole, 80)


@pytest.mark.slow
def test_a_signal_while_the_best_weights_are_scored_again_changes_nothing(dataset, tmp_path, monkeypatch):
    run = tiny.trained(dataset, tmp_path, total_kimg=0.04)
    before = run.best.read_bytes()
    with monkeypatch.context() as patch:
        interrupt(patch, "fakes measured", 3)  # two batches of the new epoch's score, and the first of the second
        code, _ = tiny.train(dataset, tmp_path, metric="fid5k", no_final_score=True)
    assert code == INTERRUPTED
    assert run.best.read_bytes() == before
    tiny.trained(dataset, tmp_path, metric="fid5k", no_final_score=True)
    other = tiny.trained(dataset, tmp_path / "other")
    tiny.assert_same_state(run, other, 80, but=tiny.SCORED)


def test_stale_epochs_survive_a_kill_between_record_and_checkpoint(dataset, tmp_path, monkeypatch):
    """The record of the score exists; the newest checkpoint was written before the score."""

    class Killed(BaseException):
        pass

    tiny.set_scores(monkeypatch, [1.0, 2.0, 3.0])
    scalars = RunLog.scalars

    def die_at_second_score(self, step, values):
        if step == 24 and "score/swd2k" in values:
            raise Killed
        scalars(self, step, values)

    with monkeypatch.context() as patch:
        patch.setattr(RunLog, "scalars", die_at_second_score)
        with pytest.raises(Killed):
            tiny.train(dataset, tmp_path, total_kimg=0.036, **SHORT)
    run = tiny.trained(dataset, tmp_path, total_kimg=0.036, **SHORT)
    assert [record["score"] for record in tiny.records(run, "epoch")] == [1.0, 2.0, 3.0]
    assert [record["stale_epochs"] for record in tiny.records(run, "epoch")] == [0, 1, 2]
    assert tiny.weights(run, 36)["stale_epochs"] == 2


# Before training


def test_metric_auto_depends_on_the_number_of_images(tmp_path):
    file = tmp_path / "many.npz"
    np.savez(file, images=np.random.default_rng(0).integers(0, 256, (1000, 64, 64, 3), np.uint8))
    run = tiny.trained(file, tmp_path, metric="auto", total_kimg=0.004, epoch_images=4)
    assert run.best_meta()["score"]["name"] == "fid10k" and run.best_meta()["final"]["name"] == "fid50k"


def test_metric_auto_keeps_the_network_of_a_run(dataset, tmp_path, monkeypatch, capsys):
    chosen = []
    monkeypatch.setattr(stubs, "choose_network", lambda: chosen.append(1) or "lite2")
    run = tiny.trained(dataset, tmp_path, metric="auto", total_kimg=0.004, epoch_images=4)
    assert run.best_meta()["score"]["name"] == run.best_meta()["final"]["name"] == "fd5k-lite2"
    monkeypatch.setattr(stubs, "choose_network", lambda: "inception")
    run = tiny.trained(dataset, tmp_path, metric="auto", total_kimg=0.008, epoch_images=4)
    assert [record["metric"] for record in tiny.records(run, "epoch")] == ["fd5k-lite2", "fd5k-lite2"]
    assert "another protocol" not in capsys.readouterr().out and len(chosen) == 1


def test_one_image_is_refused(tmp_path, capsys):
    np.savez(tmp_path / "one.npz", images=tiny.square_images(1))
    assert tiny.train(tmp_path / "one.npz", tmp_path)[0] == REFUSED
    assert "--dataset" in capsys.readouterr().err


# Duration


@pytest.mark.parametrize(
    ("score_seconds", "share", "eval_every"), [(1.0, "9%", None), (10.0, "50%", 9), (90.0, "90%", 81)]
)
def test_share_of_the_time_for_scores_is_reported_once(score_seconds, share, eval_every):
    run_log = RunLog(None, tiny.TrainConfig(), epoch_images=200)
    assert run_log.measure_share_of_scores(100, 5.0) is None  # the duration of a score is not known yet
    run_log.expect_score = lambda: score_seconds
    assert run_log.measure_share_of_scores(20, 1.0) is None  # too early
    lines = [run_log.measure_share_of_scores(40, 2.0) for _ in range(5)]  # an epoch of 200 images takes 10 s
    [line] = [line for line in lines if line]
    assert share in line and (f"--eval-every {eval_every} " in line if eval_every else "--eval-every" not in line)


def test_progress_and_the_share_of_the_time_for_scores_are_logged_in_training(dataset, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(log, "TIMED_SECONDS", 0)
    monkeypatch.setattr(log, "FILE_SECONDS", 0)
    tiny.trained(dataset, tmp_path, total_kimg=0.02, epoch_images=12)
    out, err = capsys.readouterr()
    assert out.count("of the time") == 1
    number = r"\d+\.\d+"
    loss, speed = rf"d {number}  g -?{number}", rf"{number} images/s  \d+ s left  {number} GB"
    assert re.search(rf"^0\.0/0\.02 kimg  epoch 1  {loss}  swd2k .*  {speed}$", err, re.MULTILINE), err
