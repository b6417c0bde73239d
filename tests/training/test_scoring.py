"""Scores during training: what they keep, what they cost, and that no stop in the middle of one changes a run."""

import contextlib
import json
import shutil
import signal

import numpy as np
import pytest
import tensorflow as tf  # noqa: F401 - at the top, so that the CPU is split in time

from gan_tf.cli.main import run_command
from gan_tf.metrics import features
from gan_tf.metrics.definitions import METRICS
from gan_tf.metrics.evaluate import Evaluator
from gan_tf.metrics.score import from_stored
from gan_tf.runs.folder import Run
from gan_tf.runs.weights import load_generator
from gan_tf.training import selection, timing
from gan_tf.training.log import RunLog
from gan_tf.training.selection import EvaluationProgress
from gan_tf.training.timing import Timer
from tests.distributed import process
from tests.metrics import stubs
from tests.training import tiny

REFUSED, INTERRUPTED = 2, 42


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return tiny.images_file(tmp_path_factory.mktemp("data"))


@contextlib.contextmanager
def inception_is_here():
    """Inception's place is taken, and metrics on its features take a few images only."""

    def looking(*, weights, resize, precision, offline, log):
        return stubs.networks(resize=resize, custom=weights, precision=precision)

    with stubs.narrow(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "Networks", looking)
        for name in ("fid5k", "fid10k", "fid50k", "kid5k", "kid50k"):
            patch.setitem(METRICS, name, METRICS[name]._replace(fakes=tiny.FAKES))
        yield


def train(dataset, folder, tiny_family=None, **changes):
    with inception_is_here():
        return tiny.train(dataset, folder, tiny_family, **changes)


def records(run, kind):
    return [json.loads(line) for line in tiny.records(run, kind)]


@pytest.fixture(scope="module")
def whole(dataset, tmp_path_factory):
    """80 images with fid5k after 40 and 80."""
    code, run = train(dataset, tmp_path_factory.mktemp("whole"), metric="fid5k")
    assert code == 0
    return run


@pytest.fixture
def copied(whole, tmp_path):
    """A copy of that run."""
    return Run(shutil.copytree(whole.folder, tmp_path / "tiny"))


def scores_are(monkeypatch, values):
    """swd2k gives these values one after the other."""
    metric, values = METRICS["swd2k"], iter(values)

    def told(side, chunks):
        return metric.measure(side, chunks)._replace(value=next(values))

    monkeypatch.setattr(Evaluator, "expected_seconds", lambda *arguments: 0.0)
    monkeypatch.setitem(METRICS, "swd2k", metric._replace(measure=told))


# What a score leaves


def test_every_score_stands_with_its_protocol_and_its_copies(whole):
    found = records(whole, "epoch")
    assert [record["images_seen"] for record in found] == [40, 80]
    for record in found:
        assert record["metric"] == "fid5k" and record["score"] > 0
        said = record["protocol"]
        assert (said["network"], said["reals"], said["fakes"]) == (stubs.OFFICIAL, 12, tiny.FAKES)
        assert 0 <= record["copies"] <= 1 and record["copy_parts"]["median_ratio"] > 0
        assert record["copy_protocol"]["space"] == "pixels+inception" and record["copy_protocol"]["mirrored"]
    tags = tiny.events(whole)
    for seen in (40, 80):
        assert {("score/fid5k", seen), ("score/copies", seen), ("copies", seen)} <= set(tags)
        assert whole.grid_path(seen, "copies").exists()


def test_best_weights_are_those_of_the_best_score(whole):
    meta = whole.best_meta()
    best = min(records(whole, "epoch"), key=lambda record: record["score"])
    assert (meta["images_seen"], meta["score"]["value"]) == (best["images_seen"], best["score"])
    weights, _ = whole.best_weights()
    kept, _ = whole.snapshot_weights(meta["images_seen"])
    saved = tiny.weights(whole, meta["images_seen"])
    for name, value in weights.items():
        np.testing.assert_array_equal(value, kept[name])
        np.testing.assert_array_equal(value, saved[f"g_ema/{name}"])


def scores_of(run):
    return {record["images_seen"]: record["score"] for record in records(run, "epoch")}


def test_the_best_few_are_kept(dataset, tmp_path):
    code, run = tiny.train(dataset, tmp_path, total_kimg=0.24, keep_best=2)
    found = scores_of(run)
    assert code == 0 and len(found) == 6
    best = sorted(sorted(found, key=found.get)[:2])
    assert [meta["images_seen"] for meta in run.snapshot_metas()] == best
    assert run.best_meta()["images_seen"] == min(found, key=found.get)
    for meta in run.snapshot_metas():
        assert meta["score"]["value"] == found[meta["images_seen"]]
    with tiny.in_place():
        for seen in best:
            assert load_generator(run, str(seen)).images_seen == seen
    code, run = tiny.train(dataset, tmp_path, total_kimg=0.28, keep_best=1)
    found = scores_of(run)
    assert [meta["images_seen"] for meta in run.snapshot_metas()] == [min(found, key=found.get)]


def test_nothing_worse_replaces_the_best(dataset, tmp_path, monkeypatch):
    scores_are(monkeypatch, [5.0, 3.0, 4.0, float("nan"), 2.0, 9.0])
    code, run = tiny.train(dataset, tmp_path, total_kimg=0.24, keep_best=3)
    assert code == 0
    stale = [record["stale_epochs"] for record in records(run, "epoch")]
    assert stale == [0, 0, 1, 2, 0, 1]
    assert (run.best_meta()["images_seen"], run.best_meta()["score"]["value"]) == (200, 2.0)
    assert [meta["score"]["value"] for meta in run.snapshot_metas()] == [3.0, 4.0, 2.0]


# The last score


def test_the_last_score_is_measured_once_and_on_other_images(whole, dataset, copied, capsys):
    meta = whole.best_meta()
    final = from_stored(meta["final"])
    [record] = records(whole, "final")
    assert (record["metric"], record["score"], record["of"]) == ("fid5k", final.value, meta["images_seen"])
    assert record["images_seen"] == 80 and 0 <= record["copies"] <= 1
    assert final.protocol["fakes_source"].endswith(f"images from number {selection.FINAL_FIRST}")
    assert meta["score"]["protocol"]["fakes_source"].endswith("images from number 0")
    assert final.value != meta["score"]["value"]
    assert ("final/fid5k", 80) in tiny.events(whole)
    capsys.readouterr()
    before = copied.stats.read_bytes(), copied.best.read_bytes()
    assert train(dataset, copied.folder.parent, metric="fid5k")[0] == 0
    assert "again: " not in capsys.readouterr().out
    assert (copied.stats.read_bytes(), copied.best.read_bytes()) == before


def test_the_last_score_is_measured_again_by_another_protocol(dataset, copied, capsys):
    assert train(dataset, copied.folder.parent, metric="fid5k", resize="clean")[0] == 0
    assert "again: fid5k on new images" in capsys.readouterr().out
    assert copied.best_meta()["final"]["protocol"]["resize"] == "clean"


def test_the_last_record_is_written_again_after_a_damaged_checkpoint(dataset, whole, copied):
    [path] = copied.state.glob(f"{copied.checkpoint_prefix(80).name}.data*")
    path.write_bytes(path.read_bytes()[:100])
    code, run = train(dataset, copied.folder.parent, metric="fid5k")
    assert code == 0
    assert tiny.records(run) == tiny.records(whole)
    assert run.best_meta() == whole.best_meta()
    found = tiny.events(run)
    assert len(found) == len(set(found)) and set(found) == set(tiny.events(whole))


def test_the_last_score_can_be_left_out(dataset, tmp_path):
    code, run = train(dataset, tmp_path, metric="fid5k", no_final_score=True)
    assert code == 0
    assert "final" not in run.best_meta() and not records(run, "final")


def test_swd_has_no_last_score(dataset, tmp_path):
    code, run = tiny.train(dataset, tmp_path)
    assert code == 0
    assert "final" not in run.best_meta() and not records(run, "final")


# Another metric in the same run


@pytest.mark.slow
def test_another_metric_scores_the_best_weights_again(dataset, tmp_path, capsys):
    folder = tmp_path / "changed"
    assert train(dataset, folder, total_kimg=0.04)[0] == 0
    capsys.readouterr()
    code, run = train(dataset, folder, total_kimg=0.08, metric="kid5k", no_final_score=True)
    said = capsys.readouterr().out
    assert code == 0
    assert "changed --metric: swd2k -> kid5k" in said
    assert "another protocol (by swd2k)" in said
    assert [record["metric"] for record in records(run, "epoch")] == ["swd2k", "kid5k"]
    meta = run.best_meta()
    assert meta["score"]["name"] == "kid5k"
    kept = run.snapshot_metas()
    assert [(m["images_seen"], m["score"]["name"]) for m in kept] == [(40, "kid5k"), (80, "kid5k")]
    assert meta["score"]["value"] == min(m["score"]["value"] for m in kept)
    # The run's own weights do not know of it.
    code, whole = train(dataset, tmp_path / "whole")
    tiny.assert_same_state(run, whole, 80, but=["stale_epochs"])
    assert train(dataset, folder, total_kimg=0.12, metric="kid5k", no_final_score=True)[0] == 0
    assert "another protocol" not in capsys.readouterr().out


def test_another_protocol_of_the_same_metric_says_what_differs(dataset, copied, capsys):
    code, run = train(dataset, copied.folder.parent, total_kimg=0.12, metric="fid5k", resize="clean")
    assert code == 0
    assert "another protocol (resize pytorch and clean)" in capsys.readouterr().out
    assert run.best_meta()["score"]["protocol"]["resize"] == "clean"
    assert {meta["score"]["protocol"]["resize"] for meta in run.snapshot_metas()} == {"clean"}


def test_weights_of_ones_own_are_never_ranked_with_the_official(dataset, copied, capsys):
    custom = "0123456789abcdef"
    code, run = train(dataset, copied.folder.parent, total_kimg=0.12, metric="fid5k", weights=custom)
    assert code == 0
    assert "another protocol (by fid5k)" in capsys.readouterr().out
    assert run.best_meta()["score"]["name"] == run.best_meta()["final"]["name"] == "fid5k-custom:01234567"
    assert {meta["score"]["name"] for meta in run.snapshot_metas()} == {"fid5k-custom:01234567"}
    assert records(run, "epoch")[-1]["metric"] == "fid5k-custom:01234567"


# Stops


def interrupt(monkeypatch, what, at_call):
    """A signal comes at the n-th sight of this kind of work in this process; returns the list of (done, total) seen."""
    seen, call = [], EvaluationProgress.__call__

    def watched(self, done, total, verb):
        if verb == what:
            seen.append((done, total))
            if len(seen) == at_call:
                signal.raise_signal(signal.SIGTERM)
        call(self, done, total, verb)

    monkeypatch.setattr(EvaluationProgress, "__call__", watched)
    return seen


@pytest.mark.parametrize(
    ("what", "at_call", "stands_at"),
    [("real images measured", 1, 40), ("fakes measured", 1, 40), ("fakes measured", 4, 80), ("fakes measured", 5, 80)],
    ids=["reals", "first score", "second score", "last score"],
)
def test_a_signal_in_a_score_is_obeyed_and_the_score_made_up_for(
    dataset, whole, tmp_path, monkeypatch, capsys, what, at_call, stands_at
):
    monkeypatch.setenv("GAN_TF_CACHE", str(tmp_path / "cache"))
    with monkeypatch.context() as patch:
        seen = interrupt(patch, what, at_call)
        code, run = train(dataset, tmp_path, metric="fid5k")
    said = capsys.readouterr().out
    assert code == INTERRUPTED and "SIGTERM: saved; the same command continues" in said
    assert len(seen) == at_call  # not one batch more
    assert run.checkpoints()[0][0] == stands_at
    scored = [record["images_seen"] for record in records(run, "epoch")]
    assert scored == [seen for seen in (40, 80) if seen < stands_at or at_call == 5]
    assert not records(run, "final")
    code, run = train(dataset, tmp_path, metric="fid5k")
    assert code == 0
    tiny.assert_same_state(run, whole, 80)
    assert tiny.records(run) == tiny.records(whole)
    assert run.best_meta() == whole.best_meta()
    found = tiny.events(run)
    assert len(found) == len(set(found)) and set(tiny.events(whole)) <= set(found)


@pytest.mark.slow
def test_a_signal_while_the_best_is_scored_again_changes_nothing(dataset, tmp_path, monkeypatch):
    assert train(dataset, tmp_path, total_kimg=0.04)[0] == 0
    run = Run(tmp_path / "tiny")
    before = run.best.read_bytes()
    with monkeypatch.context() as patch:
        interrupt(patch, "fakes measured", 3)  # two batches of the new epoch's score, and the first of the second
        code, _ = train(dataset, tmp_path, metric="fid5k", no_final_score=True)
    assert code == INTERRUPTED
    assert run.best.read_bytes() == before
    assert train(dataset, tmp_path, metric="fid5k", no_final_score=True)[0] == 0
    code, other = train(dataset, tmp_path / "other")
    tiny.assert_same_state(run, other, 80, but=["stale_epochs"])


def test_a_kill_between_record_and_checkpoint_loses_no_count(dataset, tmp_path, monkeypatch):
    """The record of a score stands; the checkpoint beside it is from before the score."""

    class Killed(BaseException):
        pass

    scores_are(monkeypatch, [1.0, 2.0, 3.0])
    scalars = RunLog.scalars

    def dies_at_second_score(self, step, found):
        if step == 80 and "score/swd2k" in found:
            raise Killed
        scalars(self, step, found)

    with monkeypatch.context() as patch:
        patch.setattr(RunLog, "scalars", dies_at_second_score)
        with pytest.raises(Killed):
            tiny.train(dataset, tmp_path, total_kimg=0.12)
    code, run = tiny.train(dataset, tmp_path, total_kimg=0.12)
    assert code == 0
    assert [record["score"] for record in records(run, "epoch")] == [1.0, 2.0, 3.0]
    assert [record["stale_epochs"] for record in records(run, "epoch")] == [0, 1, 2]
    assert tiny.weights(run, 120)["stale_epochs"] == 2


@pytest.mark.slow
def test_a_run_killed_just_after_a_score_is_the_whole_run(dataset, tmp_path):
    """SIGKILL as soon as the record of a score is there: before its pictures and its checkpoint, or in them."""
    lengths = {"total_kimg": 0.24, "epoch_images": 120, "deterministic": True}
    words = tiny.arguments(dataset, tmp_path / "whole", **lengths)
    assert process.finish(words, tmp_path / "whole.txt") == 0
    (tmp_path / "killed").mkdir()
    run = Run(tmp_path / "killed" / "tiny")
    words = tiny.arguments(dataset, run.folder.parent, **lengths)
    lines = 1 + [json.loads(line)["kind"] for line in tiny.records(Run(tmp_path / "whole" / "tiny"))].index("epoch")
    assert process.stop(words, tmp_path / "said.txt", run, lines) == -signal.SIGKILL
    assert process.finish(words, tmp_path / "said.txt") == 0
    whole = Run(tmp_path / "whole" / "tiny")
    tiny.assert_same_state(run, whole, 240)
    assert tiny.records(run) == tiny.records(whole)
    assert run.best_meta() == whole.best_meta()


# Before training


def test_missing_weights_are_told_before_anything_is_trained(dataset, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("GAN_TF_CACHE", str(tmp_path / "cache"))
    code, run = tiny.train(dataset, tmp_path / "runs", metric="auto", offline=True)
    assert code == REFUSED
    [line] = capsys.readouterr().err.splitlines()
    for word in ("https://github.com/mseitzer/", "pt_inception-2015-12-05-6726825d.pth", str(tmp_path), "swd2k"):
        assert word in line, line
    assert not run.folder.exists()


@pytest.mark.parametrize(("count", "metric", "last"), [(999, "fid5k", "fid5k"), (1000, "fid10k", "fid50k")])
def test_auto_goes_by_the_number_of_images(tmp_path, capsys, count, metric, last):
    file = tmp_path / "many.npz"
    np.savez(file, images=np.random.default_rng(0).integers(0, 256, (count, 64, 64, 3), np.uint8))
    code, run = train(file, tmp_path, metric="auto", total_kimg=0.004, epoch_images=4)
    assert code == 0
    assert f"{metric} every 1 epochs" in capsys.readouterr().out
    assert run.best_meta()["score"]["name"] == metric and run.best_meta()["final"]["name"] == last


def test_one_image_is_refused(tmp_path, capsys):
    file = tmp_path / "one.npz"
    np.savez(file, images=tiny.square_images(1))
    assert tiny.train(file, tmp_path)[0] == REFUSED
    [line] = capsys.readouterr().err.splitlines()
    assert "--dataset" in line and "has one image" in line


def test_an_unknown_metric_is_refused(dataset, tmp_path, capsys):
    assert run_command("train", tiny.arguments(dataset, tmp_path, metric="fid7k")) == REFUSED
    [line] = capsys.readouterr().err.splitlines()
    assert "fid7k" in line and "fid5k" in line


# What it costs


@pytest.mark.parametrize(
    ("score_seconds", "share", "eval_every"), [(1.0, "9%", None), (10.0, "50%", 9), (90.0, "90%", 81)]
)
def test_share_of_the_time_for_scores_is_reported_once(score_seconds, share, eval_every):
    timer = Timer(tiny.TrainConfig(dataset="x"))
    assert timer.share_of_scores(100, 5.0, 200) is None  # the duration of a score is not known yet
    timer.score_seconds = score_seconds
    assert timer.share_of_scores(20, 1.0, 200) is None  # too early
    lines = [timer.share_of_scores(40, 2.0, 200) for _ in range(5)]  # an epoch of 200 images takes 10 s
    [line] = [line for line in lines if line]
    assert share in line and (f"--eval-every {eval_every} " in line if eval_every else "--eval-every" not in line)


def test_the_share_is_told_in_training(dataset, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(timing, "TIMED_SECONDS", 0)
    code, _ = tiny.train(dataset, tmp_path)
    said = capsys.readouterr().out
    assert code == 0
    assert said.count("scores take about") == 1 and "of the time" in said


def test_scores_come_every_few_epochs_and_at_the_end(dataset, tmp_path):
    code, run = tiny.train(dataset, tmp_path, total_kimg=0.2, eval_every=2)
    assert code == 0
    assert [record["images_seen"] for record in records(run, "epoch")] == [80, 160, 200]
