"""Networks loaded from a run folder, also from a damaged one."""

import shutil

import numpy as np
import pytest

from gan_tf.errors import UsageError
from gan_tf.models.variables import named_variables
from gan_tf.runs.folder import Run
from gan_tf.runs.weights import load_generator, newest_weights
from tests.sampling.trained import BEST_AT, FIRST, SECOND, make_run, marked
from tests.training import tiny


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture
def run(untouched, tmp_path):
    return Run(shutil.copytree(untouched.folder, tmp_path / "run"))


def test_best_last_and_snapshot_load_their_weights(run):
    weights, meta = run.best_weights()
    run.keep_snapshot(weights, {**meta, "images_seen": 700})
    for which, seen, mark in (("best", BEST_AT, BEST_AT), ("last", SECOND, SECOND), ("700", 700, BEST_AT)):
        trained = load_generator(run, which)
        assert trained.images_seen == seen and marked(trained.generator) == mark
    with pytest.raises(UsageError, match="--which 7: .*700"):
        load_generator(run, "7")


def test_every_variable_is_loaded(run):
    variables = named_variables(load_generator(run, "last").generator)
    weights, _, _ = newest_weights(run, "g_ema")
    tiny.assert_equal({name: variable.numpy() for name, variable in variables.items()}, weights)


@pytest.mark.parametrize(
    ("suffix", "share"), [("index", 0), ("index", 0.5), ("index", 0.99), ("data*", 0), ("data*", 0.3)]
)
def test_damaged_checkpoint_is_skipped_with_a_warning(run, suffix, share):
    [path] = run.state.glob(f"{run.checkpoint_prefix(SECOND).name}.{suffix}")
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    lines = []
    trained = load_generator(run, "last", lines.append)
    assert trained.images_seen == marked(trained.generator) == FIRST
    assert len(lines) == 1 and "damaged" in lines[0] and "\n" not in lines[0]


def test_missing_and_damaged_weights_are_refused(run, tmp_path):
    with pytest.raises(UsageError, match="no run folder"):
        load_generator(Run(tmp_path / "elsewhere"))
    for unknown in ("worst", "-700", "7.5", "", "\u00b2", "\u0663", "7" * 5000):
        with pytest.raises(UsageError, match="--which '.* is unknown"):
            load_generator(run, unknown)
    run.best.unlink()
    with pytest.raises(UsageError, match="no best weights"):
        load_generator(run, "best")
    for path in run.state.glob("*.index"):
        path.write_bytes(b"garbage")
    with pytest.raises(UsageError, match="none of the 2 checkpoints"):
        load_generator(run, "last", lambda line: None)
    for path in run.state.iterdir():
        path.unlink()
    with pytest.raises(UsageError, match="no checkpoint yet"):
        load_generator(run, "last")


@pytest.mark.parametrize(
    "change",
    [
        lambda weights: weights.pop("to_rgb/kernel"),
        lambda weights: weights.update({"to_nothing/kernel": np.zeros(3, np.float32)}),
        lambda weights: weights.update({"to_rgb/kernel": np.zeros((3, 3, 4, 1), np.float32)}),
        lambda weights: weights.clear(),
    ],
    ids=["missing", "extra", "shape", "empty"],
)
def test_weights_of_another_network_are_refused(run, change):
    weights, meta = run.best_weights()
    change(weights)
    run.replace_best(weights, meta)
    with pytest.raises(UsageError, match="does not fit the network"):
        load_generator(run, "best")
