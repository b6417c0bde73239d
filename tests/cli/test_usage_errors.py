"""Usage errors of the commands that write images: exit code 2, and one line that names the option and its value."""

import sys

import numpy as np
import pytest

from gan_tf.io import image_files


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working directory, with a file, an image that can be projected, and folders with names of images."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    image_files.save_png(tmp_path / "image.png", np.zeros((64, 64, 3), np.uint8))
    for name in ("taken.png", "out-grid.png", "a.zip-best.png"):
        (tmp_path / name).mkdir()
    return tmp_path


def check_error(run, folder, refused, command, arguments, message):
    before = sorted(folder.rglob("*"))
    assert message in refused(command, run.folder, *arguments.split())
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize(
    "command, arguments, message",
    [
        ("generate", "--seeds 5-2", "--seeds '5-2'"),
        ("generate", "--which worst", "--which 'worst'"),
        ("generate", "--batch-size 0", "--batch-size is 0"),
        ("generate", "--precision float64", "float64"),
        ("generate", "--sedes 1", "--sedes"),
        ("generate", "--grid --seeds 0-99999", "--grid of 100000 images"),
        ("generate", "--count 5 --seeds 1-3", "--count is 5 and --seeds 1-3"),
        ("generate", "--truncation 2.5", "--truncation is 2.5"),
        ("generate", "--out images.tar", "--out images.tar"),
        ("generate", f"--out {300 * 'x'}", "xxx (File name too long): give a shorter path, and start again"),
        ("generate", "--class panda", "--class panda"),
        ("generate", "--best 64", "--best is 64 of 64 images; give 1 to 63, or a larger --count"),
        ("generate", "--best 1 --seeds 0", "--best is 1 of 1 images; give a larger --count"),
        ("generate", "--by taste --best 3", "--by is 'taste'"),
        ("generate", "--best 70000 --count 80000", "--best is 70000"),
        ("generate", "--by pixels", "--by is pixels"),
        ("interpolate", "--space w", "--space w"),
        ("interpolate", "--seeds 5", "1 seeds cannot be divided among 1 walks"),
        ("interpolate", "--seeds 0-4 --rows", "5 seeds cannot be divided among 2 walks"),
        ("interpolate", "--seeds 1,2 --keys 3", "--keys is 3"),
        ("interpolate", "--out a.avi", "--out a.avi"),
        ("interpolate", "--out a.gif --fps 60", "--fps is 60"),
        ("interpolate", "--rows --out a.webp", "--out a.webp"),
        ("interpolate", "--rows --steps 500", "fewer --steps"),
        ("interpolate", "--steps 0", "--steps is 0"),
        ("interpolate", "--steps 100000", "--steps 100000"),
        ("interpolate", "--fps inf", "--fps is inf"),
        ("interpolate", "--truncation=-2.5", "--truncation is -2.5"),
        ("style-mix", "--truncation nan", "--truncation is nan"),
        ("style-mix", "--rows 5-2", "--rows '5-2'"),
        ("style-mix", "--columns 0-999", "64128x512"),
        ("style-mix", "--layers 3-", "--layers is 3-"),
        ("style-mix", "--out mix.jpg", "--out mix.jpg"),
        ("project", "missing.png", "IMAGE missing.png"),
        ("project", "file", "IMAGE file"),
        ("project", "image.png --space w", "--space w"),
        ("project", "image.png --steps=-1", "--steps is -1"),
        ("project", "image.png --restarts 0", "--restarts is 0"),
        ("project", "image.png --samples 1", "--samples is 1"),
        ("trian", "", "'trian'"),
        ("progress", "--out a.avi", "--out a.avi"),
        ("progress", "--fps 0", "--fps is 0"),
        ("progress", "--out file/a.gif", "--out file/a.gif"),
        ("progress", "--images 17", "--images is 17"),
        ("progress", "--hold=-1", "--hold is -1"),
    ],
)
def test_usage_errors(run, folder, refused, command, arguments, message):
    check_error(run, folder, refused, command, arguments, message)


@pytest.mark.parametrize(
    "command, arguments, message",
    [
        ("generate", "--out file", "--out file"),
        ("generate", "--out file/a.zip", "--out file/a.zip"),
        ("generate", "--out out --grid", "--grid"),
        ("generate", "--out a.zip --best 2 --by discriminator", "--best"),
        ("interpolate", "--out file/a.webp", "--out file/a.webp"),
        ("interpolate", "--out file", "--out file"),
        ("interpolate", "--out taken.png --rows", "--out taken.png"),
        ("interpolate", "--keys 10000 --walks 10000 --steps 1", "100000000 images"),
        ("style-mix", "--out file/mix.png", "--out file/mix.png"),
        ("project", "image.png --out file", "--out file"),
    ],
)
def test_unwritable_outputs_are_found_before_the_work(run, folder, refused, monkeypatch, command, arguments, message):
    module = f"gan_tf.cli.{command.replace('-', '_')}"
    monkeypatch.setattr(f"{module}.run_on_device", lambda *_: pytest.fail("the work has begun"))
    check_error(run, folder, refused, command, arguments, message)


def test_errors_on_a_terminal_are_not_coloured(run, refused, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert refused("generate", run.folder, "--sed", 1) == "Unrecognized options: --sed, 1; did you mean --seeds?"
    assert refused("generate") == "missing: RUN; see gan-tf generate --help"
    assert refused("project", "run", "--steps", "3") == "missing: IMAGE; see gan-tf project --help"


@pytest.mark.parametrize("command", ["generate", "interpolate", "style-mix", "project", "progress"])
def test_missing_runs(folder, refused, command):
    image = ["image.png"] if command == "project" else []
    assert "missing" in refused(command, "missing", *image)
