"""Paths that TensorFlow would read as patterns: files in such folders, and the one function for all paths."""

import os

import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gan_tf.config.settings import TrainConfig
from gan_tf.io.tensorflow_paths import original_path, tensorflow_path
from gan_tf.runs.checkpoints import read_arrays, write_variables
from gan_tf.runs.folder import Run
from gan_tf.training.log import RunLog

NAMES = [
    "exp[1]",
    "a\\",
    "a*b",
    "[",
    "{a,b} ?",
    "it's",
    "100%41#",
    "ü 熊",
    "gs:",
    "dot.",
    "-x",
    "x@2",
    os.fsdecode(b"\xff"),
]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_checkpoints_and_events_in_any_folder(name, tmp_path):
    (tmp_path / "exp1").mkdir()  # which the pattern exp[1] matches
    run = Run(tmp_path / name)
    run.create()
    for seen in (8, 16):
        write_variables(run.checkpoint_prefix(seen), {"v": tf.Variable(float(seen))})
        assert read_arrays(run.checkpoint_prefix(seen)) == {"v": seen}
    with RunLog(run, TrainConfig(), 8) as log:
        for step in (8, 16):
            log.scalars(step, {"loss": step})
        log.cut(8)
    accumulator = EventAccumulator(tensorflow_path(run.folder))
    accumulator.Reload()
    [tag] = accumulator.Tags()["tensors"]
    assert [event.step for event in accumulator.Tensors(tag)] == [8]
    run.close()
    assert {path.name for path in tmp_path.iterdir()} == {"exp1", name}
    assert original_path(tensorflow_path(run.state)) == run.state


def test_prepared_datasets_in_any_folder(tmp_path):
    from gan_tf.cli.datasets import resolve

    lines = []
    for _ in range(2):
        source = resolve("demo", size=(64, 64), data_dir=tmp_path / "new" / "set[1]*", log=lines.append)
    assert len(lines) == 1 and lines[0].endswith(f"{tmp_path}/new/set[1]*/demo/64/1.0.0")
    assert isinstance(source.read(0), bytes)
