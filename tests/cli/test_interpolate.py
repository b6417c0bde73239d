"""`gan-tf interpolate` from a run folder to animations, frames and rows, and every mistake in one line."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from gan_tf.cli.interpolate import InterpolateOptions, seeds_of_walks
from gan_tf.cli.main import run_command
from gan_tf.io.image_files import read_png
from gan_tf.sampling.interpolate import random_seeds

from ..sampling.trained import make_growing, make_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "run").folder


def interpolate(run, *arguments):
    return run_command("interpolate", [str(run), "--precision", "float32", *map(str, arguments)])


def image_of(run, seed, folder):
    arguments = ["--seeds", str(seed), "--out", str(folder), "--precision", "float32"]
    assert run_command("generate", [str(run), *arguments]) == 0
    return read_png(folder / f"seed-{seed:06d}.png").astype(int)


def test_frames_pass_through_the_seeds(run, tmp_path, capsys):
    """The first frame is the first seed's image: its noise is that of the whole walk."""
    assert interpolate(run, "--seeds", "3,7,11", "--steps", 4, "--out", tmp_path / "frames") == 0
    assert len(list((tmp_path / "frames").iterdir())) == 9
    first = read_png(tmp_path / "frames" / "frame-000000.png")
    assert np.abs(first - image_of(run, 3, tmp_path)).max() <= 1
    assert "9 frames, 0.3 s" in capsys.readouterr().out


def test_a_loop_has_no_second_first_frame(run, tmp_path):
    assert interpolate(run, "--seeds", "3,7,11", "--steps", 4, "--loop", "--out", tmp_path / "frames") == 0
    frames = [read_png(path).astype(int) for path in sorted((tmp_path / "frames").iterdir())]
    assert len(frames) == 12
    changes = [np.abs(a - b).mean() for a, b in zip(frames, frames[1:] + frames[:1], strict=True)]
    assert min(changes) > 0 and changes[-1] < 2 * np.median(changes)


def test_random_seeds_are_told_and_give_the_same_again(run, tmp_path, capsys):
    assert interpolate(run, "--keys", 3, "--seed", 5, "--steps", 2, "--out", tmp_path / "a") == 0
    told = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("seeds: "))
    assert interpolate(run, "--seeds", told.removeprefix("seeds: "), "--steps", 2, "--out", tmp_path / "b") == 0
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    assert random_seeds(3, 5) != random_seeds(3, 6)
    assert len(set(random_seeds(2000, 0))) == 2000


def test_webp_by_default(run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert interpolate(run, "--seeds", "1,2", "--steps", 5, "--fps", 10) == 0
    with Image.open(tmp_path / "interpolation.webp") as image:
        assert image.n_frames == 6 and image.size == (64, 64)
    assert "interpolation.webp" in capsys.readouterr().out


def test_walks_side_by_side(run, tmp_path):
    assert interpolate(run, "--seeds", "0-5", "--walks", 3, "--steps", 2, "--out", tmp_path / "f") == 0
    picture = read_png(tmp_path / "f" / "frame-000000.png").astype(int)
    assert picture.shape == (128, 128, 3) and not picture[64:, 64:].any()
    for place, seed in ((picture[:64, :64], 0), (picture[:64, 64:], 2), (picture[64:, :64], 4)):
        assert np.abs(place - image_of(run, seed, tmp_path)).max() <= 1


def test_rows_of_pairs(run, tmp_path):
    out = tmp_path / "rows.png"
    assert interpolate(run, "--seeds", "0-5", "--rows", "--steps", 4, "--out", out) == 0
    picture = read_png(out).astype(int)
    assert picture.shape == (3 * 64, 5 * 64, 3)
    for row, seed in enumerate((0, 2, 4)):
        assert np.abs(picture[64 * row : 64 * row + 64, :64] - image_of(run, seed, tmp_path)).max() <= 1
    with Image.open(out) as image:
        assert "between seeds 0 1; 2 3; 4 5" in image.text["Description"]


def test_rows_by_default_are_eight_pairs(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert interpolate(run, "--rows", "--steps", 2) == 0
    assert read_png(tmp_path / "interpolation.png").shape == (8 * 64, 3 * 64, 3)


def test_progressive_gan(tmp_path):
    run = make_growing(tmp_path / "run").folder
    assert interpolate(run, "--seeds", "1,2,3", "--steps", 3, "--out", tmp_path / "a.gif") == 0
    with Image.open(tmp_path / "a.gif") as image:
        assert image.size == (16, 16)


def walks(*arguments):
    return seeds_of_walks(InterpolateOptions("run", **dict(arguments)))


def test_seeds_are_shared_evenly_and_kept_as_often_as_they_are_named():
    assert walks(("seeds", "1-6"), ("walks", 2)) == [[1, 2, 3], [4, 5, 6]]
    assert walks(("seeds", "3,7,3")) == [[3, 7, 3]]
    assert walks(("seeds", "1,2,1,3"), ("rows", True)) == [[1, 2], [1, 3]]


def test_truncation_0_is_one_image(run, tmp_path):
    """The way is that of the latents as they are, and scaled afterwards: at 0 its keys are all the same."""
    assert interpolate(run, "--seeds", "3,7,3", "--steps", 2, "--truncation", 0, "--out", tmp_path / "f") == 0
    frames = [read_png(path) for path in sorted((tmp_path / "f").iterdir())]
    assert len(frames) == 5 and all((frame == frames[0]).all() for frame in frames)


def test_places_that_cannot_be_written_are_found_before_the_work(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("gan_tf.cli.interpolate.run_on_device", lambda *arguments: pytest.fail("the work has begun"))
    (tmp_path / "file").write_text("")
    (tmp_path / "a.png").mkdir()
    for out, more in (("file/a.webp", []), ("file", []), ("a.png", ["--rows"])):
        assert interpolate(run, "--out", tmp_path / out, *more) == 2
        assert f"--out {tmp_path / out} cannot be written" in capsys.readouterr().err


def test_too_many_keys_are_refused_before_they_are_drawn(run, capsys, monkeypatch):
    monkeypatch.setattr("gan_tf.sampling.interpolate.random_seeds", lambda *arguments: pytest.fail("they are drawn"))
    assert interpolate(run, "--keys", 10_000, "--walks", 10_000, "--steps", 1) == 2
    assert "10000 walks through 10000 seeds at --steps 1: 100000000 images are too many" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--space", "w"], "which has no mapping network, hence no w"),
        (["--seeds", "5"], "1 seeds cannot be shared by 1 walks"),
        (["--seeds", "0-4", "--rows"], "5 seeds cannot be shared by 2 walks"),
        (["--seeds", "1-a"], "no number or range"),
        (["--seeds", "1,2", "--keys", "3"], "--keys is 3, but --seeds"),
        (["--out", "a.avi"], ".avi is no animation"),
        (["--out", "a.gif", "--fps", "60"], "for .gif at most 50"),
        (["--rows", "--out", "a.webp"], "give a .png"),
        (["--rows", "--steps", "500"], "give fewer --steps"),
        (["--steps", "0"], "--steps is 0"),
        (["--fps", "nan"], "--fps is nan"),
        (["--fps", "inf"], "--fps is inf; give a number from 0.01 on, for .webp at most 120"),
        (["--fps", "1e-300"], "--fps is 1e-300; give a number from 0.01 on"),
        (["--fps", "nan", "--rows"], "--fps is nan"),
        (["--steps", "100000"], "are too many"),
        (["--truncation", "-1"], "--truncation is -1"),
    ],
)
def test_a_wrong_option_is_one_line(run, tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert interpolate(run, *arguments) == 2
    error = capsys.readouterr().err.strip()
    assert words in error and "\n" not in error
    assert not list(tmp_path.iterdir())


def test_help_does_not_load_tensorflow():
    for module in ("interpolate", "style_mix", "generate"):
        code = f"import sys\nfrom gan_tf.cli.{module} import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
        code += "sys.exit('tensorflow' in sys.modules or 'numpy' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0, module
