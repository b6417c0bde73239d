"""`gan-tf interpolate`: animations, frames, and rows; `gan-tf style-mix`: the table of images."""

import functools

import numpy as np
import pytest
from PIL import Image

import gan_tf
from gan_tf.io.image_files import read_png
from gan_tf.sampling.interpolate import random_seeds
from tests.sampling.trained import make_growing


@pytest.fixture(scope="module")
def image_of(run):
    """Function from a seed to its image."""
    trained = gan_tf.load(run.folder)
    return lambda seed: trained.sample(seed)[0].astype(int)


@pytest.fixture
def interpolate(run, done):
    return functools.partial(done, "interpolate", run.folder, "--precision", "float32")


def read_frames(folder):
    return [read_png(path).astype(int) for path in sorted(folder.iterdir())]


def test_a_loop_starts_at_the_first_seed_and_does_not_repeat_it(interpolate, image_of, tmp_path):
    printed = interpolate("--seeds", "3,7,11", "--steps", 4, "--loop", "--out", tmp_path / "frames").out
    assert "12 frames, 0.4 s" in printed
    frames = read_frames(tmp_path / "frames")
    assert len(frames) == 12 and np.abs(frames[0] - image_of(3)).max() <= 1
    changes = [np.abs(a - b).mean() for a, b in zip(frames, frames[1:] + frames[:1], strict=True)]
    assert min(changes) > 0 and changes[-1] < 2 * np.median(changes)


def test_random_seeds_are_printed_and_give_the_same_images(interpolate, tmp_path):
    printed = interpolate("--keys", 3, "--seed", 5, "--steps", 2, "--out", tmp_path / "a").out
    seeds = next(line for line in printed.splitlines() if line.startswith("seeds: "))
    interpolate("--seeds", seeds.removeprefix("seeds: "), "--steps", 2, "--out", tmp_path / "b")
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    assert random_seeds(3, 5) != random_seeds(3, 6)
    assert len(set(random_seeds(2000, 0))) == 2000


def test_outputs_by_default(interpolate, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    interpolate("--seeds", "1,2", "--steps", 5, "--fps", 10)
    with Image.open(tmp_path / "interpolation.webp") as image:
        assert image.n_frames == 6 and image.size == (64, 64)
    interpolate("--rows", "--steps", 2)
    assert read_png(tmp_path / "interpolation.png").shape == (8 * 64, 3 * 64, 3)


def test_walks_are_shown_in_a_grid(interpolate, image_of, tmp_path):
    interpolate("--seeds", "0-5", "--walks", 3, "--steps", 2, "--out", tmp_path / "f")
    grid = read_frames(tmp_path / "f")[0]
    assert grid.shape == (128, 128, 3) and not grid[64:, 64:].any()
    for cell, seed in ((grid[:64, :64], 0), (grid[:64, 64:], 2), (grid[64:, :64], 4)):
        assert np.abs(cell - image_of(seed)).max() <= 1


def test_rows_of_pairs(interpolate, image_of, tmp_path):
    out = tmp_path / "rows.png"
    interpolate("--seeds", "0,1,2,1,4,5", "--rows", "--steps", 4, "--out", out)
    rows = read_png(out).astype(int)
    assert rows.shape == (3 * 64, 5 * 64, 3)
    for row, seed in enumerate((0, 2, 4)):
        assert np.abs(rows[64 * row : 64 * row + 64, :64] - image_of(seed)).max() <= 1
    with Image.open(out) as image:
        assert "between seeds 0 1; 2 1; 4 5" in image.text["Description"]


def test_a_table_of_mixed_images(run, image_of, tmp_path, done):
    out = tmp_path / "mix.png"
    seeds = ("--rows", "0-1", "--columns", "1,5,9")
    printed = done("style-mix", run.folder, *seeds, "--precision", "float32", "--out", out).out
    assert f"2 x 3 mixed images, content from the left, style from the top: {out}" in printed
    table = read_png(out).astype(int)
    assert table.shape == (3 * 64 + 4, 4 * 64 + 4, 3)
    header, cell = table[132:, :64], table[132:, 68:132]  # seed 1 alone, and mixed with itself
    assert np.abs(header - cell).max() <= 1
    assert np.abs(image_of(1) - header).max() <= 1
    with Image.open(out) as image:
        assert "content of seeds 0-1 (rows), style of 1,5,9 (columns)" in image.text["Description"]


def test_progressive_gan_is_rejected(tmp_path, refused):
    run = make_growing(tmp_path / "run").folder
    error = refused("style-mix", run, "--out", tmp_path / "mix.png")
    assert error.startswith("style-mix needs a run of fastgan or stylegan2") and f"{run} is one of pggan" in error
    assert not (tmp_path / "mix.png").exists()
