"""`gan-tf export` from a run folder to a file that was run, and every mistake in one line."""

import errno
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.cli.main import run_command
from gan_tf.export import FORMATS, output

from ..export import trained as networks
from ..training import growing, tiny

COMMAND = [sys.executable, "-c", "import sys; from gan_tf.cli.main import main; sys.exit(main(sys.argv[1:]))"]
ROOT = Path(__file__).resolve().parent.parent.parent

for needed in ("ai_edge_litert", "onnxruntime", "tf2onnx"):
    pytest.importorskip(needed, reason=f"needs {needed}")


@pytest.fixture(scope="module")
def fastgan(tmp_path_factory):
    return networks.make_run(tmp_path_factory.mktemp("runs") / "panda", networks.fastgan())


@pytest.fixture(scope="module")
def pggan(tmp_path_factory):
    return networks.make_run(tmp_path_factory.mktemp("runs") / "faces", networks.pggan(2.5))


def export(run, *arguments):
    return run_command("export", [str(run.folder), *map(str, arguments)])


@pytest.mark.parametrize("form", FORMATS)
def test_a_file_and_its_report(fastgan, tmp_path, capsys, form):
    out, report = tmp_path / "new" / "file", tmp_path / "report.json"
    assert export(fastgan, "--format", form, "--out", out, "--report", report) == 0
    said = capsys.readouterr().out
    assert "fastgan at 64x64, best weights, 12.0 kimg, swd2k 28.5" in said
    assert re.search(r"size +\d+\.\d\d MB", said) and re.search(r"time +\d+\.\d ms an image", said)
    assert re.search(r"difference +from Keras over 64 seeds: largest \S+, mean \S+", said)
    assert "latents [" in said and "images [" in said and "note" not in said
    told = json.loads(report.read_text())
    assert told["largest"] < 1e-4 and told["mean"] < told["largest"] and told["seeds"] == 64
    assert told["noise"] == "constant" and told["score"]["name"] == "swd2k" and told["final"] is None
    assert told["batch"] == (1 if form == "tflite" else "dynamic")
    inside = FORMATS[form].read_metadata(out)
    assert inside.items() <= told.items()
    assert [entry.name for entry in out.parent.iterdir()] == ["file"]


def test_the_middle_of_growth_and_a_licence(pggan, tmp_path, capsys):
    words = "Photographs by A. Smith, CC BY 4.0"
    arguments = ("--format", "onnx", "--out", tmp_path / "file", "--licence", words, "--batch", 5)
    assert export(pggan, *arguments) == 0
    assert "pggan at 32x32, best weights" in capsys.readouterr().out
    inside = FORMATS["onnx"].read_metadata(tmp_path / "file")
    assert (inside["licence"], inside["batch"], inside["noise"]) == (words, 5, "none")


@pytest.mark.slow
def test_a_growing_run_as_training_leaves_it(tmp_path, capsys):
    pictures = tiny.images_file(tmp_path)
    code, run = growing.train(pictures, tmp_path, total_kimg=0.14)  # 16x16 has begun to fade in at image 120
    assert code == 0
    for form, which in (("tflite", "last"), ("saved_model", "best")):
        capsys.readouterr()
        report = tmp_path / f"{form}.json"
        assert export(run, "--format", form, "--which", which, "--out", tmp_path / form, "--report", report) == 0
        told = json.loads(report.read_text())
        assert told["largest"] < 1e-4 and told["weights"] == which
        if which == "last":
            assert "at 16x16, last weights" in capsys.readouterr().out
            assert (told["resolution"], told["grows_to"], told["score"]) == (16, 16, None)
        else:
            assert told["score"]["protocol"]["resolution"] == told["resolution"]


def test_int8_says_how_far_it_is_off(fastgan, tmp_path, capsys):
    report = tmp_path / "report.json"
    arguments = ("--format", "tflite", "--precision", "int8", "--out", tmp_path / "file", "--report", report)
    assert export(fastgan, *arguments) == 0
    told = json.loads(report.read_text())
    assert 1 / 127.5 < told["largest"] < 0.15 and 0 < told["mean"] < 0.015
    assert "more than one step of a byte; --precision float16 is closer" in capsys.readouterr().out


def test_seeds_give_the_images_of_generate(fastgan, tmp_path):
    from PIL import Image

    from gan_tf import rng
    from gan_tf.io import image_files

    assert export(fastgan, "--format", "onnx", "--noise", "input", "--out", tmp_path / "file") == 0
    generate = ["--seeds", "3", "--out", str(tmp_path), "--precision", "float32"]
    assert run_command("generate", [str(fastgan.folder), *generate]) == 0
    inputs = [rng.latents_of_seeds([3], 16), *rng.noise_of_seeds([3], networks.fastgan().generator.noise_shapes)]
    [image] = image_files.to_uint8(FORMATS["onnx"].open(tmp_path / "file")([tensor.numpy() for tensor in inputs]))
    wanted = np.asarray(Image.open(tmp_path / "seed-000003.png")).astype(int)
    assert np.abs(image - wanted).max() <= 1 and wanted.std() > 20


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--format", "tfjs"], "tfjs"),
        ([], "--format"),
        (["--format", "onnx", "--precision", "float16"], "--precision float16: a onnx file is float32"),
        (["--format", "saved_model", "--precision", "int8"], "--format tflite"),
        (["--format", "tflite", "--precision", "int4"], "int4"),
        (["--format", "tflite", "--noise", "loud"], "loud"),
        (["--format", "tflite", "--noise", "input", "--noise-seed", "1"], "--noise-seed 1 has no effect"),
        (["--format", "tflite", "--noise-seed", "-1"], "--noise-seed"),
        (["--format", "tflite", "--batch", "0"], "--batch '0'"),
        (["--format", "tflite", "--batch", "many"], "--batch 'many'"),
        (["--format", "tflite", "--batch", "65"], "1 to 64"),
        (["--format", "tflite", "--which", "worst"], "--which 'worst'"),
        (["--format", "tflite", "--which", "7"], "no snapshot"),
        (["--format", "tflite", "--which", "\u00b2"], "--which '\u00b2' is unknown"),
        (["--format", "tflite", "--which", "\u0663"], "is unknown"),
        (["--format", "tflite", "--which", "7" * 5000], "is unknown"),
        (["--format", "tflite", "--licence", "x" * 5000], "--licence has 5000 characters"),
        (["--format", "tflite", "--frmat", "1"], "frmat"),
    ],
)
def test_a_wrong_option_is_named_in_one_line(fastgan, tmp_path, capsys, arguments, words):
    assert export(fastgan, "--out", tmp_path / "none", *arguments) == 2
    error = capsys.readouterr().err.strip()
    assert words in error and "\n" not in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [["--noise", "input"], ["--noise", "constant"], ["--noise-seed", "3"]])
def test_noise_of_a_family_without_any(pggan, tmp_path, capsys, arguments):
    assert export(pggan, "--format", "tflite", "--out", tmp_path / "none", *arguments) == 2
    assert f"{arguments[0]}" in (error := capsys.readouterr().err) and "pggan takes no noise" in error


def test_a_folder_that_is_no_run(tmp_path, capsys):
    assert run_command("export", [str(tmp_path / "missing"), "--format", "tflite"]) == 2
    assert "no run folder" in capsys.readouterr().err


def test_what_is_there_is_replaced_only_if_asked(fastgan, tmp_path, capsys):
    out = tmp_path / "file"
    out.write_text("mine")
    assert export(fastgan, "--format", "onnx", "--out", out) == 2
    assert "give --overwrite" in capsys.readouterr().err and out.read_text() == "mine"
    assert export(fastgan, "--format", "saved_model", "--out", out, "--overwrite") == 2
    assert out.read_text() == "mine"
    assert export(fastgan, "--format", "onnx", "--out", out, "--overwrite") == 0
    assert FORMATS["onnx"].read_metadata(out)["family"] == "fastgan"


@pytest.mark.parametrize("form", [name for name, form in FORMATS.items() if form.needs])
def test_a_missing_package_is_named_with_pips_command(fastgan, tmp_path, capsys, monkeypatch, form):
    package, module = list(FORMATS[form].needs.items())[-1]
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == module else found(name))
    assert export(fastgan, "--format", form, "--out", tmp_path / "none") == 2
    error = capsys.readouterr().err
    assert f"--format {form} needs {package}: pip install {package}\n" in error
    assert list(tmp_path.iterdir()) == []


def test_extras_hold_what_formats_need():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for form in ("tflite", "onnx"):
        assert {re.match(r"[\w-]+", line)[0] for line in extras[form]} == set(FORMATS[form].needs)
        assert set(extras[form]) <= set(extras["test"])


def test_an_output_that_cannot_be_made(fastgan, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert export(fastgan, "--format", "tflite", "--out", tmp_path / "file" / "below") == 2
    error = capsys.readouterr().err.strip()
    assert "--out" in error and "\n" not in error


@pytest.mark.parametrize("made", ["file", "./file", "new/../file", "file/report.json"])
def test_a_report_in_the_place_of_the_file_is_refused_before_the_work(fastgan, tmp_path, monkeypatch, capsys, made):
    monkeypatch.chdir(tmp_path)
    assert export(fastgan, "--format", "saved_model", "--out", "file", "--report", made) == 2
    error = capsys.readouterr()
    assert "is the place of the exported file, or within it" in error.err and error.out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_report_that_is_there_is_replaced_only_if_asked(fastgan, tmp_path, capsys):
    report = tmp_path / "report.json"
    report.write_text("mine")
    arguments = ("--format", "onnx", "--batch", 1, "--out", tmp_path / "file", "--report", report)
    assert export(fastgan, *arguments) == 2
    assert f"--report {report} is there already; give --overwrite" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"] and report.read_text() == "mine"
    assert export(fastgan, *arguments, "--overwrite") == 0
    assert json.loads(report.read_text())["batch"] == 1
    assert export(fastgan, "--format", "onnx", "--out", tmp_path / "other", "--report", tmp_path) == 2
    assert f"--report {tmp_path} is a folder" in capsys.readouterr().err


def test_a_saved_model_that_the_disk_refuses_is_one_line(fastgan, tmp_path, monkeypatch, capsys):
    """TensorFlow tells of it by errors of its own."""

    def refuse(*arguments, **options):
        raise tf.errors.PermissionDeniedError(None, None, f"{tmp_path}/x; Permission denied")

    monkeypatch.setattr(tf.saved_model, "save", refuse)
    assert export(fastgan, "--format", "saved_model", "--out", tmp_path / "file") == 2
    error = capsys.readouterr().err.strip()
    assert f"--out {tmp_path / 'file'} cannot be written: see that it can be read and written" in error
    assert list(tmp_path.iterdir()) == []


def test_errors_name_the_file_that_was_not_asked_for_by_name(fastgan, tmp_path, monkeypatch, capsys):
    def refuse(part):
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(output, "sync", refuse)
    assert export(fastgan, "--format", "onnx", "--batch", 1) == 2
    assert "--out panda.onnx cannot be written: Invalid argument" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["saved_model", "onnx"])
def test_a_kill_in_the_middle_leaves_no_file(fastgan, tmp_path, form):
    out = tmp_path / "file"
    process = subprocess.Popen([*COMMAND, "export", str(fastgan.folder), "--format", form, "--out", str(out)])
    try:
        deadline = time.monotonic() + 120
        while not (parts := list(tmp_path.glob("file.*.part"))):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        assert process.wait() == -signal.SIGKILL
    assert parts[0] in (left := list(tmp_path.iterdir()))  # of which `output` tells
    assert all(path.name.startswith("file.") and path.name.endswith(".part") for path in left)
    assert export(fastgan, "--format", form, "--out", out) == 0


def test_a_failing_converter_leaves_no_file(fastgan, tmp_path, monkeypatch):
    import tf2onnx

    def fail(*arguments, **options):
        raise RuntimeError("a defect")

    monkeypatch.setattr(tf2onnx.convert, "from_function", fail)
    with pytest.raises(RuntimeError):  # a defect keeps its traceback
        export(fastgan, "--format", "onnx", "--out", tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


def test_help_does_not_load_tensorflow():
    code = "import sys\nfrom gan_tf.cli.export import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    code += "sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


SLOW = [pytest.param(form, marks=pytest.mark.slow) for form in FORMATS if form != "tflite"]


@pytest.mark.parametrize("form", ["tflite", *SLOW])
def test_a_process_of_its_own_says_nothing_but_the_report(fastgan, tmp_path, form):
    done = subprocess.run(
        [*COMMAND, "export", str(fastgan.folder), "--format", form],
        capture_output=True,
        text=True,
        cwd=tmp_path,  # whose file is called after the run
        env={name: value for name, value in os.environ.items() if not name.startswith("TF_CPP")} | {"PYTHONPATH": ROOT},
    )
    assert done.returncode == 0, done.stderr
    # On a machine with much other work the comparison may take long enough for a line of progress.
    assert re.sub(r"\d+/64 images compared with Keras.*\n", "", done.stderr) == ""
    assert len(done.stdout.splitlines()) == 7
    assert [entry.name for entry in tmp_path.iterdir()] == ["panda" + FORMATS[form].suffix]
