"""Run folders of version 0.1.0 open, and their training continues.

`version_0_1_0/` holds, for a small run of each family, the config.json that this version wrote and the names, types and
shapes of the variables in its checkpoints. A test writes a run in that form, with the weights of new networks.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.cli.main import run_command
from gan_tf.config.settings import from_stored_settings
from gan_tf.data.prepare import prepare
from gan_tf.data.sources import ArraySource
from gan_tf.runs.checkpoints import read_arrays, write_variables
from gan_tf.runs.folder import Run
from gan_tf.runs.weights import load_generator
from gan_tf.training.state import weights_of
from gan_tf.training.trainer import build_trainer
from tests.training import tiny

FORMS = Path(__file__).parent / "version_0_1_0"
SEEN = 40
FAMILIES = ["pggan", "stylegan2", pytest.param("fastgan", marks=pytest.mark.slow)]


@pytest.fixture
def run(request, tmp_path):
    """A run of version 0.1.0 at SEEN images, next to its images.npz."""
    family = request.param
    np.savez(tmp_path / "images.npz", images=tiny.square_images())
    stored = json.loads((FORMS / f"{family}.json").read_text())
    stored["settings"]["dataset"] = str(tmp_path / "images.npz")
    config = from_stored_settings(stored["settings"], family)
    images = prepare(ArraySource("images", tiny.square_images()), resolution=config.resolution)
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


@pytest.mark.parametrize("run", FAMILIES, indirect=True)
def test_commands_open_it(run, tmp_path):
    for which in ("best", "last"):
        trained = load_generator(run, which)
        assert trained.images_seen == SEEN
    out = tmp_path / "images"
    assert run_command("generate", [str(run.folder), "--seeds", "0-1", "--out", str(out)]) == 0
    assert len(list(out.glob("*.png"))) == 2


@pytest.mark.slow
@pytest.mark.parametrize("run", ["fastgan", "pggan", "stylegan2"], indirect=True)
def test_training_continues(run, capsys):
    config, _ = run.read_settings()
    arguments = ["--model", config.model, "--checkpoints", str(run.folder.parent), "--run", run.folder.name]
    for name, value in json.loads((run.folder / "config.json").read_text())["settings"].items():
        if name not in ("model", "classes", "total_kimg"):
            flag = name.replace("_", "-")
            arguments += (
                [f"--{flag}" if value else f"--no-{flag}"] if isinstance(value, bool) else [f"--{flag}", str(value)]
            )
    with tiny.in_place(tiny.FASTGAN):
        assert run_command("train", [*arguments, "--total-kimg", "0.06"]) == 0
    assert f"from {SEEN} images" in capsys.readouterr().out
    seen, prefix = run.checkpoints()[0]
    assert seen >= 60
    assert all(np.isfinite(array).all() for array in read_arrays(prefix).values())
