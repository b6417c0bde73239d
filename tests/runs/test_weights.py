"""Networks loaded from a run folder: undamaged, damaged, and of version 0.1.0, whose training continues.

`version_0_1_0/` holds, for a small run of each family, the config.json that this version wrote and the names, types and
shapes of the variables in its checkpoints. A test writes a run in that form, with the weights of new networks.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.cli.main import run_command
from gan_tf.config.settings import from_stored_settings
from gan_tf.data.prepare import prepare
from gan_tf.data.sources import ArraySource
from gan_tf.errors import UsageError
from gan_tf.models import statistics
from gan_tf.runs.checkpoints import read_arrays, write_variables
from gan_tf.runs.folder import Run
from gan_tf.runs.weights import load_generator, newest_networks
from gan_tf.training.state import weights_of
from gan_tf.training.trainer import build_trainer
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
    weights, _ = run.best_weights()
    tiny.assert_equal(weights_of(load_generator(run).generator), weights)


def test_last_weights_have_statistics_that_fit_them(run, monkeypatch):
    monkeypatch.setattr(statistics, "IMAGES", 4 * statistics.BATCH)
    weights = newest_networks(run, ["g_ema"])[0]["g_ema"]
    generator = load_generator(run, "last").generator
    loaded = weights_of(generator)
    tiny.assert_equal(loaded, statistics.StandingStatistics(generator)(weights))
    assert np.abs(loaded["stem_norm/moving_mean"] - weights["stem_norm/moving_mean"]).max() > 1e-3


def test_escaped_names_are_read_from_checkpoints(tmp_path):
    values = {"g_ema/with.dot/c": 1.0, "g_ema/.Strange/..d": 2.0, "g/other": 3.0}
    write_variables(tmp_path / "ckpt", {name: tf.Variable(value) for name, value in values.items()})
    assert read_arrays(tmp_path / "ckpt", "g_ema") == {"with.dot/c": 1.0, ".Strange/..d": 2.0}


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
    with pytest.raises(UsageError, match="has no checkpoint; train until"):
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


# Version 0.1.0

FORMS = Path(__file__).parent / "version_0_1_0"
SEEN = 40
FAMILIES = ["pggan", "stylegan2", pytest.param("fastgan", marks=pytest.mark.slow)]


@pytest.fixture
def early_run(request, tmp_path):
    """A run of version 0.1.0 at SEEN images, next to its images.npz."""
    family = request.param
    np.savez(tmp_path / "images.npz", images=tiny.square_images())
    stored = json.loads((FORMS / f"{family}.json").read_text())
    stored["settings"]["dataset"] = str(tmp_path / "images.npz")
    config = from_stored_settings(stored["settings"], family)
    images = prepare(ArraySource("images", tiny.square_images()), size=config.image_size)
    run = Run(tmp_path / family)
    state = build_trainer(config, images, run, log=lambda line: None).state
    state.images_seen.assign(SEEN)

    rows = [line.split() for line in (FORMS / f"{family}.txt").read_text().splitlines()]
    shapes = {name: () if shape == "scalar" else tuple(map(int, shape.split("x"))) for name, _, shape in rows}
    expected = {name: (kind, shapes[name]) for name, kind, _ in rows}
    (_, [tally]), (_, ()) = expected.pop("tally"), expected.pop("format")
    variables = {name: v for name, v in state.named_variables().items() if not name.startswith("statistics/")}
    assert {name: (v.dtype.name, tuple(v.shape)) for name, v in variables.items()} == expected
    run.create()
    earlier = {"format": tf.Variable(1, dtype=tf.int64), "tally": tf.Variable(tf.zeros([tally]))}
    write_variables(run.checkpoint_prefix(SEEN), {**variables, **earlier})
    score = {"name": "swd2k", "value": 150.0, "lower_is_better": True, "protocol": {"resolution": config.resolution}}
    run.replace_best(weights_of(state.g_ema), {"score": score, "images_seen": SEEN})
    (run.folder / "config.json").write_text(json.dumps(stored))
    run.close()
    return run


@pytest.mark.parametrize("early_run", FAMILIES, indirect=True)
def test_commands_open_early_runs(early_run, tmp_path):
    for which in ("best", "last"):
        assert load_generator(early_run, which).images_seen == SEEN
    out = tmp_path / "images"
    assert run_command("generate", [str(early_run.folder), "--seeds", "0-1", "--out", str(out)]) == 0
    assert len(list(out.glob("*.png"))) == 2


@pytest.mark.slow
@pytest.mark.parametrize("early_run", ["fastgan", "pggan", "stylegan2"], indirect=True)
def test_training_of_early_runs_continues(early_run, capsys):
    config, _ = early_run.read_settings()
    arguments = ["--model", config.model, "--checkpoints", str(early_run.folder.parent), "--run", early_run.folder.name]
    for name, value in json.loads((early_run.folder / "config.json").read_text())["settings"].items():
        if name not in ("model", "classes", "total_kimg"):
            flag = name.replace("_", "-")
            arguments += (
                [f"--{flag}" if value else f"--no-{flag}"] if isinstance(value, bool) else [f"--{flag}", str(value)]
            )
    with tiny.in_place(tiny.FASTGAN):
        assert run_command("train", [*arguments, "--total-kimg", "0.06"]) == 0
    assert f"from {SEEN} images" in capsys.readouterr().out
    seen, prefix = early_run.checkpoints()[0]
    assert seen >= 60
    assert all(np.isfinite(array).all() for array in read_arrays(prefix).values())
