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


@pytest.mark.slow
def test_steps_per_call_change_nothing(dataset, whole, tmp_path):
    run = tiny.trained(dataset, tmp_path, steps_per_call=4, **AUGMENTED)
    tiny.assert_same_state(run, whole, 80)
    assert tiny.records(run) == tiny.records(whole)


def kill_and_continue(options, dataset, folder, record_counts, **changes):
    """Trains a run that is killed at two numbers of records, stopped by SIGTERM at a third, and then finished."""
    run = Run(folder / "tiny")
    arguments = [*options, *tiny.arguments(dataset, folder, deterministic=True, **changes)]
    output = folder / "output.txt"
    first, second, third = record_counts
    assert process.stop(arguments, output, run, first) == -signal.SIGKILL
    assert process.stop(["--models-before", "2", *arguments], output, run, second) == -signal.SIGKILL
    assert process.stop(arguments, output, run, third, signal.SIGTERM) == 42
    assert process.finish(arguments, output) == 0
    assert "continuing" in output.read_text()
    return run


@pytest.mark.slow
def test_killed_run_equals_the_whole_run(dataset, tmp_path):
    """The first kill is just after the record of a score: before or during the writing of images and checkpoint."""
    lengths = {"total_kimg": 0.48, "epoch_images": 120, **AUGMENTED}  # 15 records and a score per epoch
    arguments = tiny.arguments(dataset, tmp_path / "whole", deterministic=True, **lengths)
    (tmp_path / "killed").mkdir()
    assert process.finish(arguments, tmp_path / "whole.txt") == 0
    run = kill_and_continue([], dataset, tmp_path / "killed", (16, 24, 40), **lengths)
    tiny.assert_same_run(run, Run(tmp_path / "whole" / "tiny"), 480)


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["hinge", "dual_contrastive"])
def test_killed_fastgan_equals_the_whole_run(loss, dataset, tmp_path):
    arguments = tiny.arguments(dataset, tmp_path / "whole", deterministic=True, loss=loss, **AUGMENTED)
    (tmp_path / "killed").mkdir()
    assert process.finish(["--fastgan", *arguments], tmp_path / "whole.txt") == 0
    run = kill_and_continue(["--fastgan"], dataset, tmp_path / "killed", (3, 13, 18), loss=loss, **AUGMENTED)
    tiny.assert_same_run(run, Run(tmp_path / "whole" / "tiny"), 80)
