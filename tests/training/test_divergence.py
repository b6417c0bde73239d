"""Training that goes wrong goes back, with half the learning rate and other draws, twice at most."""

import json

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.training import recovery
from tests.training import tiny


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return tiny.images_file(tmp_path_factory.mktemp("data"))


def poisoned(at, attempts):
    """A recipe whose real images are not numbers in the step at `at` images of so many attempts."""

    def train_step(state, reals, labels, draws, variant):
        is_poisoned = (draws.images_seen == at) & (draws.attempt < attempts)
        return tiny.fastgan.train_step(state, tf.where(is_poisoned, np.nan, reals), labels, draws, variant)

    return tiny.family(train_step)


def test_an_accident_goes_back_with_half_the_learning_rate_and_other_draws(dataset, tmp_path, capsys):
    code, run = tiny.train(dataset, tmp_path, poisoned(at=52, attempts=1))
    said = capsys.readouterr().out
    assert code == 0
    assert "became non-finite at 56 images: back to 40 with half the learning rate" in said
    [rollback] = map(json.loads, tiny.records(run, "rollback"))
    assert (rollback["images_seen"], rollback["at"], rollback["attempt"], rollback["lr_scale"]) == (40, 56, 1, 0.5)
    end = tiny.weights(run, 80)
    assert end["attempt"] == 1
    assert end["lr_scale"] == 0.5
    assert all(np.isfinite(value).all() for value in end.values())
    seen = [json.loads(line)["images_seen"] for line in tiny.records(run, "train")]
    assert seen == list(range(4, 84, 4))
    found = tiny.events(run)
    assert len(found) == len(set(found))


def test_the_attempt_decides_the_draws(dataset, tmp_path):
    """Two accidents at the same image end in other weights than one, although the data is the same."""
    ends = []
    for attempts in (1, 2):
        recipe = poisoned(at=0, attempts=attempts)
        code, run = tiny.train(dataset, tmp_path / str(attempts), recipe, total_kimg=0.004)
        assert code == 0
        ends.append([json.loads(line) for line in tiny.records(run, "train")])
    # The first record is of the first step, which the learning rate has not reached yet: only the draws differ.
    assert ends[0][0]["loss/d_fake"] != ends[1][0]["loss/d_fake"]


def test_a_third_accident_ends_the_run_with_an_explanation(dataset, tmp_path, capsys):
    code, run = tiny.train(dataset, tmp_path, poisoned(at=52, attempts=9))
    assert code == 2
    [line] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("gan-tf: error:")]
    assert all(word in line for word in ("non-finite at 56 images", "2 rollbacks", "--lr", "--precision", "--run NAME"))
    assert [json.loads(line)["attempt"] for line in tiny.records(run, "rollback")] == [1, 2]
    assert run.checkpoints()[0][0] == 40
    assert run.best_meta()["images_seen"] == 40
    # Started again, it does not get two further attempts.
    code, run = tiny.train(dataset, tmp_path, poisoned(at=52, attempts=9))
    assert code == 2
    assert [json.loads(line)["attempt"] for line in tiny.records(run, "rollback")] == [1, 2]


def test_a_stopped_run_keeps_its_attempts(dataset, tmp_path):
    """The number of attempts is saved at the roll-back itself, not at the next checkpoint."""
    code, run = tiny.train(dataset, tmp_path, poisoned(at=52, attempts=2))
    assert code == 0
    assert tiny.weights(run, 40)["attempt"] == 2
    assert tiny.weights(run, 40)["lr_scale"] == 0.25


def test_a_discriminator_that_has_won_is_an_accident(dataset, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(recovery, "WON_SHARE", 1000.0)  # every loss is below it
    code, run = tiny.train(dataset, tmp_path, total_kimg=0.4)
    assert code == 2
    captured = capsys.readouterr()
    assert "the discriminator has won" in captured.out
    assert "the discriminator has won" in captured.err.splitlines()[-1]
    rollbacks = [json.loads(line) for line in tiny.records(run, "rollback")]
    # Three epochs, back by one, and three more; twice.
    assert [(record["at"], record["images_seen"]) for record in rollbacks] == [(120, 80), (200, 160)]


def test_two_bad_epochs_and_a_good_one_are_no_accident(dataset, tmp_path, monkeypatch):
    shares = iter([1000.0, 1000.0, 0.0, 1000.0, 1000.0])
    mean_d_loss = recovery.mean_d_loss

    def with_other_bound(trainer, seen):
        monkeypatch.setattr(recovery, "WON_SHARE", next(shares))
        return mean_d_loss(trainer, seen)

    monkeypatch.setattr(recovery, "mean_d_loss", with_other_bound)
    code, run = tiny.train(dataset, tmp_path, total_kimg=0.24)
    assert code == 0
    assert not tiny.records(run, "rollback")


@pytest.mark.parametrize(
    ("changes", "named", "not_named"),
    [
        ({}, ("--micro-batch 2 ", "--precision bfloat16", "--batch-size"), ()),
        ({"micro_batch": 1}, ("--precision bfloat16", "--batch-size"), ("--micro-batch 1",)),
        ({"loss": "dual_contrastive"}, ("--precision bfloat16", "--batch-size"), ("--micro-batch",)),
        ({"precision": "bfloat16"}, ("--micro-batch 2 ", "--batch-size"), ("--precision",)),
    ],
)
def test_out_of_memory_names_what_helps(changes, named, not_named, dataset, tmp_path, capsys):
    def train_step(state, reals, labels, draws, variant):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor with shape[8,1024,1024,64]")

    assert tiny.train(dataset, tmp_path, tiny.family(train_step), **changes)[0] == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("gan-tf: error: out of memory")
    assert all(word in line for word in named), line
    assert not any(word in line for word in not_named), line
