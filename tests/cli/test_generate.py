"""`gan-tf generate` from a run folder to files, and every mistake in one line."""

import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from gan_tf.cli.generate import beside
from gan_tf.cli.main import run_command
from gan_tf.data.sources import open_source
from gan_tf.sampling.store import Store

from ..sampling.trained import make_growing, make_run

COMMAND = [sys.executable, "-c", "import sys; from gan_tf.cli.main import main; sys.exit(main(sys.argv[1:]))"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "run")


def generate(run, *arguments):
    return run_command("generate", [str(run.folder), *map(str, arguments)])


def read(path):
    return np.asarray(Image.open(path)).astype(int)


def test_a_png_for_each_seed_and_a_grid(run, tmp_path, capsys):
    out = tmp_path / "new" / "pictures"
    assert generate(run, "--seeds", "0-2,1000000", "--out", out, "--grid", "--batch-size", 3) == 0
    names = ["seed-000000.png", "seed-000001.png", "seed-000002.png", "seed-1000000.png"]
    assert sorted(path.name for path in out.iterdir()) == names
    grid = read(tmp_path / "new" / "pictures-grid.png")
    assert grid.shape == (128, 128, 3)
    np.testing.assert_array_equal(grid[64:, 64:], read(out / "seed-1000000.png"))
    said = capsys.readouterr().out
    assert "best weights, 0.5 kimg" in said
    assert f"4 images: {out / 'seed-000000.png'} to seed-1000000.png" in said
    assert f"grid: {tmp_path / 'new' / 'pictures-grid.png'}" in said


def test_the_same_seed_gives_the_same_image_again(run, tmp_path):
    generate(run, "--seeds", "4-6", "--out", tmp_path / "a", "--precision", "float32")
    generate(run, "--seeds", "6,5", "--out", tmp_path / "b", "--precision", "float32", "--batch-size", 1)
    for name in ("seed-000005.png", "seed-000006.png"):
        assert np.abs(read(tmp_path / "a" / name) - read(tmp_path / "b" / name)).max() <= 1


def test_best_and_last_differ(run, tmp_path, capsys):
    for which in ("best", "last"):
        generate(run, "--seeds", "0", "--out", tmp_path / which, "--which", which)
    assert np.abs(read(tmp_path / "best" / "seed-000000.png") - read(tmp_path / "last" / "seed-000000.png")).max() > 1
    assert "last weights, 2.0 kimg" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--seeds", "5-2"], "runs backwards"),
        (["--which", "worst"], "worst"),
        (["--batch-size", "0"], "--batch-size"),
        (["--precision", "float64"], "float64"),
        (["--sedes", "1"], "sedes"),
        (["--grid", "--seeds", "0-99999"], "--grid holds 65536 images"),
        (["--count", "0"], "--count is 0"),
        (["--count", "5", "--seeds", "1-3"], "--count is 5 and --seeds 1-3"),
        (["--truncation", "2.5"], "--truncation is 2.5; give a number from 0 to 2"),
        (["--truncation", "nan"], "--truncation is nan"),
        (["--out", "images.tar"], "images do not go into a .tar"),
        (["--class", "panda"], "--class panda"),
        (["--best", "64"], "--best is 64 of 64 images; give 1 to 63"),
        (
            ["--count", "70000", "--grid"],
            "--grid holds 65536 images at 64x64, --count is 70000: the picture",
        ),
        (["--count", "80000", "--best", "70000"], "--best is 70000: the picture would have"),
        (["--count", "80000", "--best", "65600", "--by", "pixels", "--grid"], "at 64x64, --best keeps 65600: the"),
        (["--seeds", ""], "--seeds '': '' is no number or range"),
        (["--by", "pixels"], "--by is pixels, but without --best nothing is judged; leave it out"),
        (["--weights", "a.pth"], "--weights is a.pth, but without --best"),
        (["--dataset", "panda"], "--dataset is panda, but without --best"),
        (["--out", "~nobody-of-that-name/a"], "no home folder is known for it"),
        (["--best", "3", "--by", "taste"], "--by is 'taste'; give discriminator, features, pixels"),
    ],
)
def test_a_wrong_option_is_named_in_one_line(run, tmp_path, capsys, arguments, words):
    assert generate(run, "--out", tmp_path / "none", *arguments) == 2
    error = capsys.readouterr().err.strip()
    assert words in error and "\n" not in error
    assert not (tmp_path / "none").exists()


def test_a_folder_that_is_no_run(tmp_path, capsys):
    assert run_command("generate", [str(tmp_path / "missing")]) == 2
    assert "no run folder" in capsys.readouterr().err


def test_places_that_cannot_be_written_are_found_before_the_work(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("gan_tf.cli.generate.run_on_device", lambda *arguments: pytest.fail("the work has begun"))
    (tmp_path / "file").write_text("")
    (tmp_path / "out-grid.png").mkdir()
    (tmp_path / "a.zip-best.png").mkdir()
    for arguments, words in (
        (["--out", tmp_path / "file"], f"--out {tmp_path / 'file'} cannot be written"),
        (["--out", tmp_path / "file" / "a.zip"], "--out"),
        (["--out", tmp_path / "out", "--grid"], "--grid"),
        (["--out", tmp_path / "a.zip", "--best", "2", "--by", "discriminator"], "--best"),
    ):
        assert generate(run, "--count", 4, *arguments) == 2
        error = capsys.readouterr().err
        assert f"error: {words}" in error and "cannot be written" in error


def test_the_folder_of_the_program_gets_its_grid_beside_it(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert beside(Path("."), "grid") == tmp_path / "here-grid.png"
    assert beside(Path("a/.."), "grid") == tmp_path / "here-grid.png"
    assert beside(Path("a/b.npz"), "best") == Path("a/b.npz-best.png")


def test_images_of_other_seeds_are_named(run, tmp_path, capsys):
    for seeds in ("3-5", "5-6"):
        assert generate(run, "--seeds", seeds, "--out", tmp_path) == 0
    told = capsys.readouterr().out
    assert told.count("other seeds") == 1 and "also holds 2 images of other seeds, such as seed-000003.png" in told


def test_a_full_disk_under_out_is_one_line_and_an_unnamed_error_is_not_laid_on_it(run, tmp_path, capsys, monkeypatch):
    def full(number):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("gan_tf.cli.generate.check_writable", lambda *arguments, **options: None)
        patch.setattr("gan_tf.io.files.os.fsync", full)
        assert generate(run, "--seeds", "0", "--out", tmp_path / "new") == 2
    assert f"--out {tmp_path / 'new'} cannot be written: No space left" in capsys.readouterr().err
    monkeypatch.setattr("gan_tf.sampling.generate.images_of_seeds", lambda *arguments, **options: full(0))
    with pytest.raises(OSError, match="No space left"):
        generate(run, "--seeds", "0", "--out", tmp_path / "other")


def test_too_little_memory_is_one_line(run, tmp_path, capsys, monkeypatch):
    def fail(*arguments, **options):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating")

    monkeypatch.setattr("gan_tf.sampling.generate.images_of_seeds", fail)
    assert generate(run, "--seeds", "0", "--out", tmp_path) == 2
    assert "--batch-size" in capsys.readouterr().err


def test_a_disk_that_fails_elsewhere_is_not_laid_on_out(run, tmp_path, monkeypatch):
    def fail(*arguments, **options):
        raise OSError(5, "Input/output error", "/elsewhere/file")

    monkeypatch.setattr("gan_tf.sampling.generate.images_of_seeds", fail)
    with pytest.raises(OSError, match="elsewhere"):
        generate(run, "--seeds", "0", "--out", tmp_path)


def test_truncation_brings_images_nearer_to_each_other(run, tmp_path):
    spreads = []
    for truncation in ("1", "0.5", "0"):
        out = tmp_path / truncation
        assert generate(run, "--count", 8, "--truncation", truncation, "--out", out, "--precision", "float32") == 0
        spreads.append(np.stack([read(out / f"seed-{seed:06d}.png") for seed in range(8)]).std(axis=0).mean())
    assert spreads[0] > spreads[1] > spreads[2]


def test_progressive_gan_refuses_truncation_with_the_reason(tmp_path, capsys):
    growing = make_growing(tmp_path / "run")
    assert generate(growing, "--truncation", "0.7", "--out", tmp_path / "none") == 2
    error = capsys.readouterr().err.strip()
    assert "pggan brings every latent to one length" in error and "--best" in error and "\n" not in error
    assert generate(growing, "--truncation", "1", "--count", 3, "--out", tmp_path / "all") == 0
    assert len(list((tmp_path / "all").iterdir())) == 3


def test_zip_and_npz_hold_the_images_of_the_folder(run, tmp_path, capsys):
    for name in ("folder", "a.zip", "a.npz"):
        assert generate(run, "--count", 5, "--batch-size", 2, "--grid", "--out", tmp_path / name) == 0
    assert f"5 images: {tmp_path / 'a.npz'}" in capsys.readouterr().out
    with zipfile.ZipFile(tmp_path / "a.zip") as archive, np.load(tmp_path / "a.npz") as arrays:
        assert len(archive.namelist()) == 5
        for seed in range(5):
            wanted = tmp_path / "folder" / f"seed-{seed:06d}.png"
            assert archive.read(wanted.name) == wanted.read_bytes()
            np.testing.assert_array_equal(arrays["images"][seed], read(wanted))
    grids = {(tmp_path / f"{name}-grid.png").read_bytes() for name in ("folder", "a.zip", "a.npz")}
    assert len(grids) == 1
    assert len(open_source(str(tmp_path / "folder"))) == 5  # images alone


@pytest.mark.parametrize("name", ["folder", "a.zip", "a.npz"])
def test_an_interrupted_command_goes_on_to_the_same_bytes(run, tmp_path, monkeypatch, capsys, name):
    """Also where only the last batch, which is not full, is left to be made."""
    arguments = ["--count", 7, "--batch-size", 3, "--truncation", "0.9", "--precision", "float32"]
    assert generate(run, *arguments, "--out", tmp_path / "whole" / name) == 0
    write, written = Store.write, []

    def stopping(self, seeds, images):
        if len(written) == 2:
            raise KeyboardInterrupt
        write(self, seeds, images)
        written.append(seeds)

    monkeypatch.setattr(Store, "write", stopping)
    assert generate(run, *arguments, "--out", tmp_path / "stopped" / name) == 42
    monkeypatch.setattr(Store, "write", write)
    capsys.readouterr()
    assert generate(run, *arguments, "--out", tmp_path / "stopped" / name) == 0
    assert "6 of 7 images are there already; going on" in capsys.readouterr().out
    assert all_bytes(tmp_path / "stopped" / name) == all_bytes(tmp_path / "whole" / name)


def test_other_weights_are_another_job_and_the_old_one_is_kept(run, tmp_path, monkeypatch, capsys):
    arguments = ["--count", 4, "--batch-size", 2, "--out", tmp_path / "out"]
    finish = Store.finish
    monkeypatch.setattr(Store, "finish", lambda self: exit_with_interrupt())
    assert generate(run, *arguments) == 42
    monkeypatch.setattr(Store, "finish", finish)
    capsys.readouterr()
    assert generate(run, *arguments, "--which", "last") == 2
    error = capsys.readouterr().err.strip()
    assert "unfinished job of other settings; other is: the weights (--which," in error and "\n" not in error
    assert generate(run, *arguments) == 0
    assert "4 of 4 images are there already" in capsys.readouterr().out


def exit_with_interrupt():
    raise KeyboardInterrupt


def all_bytes(out):
    return {path.name: path.read_bytes() for path in out.iterdir()} if out.is_dir() else out.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["folder", "a.zip", "a.npz"])
def test_a_killed_process_goes_on_to_the_same_bytes(run, tmp_path, name):
    """SIGKILL at three moments, each after the one before."""
    arguments = ["generate", str(run.folder), "--count", "400", "--batch-size", "8", "--out"]
    wanted, out = tmp_path / "whole" / name, tmp_path / "killed" / name
    assert subprocess.run([*COMMAND, *arguments, str(wanted)]).returncode == 0
    journal = (out if name == "folder" else out.with_name(name + ".unfinished")) / "unfinished.jsonl"
    for batches in (3, 11, 30):
        process = subprocess.Popen([*COMMAND, *arguments, str(out)])
        while not journal.exists() or journal.read_bytes().count(b"\n") <= batches:
            assert process.poll() is None
            time.sleep(0.002)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        assert journal.exists()
    done = subprocess.run([*COMMAND, *arguments, str(out)], capture_output=True, text=True)
    assert done.returncode == 0 and "of 400 images are there already" in done.stdout
    assert all_bytes(out) == all_bytes(wanted)


def test_help_does_not_load_tensorflow():
    code = "import sys\nfrom gan_tf.cli.generate import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    code += "sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_a_process_of_its_own_says_nothing_but_what_it_did(run, tmp_path):
    done = subprocess.run(
        [*COMMAND, "generate", str(run.folder), "--seeds", "0-1", "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        env={name: value for name, value in os.environ.items() if not name.startswith("TF_CPP")},
    )
    assert done.returncode == 0
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 2
