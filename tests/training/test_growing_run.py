"""Whole runs of a growing network: continued within a fade, scored at each size, sample grids and TensorBoard."""

import contextlib
import functools
import io
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from gan_tf.cli.main import run_command
from gan_tf.metrics.evaluate import Evaluator
from gan_tf.metrics.score import from_stored
from gan_tf.runs.weights import load_generator
from gan_tf.training import trainer as trainers
from gan_tf.training.state import weights_of
from gan_tf.training.trainer import Trainer
from tests.training import tiny

trained = functools.partial(tiny.trained, model="pggan", loss="hinge")  # traced in half of the time of the default


@pytest.fixture(scope="module")
def whole(dataset, tmp_path_factory):
    """A run of 200 images without a stop."""
    return trained(dataset, tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def short(dataset, tmp_path_factory):
    """(run that ended within a fade, output)."""
    with contextlib.redirect_stdout(io.StringIO()) as output:
        run = trained(dataset, tmp_path_factory.mktemp("short"), total_kimg=0.06)
    return run, output.getvalue()


def test_run_continued_within_a_fade_equals_the_whole_run(dataset, whole, short, tmp_path):
    shutil.copytree(short[0].folder, tmp_path / "tiny")
    run = trained(dataset, tmp_path, total_kimg=0.08)
    tiny.assert_same_state(run, whole, 80)
    records = tiny.records(run, "train")
    assert len(records) == 20 and records == tiny.records(whole, "train")[:20]


@pytest.mark.slow
def test_run_continued_between_stages_with_other_steps_per_call_equals_the_whole_run(
    dataset, whole, tmp_path, monkeypatch
):
    """The optimisers are reset at the first image of a stage, also if the run was stopped there.

    A stage of ten steps takes calls of seven and three; `whole` ends each call at a train record.
    """
    monkeypatch.setattr(trainers, "RECORDS_PER_EPOCH", 1)
    limit, counts = Trainer.steps_to_boundary, []
    monkeypatch.setattr(Trainer, "steps_to_boundary", lambda *args: counts.append(limit(*args)) or counts[-1])
    for kimg in (0.12, 0.2):
        run = trained(dataset, tmp_path, steps_per_call=7, total_kimg=kimg)
    assert counts == [7, 3] * 5
    tiny.assert_same_state(run, whole, 200)


@pytest.mark.slow
def test_last_weights_with_batch_norm_are_those_that_were_scored_within_a_fade(dataset, tmp_path):
    run = trained(dataset, tmp_path, batch_norm=True, total_kimg=0.06)
    with tiny.in_place():
        last = load_generator(run, "last").generator
    best, meta = run.best_weights()
    assert meta["images_seen"] == 60 and 0 < last.growth.numpy() < 1
    tiny.assert_equal(weights_of(last), best)


def test_growth_is_stored_and_optimisers_are_reset_at_every_stage(whole):
    """At the end of every stage each optimiser has taken the ten steps of the stage."""
    for seen, growth, steps in ((0, 0, 0), (40, 0, 10), (80, 1, 10), (120, 1, 10), (160, 2, 10), (200, 2, 10)):
        state = tiny.weights(whole, seen)
        assert (state["g/growth"], state["g_ema/growth"]) == (growth, growth)
        assert (state["g_optimizer/steps"], state["d_optimizer/steps"]) == (steps, steps)


def test_scores_are_measured_at_the_present_size(whole):
    records = tiny.records(whole, "epoch")
    sizes = {record["images_seen"]: record["protocol"]["resolution"] for record in records}
    assert sizes == {40: 4, 80: 8, 120: 8, 160: 16, 200: 16}


@pytest.mark.slow
def test_only_scores_of_the_last_size_count_for_best_and_patience(dataset, tmp_path, monkeypatch):
    """The scores get worse and worse: the best is the first one of the last size, the next one counts as stale."""
    tiny.set_scores(monkeypatch, [1.0, 2.0, 3.0, 4.0, 5.0])
    run = trained(dataset, tmp_path, patience=1, total_kimg=0.3)
    assert run.checkpoints()[0][0] == 200
    assert run.best_meta()["images_seen"] == 160
    assert from_stored(run.best_meta()["score"]).protocol["resolution"] == 16
    assert {meta["score"]["protocol"]["resolution"] for meta in run.snapshot_metas()} == {16}


@pytest.mark.slow
def test_best_weights_of_a_larger_size_stay_after_checkpoints_were_lost(dataset, tmp_path, monkeypatch):
    tiny.set_scores(monkeypatch, [1.0, 2.0, 3.0, 4.0, 0.5])
    run = trained(dataset, tmp_path, total_kimg=0.16)  # ends with a score of 16x16
    run.remove_checkpoints([prefix for seen, prefix in run.checkpoints() if seen > 100])
    best = run.best_meta()
    trained(dataset, tmp_path, total_kimg=0.12)  # scores 8x8 again
    assert run.best_meta() == best and best["score"]["protocol"]["resolution"] == 16
    assert [meta["images_seen"] for meta in run.snapshot_metas()] == [160]


def test_every_stage_has_a_grid_of_the_same_size_and_a_strip_shows_the_sizes_one_below_the_other(whole):
    grids = {seen: np.asarray(Image.open(path)) for seen, path in whole.grids()}
    assert {40, 80, 120, 160, 200} <= set(grids)
    assert {grid.shape for grid in grids.values()} == {(8 * 16, 8 * 16, 3)}
    blocks = grids[40].reshape(32, 4, 32, 4, 3)  # 4x4 images, enlarged
    assert (blocks == blocks[:, :1, :, :1]).all()
    strip = np.asarray(Image.open(whole.newest_grid("phases")))
    ends = (40, 120, 200)  # of 4x4, 8x8 and 16x16
    np.testing.assert_array_equal(strip, np.concatenate([grids[seen][:16] for seen in ends]))


def test_tensorboard_shows_level_and_alpha(whole):
    growth = [value for value in tiny.event_values(whole) if value[0].startswith("growth/")]
    values = {(tag, step): float(tf.make_ndarray(tensor)) for tag, step, tensor in growth}
    assert [values["growth/level", seen] for seen in (40, 60, 100, 140, 200)] == [0, 1, 1, 2, 2]
    np.testing.assert_allclose([values["growth/alpha", seen] for seen in (60, 100, 140)], [0.5, 1, 0.5])
    assert values["growth/resolution", 140] == 16


def test_short_run_has_a_warning_and_generates_images_of_its_present_size(short, tmp_path, capsys):
    run, output = short
    assert "4x4 stabilise" in output and "8x8 fade" in output and "16x16 fade" not in output  # the schedule
    assert "warning: --total-kimg is 0.06" in output
    arguments = [str(run.folder), "--precision", "float32"]
    assert run_command("generate", [*arguments, "--seeds", "0-1", "--out", str(tmp_path)]) == 0
    assert "8x8" in capsys.readouterr().out
    assert Image.open(tmp_path / "seed-000000.png").size == (8, 8)
    with tiny.in_place():
        assert run_command("evaluate", [*arguments, "--metrics", "swd2k", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["scores"][0]["protocol"]["resolution"] == 8


@pytest.mark.slow
def test_dry_run_measures_every_size(dataset, tmp_path, capsys, monkeypatch):
    sizes = []
    monkeypatch.setattr(
        Evaluator, "expected_seconds", lambda evaluator, sampler, name: sizes.append(sampler.resolution) or 1
    )
    with tiny.in_place():
        assert run_command("train", tiny.arguments(dataset, tmp_path, model="pggan", dry_run=True)) == 0
    output = capsys.readouterr().out
    assert all(f"speed at {size}x{size}" in output for size in (4, 8, 16))
    assert sizes == [16]  # a score takes longest at full size
    assert not (tmp_path / "tiny").exists()


@pytest.mark.slow
def test_micro_batch_auto_is_searched_at_every_stage(dataset, whole, tmp_path, capsys):
    run = trained(dataset, tmp_path, micro_batch="auto")
    assert capsys.readouterr().out.count("micro-batch: 4 of the 4 images of each device (auto)") == 5
    tiny.assert_same_state(run, whole, 200)


def test_report_names_the_sizes_of_the_scores(whole):
    page = whole.report.read_text()
    assert "Scored at 4x4, then at 8x8 from 0.08 kimg, at 16x16 from 0.16 kimg" in page
    assert "measured otherwise" not in page
    assert 'alt="Growth"' in page


def test_small_groups_of_the_minibatch_deviation_are_logged():
    lines = []
    tiny.make_trainer(model="pggan", log=lines.append, phase_batch="4:4,8:4,16:2")
    tiny.make_trainer(model="pggan", log=lines.append, phase_batch="8", micro_batch=4)
    [line] = [line for line in lines if "minibatch standard deviation" in line]
    assert "2 at 16x16" in line
