"""The commands that use a trained generator, on a run of StyleGAN2: from the run folder to the files."""

import numpy as np
import pytest

import gan_tf
from gan_tf.cli.main import run_command
from gan_tf.io import image_files

from ..sampling.trained import make_run, make_styled

pytestmark = pytest.mark.slow

EXACT = ("--precision", "float32")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_styled(tmp_path_factory.mktemp("runs") / "run").folder


def command(name, run, *arguments):
    return run_command(name, [str(run), *map(str, arguments)])


def test_generate_truncates_w(run, tmp_path):
    assert command("generate", run, "--seeds", "3", "--truncation", 0.5, "--out", tmp_path, *EXACT) == 0
    wanted = gan_tf.load(run).sample([3], truncation=0.5)[0].astype(int)
    assert np.abs(image_files.read_png(tmp_path / "seed-000003.png") - wanted).max() <= 1


def test_interpolate_in_w(run, tmp_path):
    out = tmp_path / "rows.png"
    assert (
        command("interpolate", run, "--rows", "--seeds", "3,7", "--steps", 2, "--space", "w", "--out", out, *EXACT) == 0
    )
    frames = gan_tf.load(run).interpolate([3, 7], steps=2, space="w")
    assert np.abs(image_files.read_png(out).astype(int) - np.concatenate(frames, axis=1)).max() <= 1


def test_style_mix_by_layers(run, tmp_path, capsys):
    out = tmp_path / "mix.png"
    layers = ("--rows", "1", "--columns", "2", "--layers", "0-2")
    assert command("style-mix", run, *layers, "--out", out, *EXACT) == 0
    wanted = gan_tf.load(run).mix([1], [2], layers="0-2")[0].astype(int)
    assert np.abs(image_files.read_png(out)[-16:, -16:] - wanted).max() <= 1
    assert "in the layers 0,1,2" in capsys.readouterr().out
    assert command("style-mix", run, "--layers", "9", "--out", out, *EXACT) == 2
    assert "the generator has the layers 0 to 5" in capsys.readouterr().err


def test_project_stores_ws(run, tmp_path, capsys):
    g = gan_tf.load(run)
    image_files.save_png(tmp_path / "image.png", g.sample([5])[0])
    quick = ("--distance", "l2", "--steps", 4, "--samples", 8, "--restarts", 2)
    for space in ((), ("--space", "w+")):
        assert command("project", run, tmp_path / "image.png", *quick, *space, "--out", tmp_path / "out") == 0
        assert f"distance of {space[-1] if space else 'w'} from the mean w" in capsys.readouterr().out
        with np.load(tmp_path / "out" / "latent.npz") as found:
            noise = [found[f"noise_{i}"] for i in range(5)]
            assert found["ws"].shape == (6, 12)
            assert (found["ws"] == found["ws"][:1]).all() == (not space)
            again = g.images_of(ws=found["ws"][None], noise=noise)[0].astype(int)
        assert np.abs(image_files.read_png(tmp_path / "out" / "projected.png") - again).max() <= 1


def test_other_families_have_no_w(tmp_path, capsys):
    run = make_run(tmp_path / "run").folder
    image_files.save_png(tmp_path / "image.png", np.zeros((64, 64, 3), np.uint8))
    assert (
        command("project", run, tmp_path / "image.png", "--space", "w", "--distance", "l2", "--out", tmp_path / "o")
        == 2
    )
    assert "--space w: " in capsys.readouterr().err
    assert command("style-mix", run, "--layers", "3-", "--out", tmp_path / "mix.png") == 2
    assert "have no styles" in capsys.readouterr().err
