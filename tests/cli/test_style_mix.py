"""`gan-tf style-mix` from a run folder to a picture, and what it refuses."""

import numpy as np
import pytest
from PIL import Image

from gan_tf.cli.main import run_command
from gan_tf.io.image_files import read_png

from ..sampling.trained import make_growing, make_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "run").folder


def test_the_picture(run, tmp_path, capsys):
    out = tmp_path / "mix.png"
    seeds = ["--rows", "0-1", "--columns", "1,5,9"]
    assert run_command("style-mix", [str(run), *seeds, "--out", str(out), "--precision", "float32"]) == 0
    picture = read_png(out).astype(int)
    assert picture.shape == (3 * 64 + 4, 4 * 64 + 4, 3)
    source, cell = picture[132:, :64], picture[132:, 68:132]  # seed 1 by itself, and mixed with itself
    assert np.abs(source - cell).max() <= 1
    run_command("generate", [str(run), "--seeds", "1", "--out", str(tmp_path), "--precision", "float32"])
    assert np.abs(read_png(tmp_path / "seed-000001.png") - source).max() <= 1
    assert "2 x 3 mixtures, content from the left, style from above" in capsys.readouterr().out
    with Image.open(out) as image:
        assert "content of seeds 0-1 (rows), style of 1,5,9 (columns)" in image.text["Description"]


def test_progressive_gan_refuses_with_the_reason(tmp_path, capsys):
    folder = make_growing(tmp_path / "run").folder
    assert run_command("style-mix", [str(folder), "--out", str(tmp_path / "mix.png")]) == 2
    error = capsys.readouterr().err.strip()
    assert "run of pggan, which takes its latent in at 4x4 pixels alone" in error and "\n" not in error
    assert not (tmp_path / "mix.png").exists()


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--rows", "5-2"], "--rows '5-2': the range 5-2 runs backwards"),
        (["--columns", "x"], "--columns 'x'"),
        (["--columns", "0-999"], "--columns 1000: the picture would have 64128x512 pixels"),
        (["--out", "mix.jpg"], "give a .png"),
        (["--out", "file/mix.png"], "--out file/mix.png cannot be written"),
        (["--batch-size", "0"], "--batch-size is 0"),
    ],
)
def test_a_wrong_option_is_one_line(run, tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    assert run_command("style-mix", [str(run), *arguments]) == 2
    error = capsys.readouterr().err.strip()
    assert words in error and "\n" not in error
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
