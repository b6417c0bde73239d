"""Rollbacks after divergence, with half the learning rate and other random numbers; and running out of memory."""

import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_tf.cli.train import out_of_memory
from gan_tf.config.settings import TrainConfig
from gan_tf.distributed import devices
from gan_tf.training import recovery, trial
from gan_tf.training.recovery import undecided_loss
from tests.training import tiny


def diverging(at, attempts):
    """A family whose reals are NaN in the step at `at` images, in the first `attempts` attempts."""

    def train_step(state, reals, labels, draws, variant):
        is_bad = (draws.images_seen == at) & (draws.attempt < attempts)
        return tiny.fastgan.train_step(state, tf.where(is_bad, np.nan, reals), labels, draws, variant)

    return tiny.family(train_step)


def test_rollback_halves_the_learning_rate(dataset, tmp_path, capsys):
    run = tiny.trained(dataset, tmp_path, diverging(at=52, attempts=1))
    assert "at 56 images: back to 40" in capsys.readouterr().out
    [rollback] = tiny.records(run, "rollback")
    assert (rollback["images_seen"], rollback["at"], rollback["attempt"], rollback["lr_scale"]) == (40, 56, 1, 0.5)
    end = tiny.weights(run, 80)
    assert (end["attempt"], end["lr_scale"]) == (1, 0.5)
    assert all(np.isfinite(value).all() for value in end.values())
    assert [record["images_seen"] for record in tiny.records(run, "train")] == list(range(4, 84, 4))
    tags = tiny.events(run)
    assert len(tags) == len(set(tags))


def test_the_attempt_is_part_of_the_random_seed_and_is_saved_at_the_rollback(dataset, tmp_path):
    """Two rollbacks at the same image end in other weights than one, although the images are the same."""
    once, twice = (
        tiny.trained(dataset, tmp_path / str(attempts), diverging(at=0, attempts=attempts), total_kimg=0.004)
        for attempts in (1, 2)
    )
    # The first losses do not depend on the learning rate: only the draws differ.
    losses = [tiny.records(run, "train")[0]["loss/d_fake"] for run in (once, twice)]
    assert losses[0] != losses[1]
    start = tiny.weights(twice, 0)  # written at the second rollback
    assert (start["attempt"], start["lr_scale"]) == (2, 0.25)


def test_a_third_divergence_ends_the_run(dataset, tmp_path, capsys):
    for _ in range(2):  # started again, it does not get two further attempts
        code, run = tiny.train(dataset, tmp_path, diverging(at=52, attempts=9))
        assert code == 2
        [line] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("gan-tf: error:")]
        assert all(part in line for part in ("56 images", "2 rollbacks", "best weights so far", "--lr", "--run NAME"))
        assert "--precision" not in line  # it is float32
        assert [record["attempt"] for record in tiny.records(run, "rollback")] == [1, 2]
        assert run.checkpoints()[0][0] == 40
        assert run.best_meta()["images_seen"] == 40


@pytest.mark.parametrize(("reason", "helps"), [("loss/g became non-finite", True), ("D has won", False)])
def test_another_precision_is_advised_where_it_may_help(reason, helps):
    trainer = types.SimpleNamespace(state=types.SimpleNamespace(g=keras.layers.Dense(1, dtype="mixed_bfloat16")))
    assert ("--precision float32 to continue" in recovery.remedy(trainer, reason)) == helps


def test_a_discriminator_loss_near_zero_is_divergence(dataset, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(recovery, "WON_SHARE", 1000.0)  # every loss is below it
    code, run = tiny.train(dataset, tmp_path, total_kimg=0.1, epoch_images=12)
    assert code == 2
    assert "the discriminator has won" in capsys.readouterr().err.splitlines()[-1]
    # Three epochs, back by one, and three more; twice.
    rollbacks = [(record["at"], record["images_seen"]) for record in tiny.records(run, "rollback")]
    assert rollbacks == [(36, 24), (60, 48)]


def test_losses_near_zero_must_be_consecutive(dataset, tmp_path, monkeypatch):
    losses = iter([0.0, 0.0, 1.0, 0.0, 0.0])
    monkeypatch.setattr(recovery, "mean_d_loss", lambda trainer, seen: next(losses))
    run = tiny.trained(dataset, tmp_path, total_kimg=0.072, epoch_images=12)
    assert not tiny.records(run, "rollback")


def test_unbounded_losses_have_no_undecided_loss():
    assert undecided_loss(TrainConfig(model="pggan", loss="wgan_gp")) is None
    assert undecided_loss(TrainConfig(model="pggan", loss="logistic")) == pytest.approx(2 * np.log(2))


def test_micro_batch_auto_is_the_largest_that_fits(dataset, tmp_path, capsys, monkeypatch):
    """One image needs 1 GB, each further one 0.5 GB, and there are 2 GB. Trial steps leave no trace in the run."""
    peaks = iter([1.0, 1.5])
    monkeypatch.setattr(devices, "peak_memory_gb", lambda: next(peaks))
    monkeypatch.setattr(devices, "free_memory_gb", lambda: 2.0)
    found, given = (
        tiny.trained(dataset, tmp_path / str(size), micro_batch=size, total_kimg=0.008) for size in ("auto", 2)
    )
    assert "micro-batch: 2 of the 4 images of each device (auto)" in capsys.readouterr().out
    tiny.assert_same_state(found, given, 8)


@pytest.mark.parametrize(("most", "code"), [(2, 0), (0, 2)])
def test_micro_batch_auto_on_a_gpu_tries_smaller_ones_until_one_fits(
    most, code, dataset, tmp_path, capsys, monkeypatch
):
    def take_trial_step(trainer, size):
        trainer.micro_batch = size
        if size > most:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    config = types.SimpleNamespace(list_logical_devices=lambda kind: [kind])
    monkeypatch.setattr(trial, "tf", types.SimpleNamespace(config=config, errors=tf.errors))
    monkeypatch.setattr(trial, "take_trial_step", take_trial_step)
    assert tiny.train(dataset, tmp_path, micro_batch="auto", total_kimg=0.004)[0] == code
    out, err = capsys.readouterr()
    assert "a micro-batch of 4 does not fit" in out
    assert "micro-batch: 2 of the 4" in out if most else "--resolution 64" in err and "--ngf and --ndf" in err


def test_out_of_memory_ends_the_run(dataset, tmp_path, capsys):
    def train_step(state, reals, labels, draws, variant):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor with shape[8,1024,1024,64]")

    assert tiny.train(dataset, tmp_path, tiny.family(train_step))[0] == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("gan-tf: error: out of memory")


@pytest.mark.parametrize(
    ("changes", "flags", "other_flags"),
    [
        ({}, ("--micro-batch 2 ", "--precision bfloat16"), ()),
        ({"micro_batch": 1}, ("--precision bfloat16",), ("--micro-batch 1",)),
        ({"loss": "dual_contrastive"}, ("--precision bfloat16",), ("--micro-batch",)),
        ({"precision": "bfloat16"}, ("--micro-batch 2 ",), ("--precision",)),
    ],
)
def test_out_of_memory_names_the_settings_that_help(changes, flags, other_flags):
    line = out_of_memory(TrainConfig(**{**tiny.FLAGS["fastgan"], **changes}))
    assert all(flag in line for flag in (*flags, "--batch-size")), line
    assert not any(flag in line for flag in other_flags), line
