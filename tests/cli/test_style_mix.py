"""`gan-tf style-mix`: the table of images."""

import numpy as np
import pytest
from PIL import Image

import gan_tf
from gan_tf.cli.main import run_command
from gan_tf.io.image_files import read_png

from ..sampling.trained import make_growing, make_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "run").folder


def style_mix(run, out, *arguments):
    return run_command("style-mix", [str(run), "--out", str(out), "--precision", "float32", *arguments])


def test_a_table_of_mixed_images(run, tmp_path, capsys):
    out = tmp_path / "mix.png"
    assert style_mix(run, out, "--rows", "0-1", "--columns", "1,5,9") == 0
    table = read_png(out).astype(int)
    assert table.shape == (3 * 64 + 4, 4 * 64 + 4, 3)
    header, cell = table[132:, :64], table[132:, 68:132]  # seed 1 alone, and mixed with itself
    assert np.abs(header - cell).max() <= 1
    assert np.abs(gan_tf.load(run).sample(1)[0] - header).max() <= 1
    assert f"2 x 3 mixed images, content from the left, style from the top: {out}" in capsys.readouterr().out
    with Image.open(out) as image:
        assert "content of seeds 0-1 (rows), style of 1,5,9 (columns)" in image.text["Description"]


def test_progressive_gan_is_rejected(tmp_path, capsys):
    assert style_mix(make_growing(tmp_path / "run").folder, tmp_path / "mix.png") == 2
    error = capsys.readouterr().err
    assert "style-mix: " in error and "pggan" in error
    assert not (tmp_path / "mix.png").exists()
