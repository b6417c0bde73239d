"""A run that was stopped and continued is the run that was never stopped, bit for bit."""

import signal

import pytest

from gan_tf.runs.folder import Run
from tests.distributed import process
from tests.training import tiny

AUGMENTED = {"augment": "diffaugment"}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return tiny.images_file(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def whole(dataset, tmp_path_factory):
    """80 images without a stop."""
    code, run = tiny.train(dataset, tmp_path_factory.mktemp("whole"), **AUGMENTED)
    assert code == 0
    return run


def test_two_halves_are_the_whole(dataset, whole, tmp_path):
    assert tiny.train(dataset, tmp_path, total_kimg=0.04, **AUGMENTED)[0] == 0
    code, run = tiny.train(dataset, tmp_path, **AUGMENTED)
    assert code == 0
    tiny.assert_same_state(run, whole, 80)
    assert tiny.records(run, "train", "epoch") == tiny.records(whole)
    assert run.best_meta() == whole.best_meta()


@pytest.mark.slow
def test_steps_per_call_change_nothing(dataset, whole, tmp_path):
    code, run = tiny.train(dataset, tmp_path, steps_per_call=4, **AUGMENTED)
    assert code == 0
    tiny.assert_same_state(run, whole, 80)
    assert tiny.records(run) == tiny.records(whole)


@pytest.mark.slow
def test_models_built_before_change_nothing(dataset, whole, tmp_path):
    """The process above built several; `variable.path` and automatic layer names went on counting."""
    for _ in range(3):
        tiny.TinyGenerator(16).build()
    assert tiny.train(dataset, tmp_path, total_kimg=0.04, **AUGMENTED)[0] == 0
    tiny.TinyDiscriminator().build()
    assert tiny.train(dataset, tmp_path, **AUGMENTED)[0] == 0
    tiny.assert_same_state(Run(tmp_path / "tiny"), whole, 80)


def killed_and_continued(options, dataset, folder, counts, **changes):
    """A run that is killed at two numbers of records, stopped by SIGTERM at a third, and then finished."""
    run = Run(folder / "tiny")
    words = [*options, *tiny.arguments(dataset, folder, deterministic=True, **changes)]
    said = folder / "said.txt"
    first, second, third = counts
    assert process.stop(words, said, run, first) == -signal.SIGKILL
    assert process.stop(["--models-before", "2", *words], said, run, second) == -signal.SIGKILL
    assert process.stop(words, said, run, third, signal.SIGTERM) == 42
    assert "the same command continues the run" in said.read_text()
    assert process.finish(words, said) == 0
    assert "continuing" in said.read_text()
    return run


def assert_same_run(run, whole, seen):
    """State, records, score and pictures agree; what TensorBoard holds stands once."""
    tiny.assert_same_state(run, whole, seen)
    assert tiny.records(run) == tiny.records(whole)
    assert run.best_meta() == whole.best_meta()
    found = tiny.events(run)
    assert len(found) == len(set(found))
    assert set(tiny.events(whole)) <= set(found)  # which holds grids of the moments of continuing, too
    for path in whole.samples.glob("samples-*.png"):
        assert path.read_bytes() == (run.samples / path.name).read_bytes()


@pytest.mark.slow
def test_killed_run_is_the_whole_run(dataset, tmp_path):
    lengths = {"total_kimg": 0.48, "epoch_images": 120, **AUGMENTED}  # 30 steps, 15 records and a score in an epoch
    words = tiny.arguments(dataset, tmp_path / "whole", deterministic=True, **lengths)
    (tmp_path / "killed").mkdir()
    assert process.finish(words, tmp_path / "whole.txt") == 0
    run = killed_and_continued([], dataset, tmp_path / "killed", (5, 24, 40), **lengths)
    assert_same_run(run, Run(tmp_path / "whole" / "tiny"), 480)


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["hinge", "dual_contrastive"])
def test_killed_fastgan_is_the_whole_fastgan(loss, dataset, tmp_path):
    words = tiny.arguments(dataset, tmp_path / "whole", deterministic=True, loss=loss, **AUGMENTED)
    (tmp_path / "killed").mkdir()
    assert process.finish(["--fastgan", *words], tmp_path / "whole.txt") == 0
    run = killed_and_continued(["--fastgan"], dataset, tmp_path / "killed", (3, 13, 18), loss=loss, **AUGMENTED)
    assert_same_run(run, Run(tmp_path / "whole" / "tiny"), 80)
