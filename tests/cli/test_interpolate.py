"""`gan-tf interpolate`: animations, frames, rows, and usage errors."""

import numpy as np
import pytest
from PIL import Image

import gan_tf
from gan_tf.cli.interpolate import InterpolateOptions, seeds_of_walks
from gan_tf.cli.main import run_command
from gan_tf.io.image_files import read_png
from gan_tf.sampling.interpolate import random_seeds

from ..sampling.trained import make_run, make_styled


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "run").folder


@pytest.fixture(scope="module")
def image_of(run):
    """Function from a seed to its image."""
    trained = gan_tf.load(run)
    return lambda seed: trained.sample(seed)[0].astype(int)


def interpolate(run, *arguments):
    return run_command("interpolate", [str(run), "--precision", "float32", *map(str, arguments)])


def read_frames(folder):
    return [read_png(path).astype(int) for path in sorted(folder.iterdir())]


def test_a_loop_starts_at_the_first_seed_and_does_not_repeat_it(run, image_of, tmp_path, capsys):
    assert interpolate(run, "--seeds", "3,7,11", "--steps", 4, "--loop", "--out", tmp_path / "frames") == 0
    frames = read_frames(tmp_path / "frames")
    assert len(frames) == 12 and np.abs(frames[0] - image_of(3)).max() <= 1
    changes = [np.abs(a - b).mean() for a, b in zip(frames, frames[1:] + frames[:1], strict=True)]
    assert min(changes) > 0 and changes[-1] < 2 * np.median(changes)
    assert "12 frames, 0.4 s" in capsys.readouterr().out


def test_random_seeds_are_printed_and_give_the_same_images(run, tmp_path, capsys):
    assert interpolate(run, "--keys", 3, "--seed", 5, "--steps", 2, "--out", tmp_path / "a") == 0
    seeds = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("seeds: "))
    assert interpolate(run, "--seeds", seeds.removeprefix("seeds: "), "--steps", 2, "--out", tmp_path / "b") == 0
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    assert random_seeds(3, 5) != random_seeds(3, 6)
    assert len(set(random_seeds(2000, 0))) == 2000


def test_outputs_by_default(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert interpolate(run, "--seeds", "1,2", "--steps", 5, "--fps", 10) == 0
    with Image.open(tmp_path / "interpolation.webp") as image:
        assert image.n_frames == 6 and image.size == (64, 64)
    assert interpolate(run, "--rows", "--steps", 2) == 0
    assert read_png(tmp_path / "interpolation.png").shape == (8 * 64, 3 * 64, 3)


def test_walks_are_shown_in_a_grid(run, image_of, tmp_path):
    assert interpolate(run, "--seeds", "0-5", "--walks", 3, "--steps", 2, "--out", tmp_path / "f") == 0
    grid = read_frames(tmp_path / "f")[0]
    assert grid.shape == (128, 128, 3) and not grid[64:, 64:].any()
    for cell, seed in ((grid[:64, :64], 0), (grid[:64, 64:], 2), (grid[64:, :64], 4)):
        assert np.abs(cell - image_of(seed)).max() <= 1


def test_rows_of_pairs(run, image_of, tmp_path):
    out = tmp_path / "rows.png"
    assert interpolate(run, "--seeds", "0-5", "--rows", "--steps", 4, "--out", out) == 0
    rows = read_png(out).astype(int)
    assert rows.shape == (3 * 64, 5 * 64, 3)
    for row, seed in enumerate((0, 2, 4)):
        assert np.abs(rows[64 * row : 64 * row + 64, :64] - image_of(seed)).max() <= 1
    with Image.open(out) as image:
        assert "between seeds 0 1; 2 3; 4 5" in image.text["Description"]


@pytest.mark.slow
def test_w_of_stylegan2(tmp_path):
    run, out = make_styled(tmp_path / "run").folder, tmp_path / "rows.png"
    assert interpolate(run, "--rows", "--seeds", "3,7", "--steps", 2, "--space", "w", "--out", out) == 0
    frames = gan_tf.load(run).interpolate([3, 7], steps=2, space="w")
    assert np.abs(read_png(out).astype(int) - np.concatenate(frames, axis=1)).max() <= 1


@pytest.mark.parametrize(
    "options, walks",
    [
        ({"seeds": "1-6", "walks": 2}, [[1, 2, 3], [4, 5, 6]]),
        ({"seeds": "3,7,3"}, [[3, 7, 3]]),
        ({"seeds": "1,2,1,3", "rows": True}, [[1, 2], [1, 3]]),
    ],
)
def test_seeds_are_divided_evenly_and_can_repeat(options, walks):
    assert seeds_of_walks(InterpolateOptions("run", **options)) == walks


def test_truncation_0_gives_one_image(run, tmp_path):
    """Truncation is applied after interpolation: truncated to 0, the keys would be equal."""
    assert interpolate(run, "--seeds", "3,7,3", "--steps", 2, "--truncation", 0, "--out", tmp_path / "f") == 0
    frames = read_frames(tmp_path / "f")
    assert len(frames) == 5 and all((frame == frames[0]).all() for frame in frames)


def test_errors_are_found_before_the_work(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("gan_tf.cli.interpolate.run_on_device", lambda *arguments: pytest.fail("the work has begun"))
    (tmp_path / "file").write_text("")
    (tmp_path / "a.png").mkdir()
    for out, more in (("file/a.webp", []), ("file", []), ("a.png", ["--rows"])):
        assert interpolate(run, "--out", tmp_path / out, *more) == 2
        assert f"--out {tmp_path / out}" in capsys.readouterr().err
    assert interpolate(run, "--keys", 10_000, "--walks", 10_000, "--steps", 1) == 2
    assert "100000000 images" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--space", "w"], "--space w"),
        (["--seeds", "5"], "1 seeds cannot be divided among 1 walks"),
        (["--seeds", "0-4", "--rows"], "5 seeds cannot be divided among 2 walks"),
        (["--seeds", "1-a"], "'1-a'"),
        (["--seeds", "1,2", "--keys", "3"], "--keys is 3"),
        (["--out", "a.avi"], "--out a.avi"),
        (["--out", "a.gif", "--fps", "60"], "--fps is 60"),
        (["--rows", "--out", "a.webp"], "--out a.webp"),
        (["--rows", "--steps", "500"], "fewer --steps"),
        (["--steps", "0"], "--steps is 0"),
        (["--steps", "100000"], "--steps 100000"),
        (["--fps", "inf"], "--fps is inf"),
        (["--fps", "nan", "--rows"], "--fps is nan"),
        (["--truncation", "-1"], "--truncation is -1"),
    ],
)
def test_usage_errors_name_the_option(run, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert interpolate(run, *arguments) == 2
    error = capsys.readouterr().err.strip()
    assert message in error and "\n" not in error
    assert not list(tmp_path.iterdir())
