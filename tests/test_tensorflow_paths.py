"""Paths that TensorFlow would read as patterns: files in such folders, and the one function for all paths."""

import ast
import os
import re

import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gan_tf.config.settings import TrainConfig
from gan_tf.io.tensorflow_paths import original_path, tensorflow_path
from gan_tf.runs.checkpoints import read_arrays, write_variables
from gan_tf.runs.folder import Run
from gan_tf.training.log import RunLog
from tests.test_import_table import MODULES

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
LIBRARIES = ("tf", "tfds", "keras", "onnx", "onnxruntime")
FILE_CALLS = re.compile(  # names of functions in these libraries that take a path
    r"(read|write|restore|save|load|latest|matching|match)(_\w+)?|\w*([Ww]riter|Dataset|Reader)|Asset|InferenceSession|"
    r"from_saved_model|list_files|start|builder|glob|rename|remove|copy|exists|isdir|makedirs|rmtree|GFile"
)


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
        source = resolve("demo", resolution=64, data_dir=tmp_path / "new" / "set[1]*", log=lines.append)
    assert len(lines) == 1 and lines[0].endswith(f"{tmp_path}/new/set[1]*/demo/64/1.0.0")
    assert isinstance(source.read(0), bytes)


def path_calls():
    """Yields (place, call) for each call in gan_tf and the datasets that passes a path to a C++ library."""
    for module, (_, tree) in MODULES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                function = ast.unparse(node.func)
                library, name = function.partition(".")[0], function.rpartition(".")[2]
                converts = any(ast.unparse(value).startswith(("str(", "os.fspath(")) for value in node.args)
                in_library = library in LIBRARIES and (FILE_CALLS.fullmatch(name) or converts)
                if in_library or name == "Interpreter" or any(word.arg == "data_dir" for word in node.keywords):
                    yield f"{module}:{node.lineno}", ast.unparse(node)


def test_every_path_for_tensorflow_comes_from_one_function():
    calls = dict(path_calls())
    assert len(calls) > 10
    assert not {place: call for place, call in calls.items() if "tensorflow_path(" not in call}


def test_names_in_patterns_are_escaped():
    """A pattern of file names is a constant, or has its names escaped."""
    calls = [node for _, tree in MODULES.values() for node in ast.walk(tree) if isinstance(node, ast.Call)]
    patterns = [call.args[-1] for call in calls if re.search(r"\.r?glob$|^list_folder$", ast.unparse(call.func))]
    assert len(patterns) > 5
    made = [ast.unparse(pattern) for pattern in patterns if not isinstance(pattern, ast.Constant)]
    assert not [pattern for pattern in made if "glob.escape(" not in pattern]
