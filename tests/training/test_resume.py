"""A run that was stopped and continued equals an uninterrupted run, bit for bit."""

import signal

import pytest

from gan_tf.runs.folder import Run
from tests.distributed import process
from tests.training import tiny

AUGMENTED = {"augment": "diffaugment"}


@pytest.fixture(scope="module")
def whole(dataset, tmp_path_factory):
    """A run of 80 images without a stop."""
    return tiny.trained(dataset, tmp_path_factory.mktemp("whole"), **AUGMENTED)


def test_a_continued_run_equals_the_whole_run(dataset, whole, tmp_path):
    tiny.trained(dataset, tmp_path, total_kimg=0.04, **AUGMENTED)
    run = tiny.trained(dataset, tmp_path, **AUGMENTED)
    tiny.assert_same_state(run, whole, 80)
    assert tiny.records(run, "train", "epoch") == tiny.records(whole)
    assert run.best_meta() == whole.best_meta()
    tiny.assert_equal(run.best_weights()[0], whole.best_weights()[0])


@pytest.mark.slow
def test_steps_per_call_change_nothing(dataset, whole, tmp_path):
    run = tiny.trained(dataset, tmp_path, steps_per_call=4, **AUGMENTED)
    tiny.assert_same_state(run, whole, 80)
    assert tiny.records(run) == tiny.records(whole)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "flags", "record_counts", "end"),
    [
        # The first kill is just after the record of a score: before or during the writing of images and checkpoint.
        ([], {"total_kimg": 0.48, "epoch_images": 120, **AUGMENTED}, (16, 24, 40), 480),
        (["--fastgan"], AUGMENTED, (3, 13, 18), 80),
        ([], {"model": "pggan", "checkpoint_minutes": 0.0001}, (17, 37, 47), 200),  # SIGKILL in both fades
    ],
    ids=["tiny", "fastgan", "growing"],
)
def test_killed_run_equals_the_whole_run(options, flags, record_counts, end, dataset, tmp_path):
    """SIGKILL at two numbers of records, then SIGTERM at a third."""
    whole, killed = (
        [*options, *tiny.arguments(dataset, tmp_path, deterministic=True, run=name, **flags)]
        for name in ("whole", "killed")
    )
    assert process.finish(whole, tmp_path / "whole.txt") == 0
    run, output = Run(tmp_path / "killed"), tmp_path / "output.txt"
    first, second, third = record_counts
    assert process.stop(killed, output, run, first) == -signal.SIGKILL
    assert process.stop(["--models-before", "2", *killed], output, run, second) == -signal.SIGKILL
    assert process.stop(killed, output, run, third, signal.SIGTERM) == 42
    assert process.finish(killed, output) == 0
    assert "continuing" in output.read_text()
    tiny.assert_same_run(run, Run(tmp_path / "whole"), end)
