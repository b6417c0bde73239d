"""`gan-tf export`: from a run folder to a file that was compared with Keras; mistakes in one line."""

import errno
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import tomllib
import unittest.mock
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from gan_tf import rng
from gan_tf.export import FORMATS
from gan_tf.io import image_files
from tests.sampling import trained as networks

COMMAND = [sys.executable, "-c", "import sys; from gan_tf.cli.main import main; sys.exit(main(sys.argv[1:]))"]
ROOT = Path(__file__).resolve().parent.parent.parent

DENIED = tf.errors.PermissionDeniedError(None, None, "Permission denied")
BAD_REPORTS = ("file", "./file", "new/../file", "file/report.json", "folder")

for needed in ("onnxruntime", "tf2onnx"):
    pytest.importorskip(needed, reason=f"needs {needed}")


@pytest.fixture(scope="module")
def fastgan(tmp_path_factory):
    return networks.write_trained(tmp_path_factory.mktemp("runs") / "panda", networks.trained_fastgan())


@pytest.mark.parametrize("form", FORMATS)
def test_file_and_report(fastgan, tmp_path, done, form):
    out, report = tmp_path / "new[1] *" / "file[2]?", tmp_path / "report.json"
    printed = done("export", fastgan.folder, "--format", form, "--out", out, "--report", report).out
    assert "fastgan at 64x64, best weights, 12.0 kimg, swd2k 28.5" in printed
    assert re.search(r"size +\d+\.\d\d MB", printed) and re.search(r"time +\d+\.\d ms an image", printed)
    assert re.search(r"difference +from Keras over 64 seeds: largest \S+, mean \S+", printed)
    assert "latents [" in printed and "images [" in printed
    assert ("note" in printed) == (form == "saved_model")  # TensorFlow alone cannot load from such a folder
    values = json.loads(report.read_text())
    assert values["largest"] < 1e-4 and values["mean"] < values["largest"] and values["seeds"] == 64
    assert values["noise"] == "constant" and values["score"]["name"] == "swd2k" and values["final"] is None
    assert values["batch"] == (1 if form == "tflite" else "dynamic")
    assert FORMATS[form].read_metadata(out).items() <= values.items()
    assert [entry.name for entry in out.parent.iterdir()] == [out.name]


def test_int8_reports_its_difference(fastgan, tmp_path, done):
    out, report = tmp_path / "file", tmp_path / "report.json"
    arguments = ("--format", "tflite", "--precision", "int8", "--licence", "CC BY 4.0", "--batch", 5)
    printed = done("export", fastgan.folder, *arguments, "--out", out, "--report", report).out
    assert re.search(r"note .*--precision float16", printed)
    values = json.loads(report.read_text())
    assert (values["licence"], values["batch"]) == ("CC BY 4.0", 5)
    assert 1 / 127.5 < values["largest"] < 0.15 and 0 < values["mean"] < 0.015


def test_seeds_give_the_images_of_generate(fastgan, tmp_path, done):
    done("export", fastgan.folder, "--format", "onnx", "--noise", "input", "--out", tmp_path / "file")
    done("generate", fastgan.folder, "--seeds", 3, "--out", tmp_path, "--precision", "float32")
    shapes = networks.trained_fastgan().generator.noise_shapes
    inputs = [rng.latents_of_seeds([3], 16), *rng.noise_of_seeds([3], shapes)]
    [image] = image_files.to_uint8(FORMATS["onnx"].open(tmp_path / "file")([tensor.numpy() for tensor in inputs]))
    expected = np.asarray(Image.open(tmp_path / "seed-000003.png")).astype(int)
    assert np.abs(image - expected).max() <= 1 and expected.std() > 20


@pytest.mark.parametrize(
    "arguments, text",
    [
        (["--format", "tfjs"], "tfjs"),
        ([], "--format"),
        (["--format", "onnx", "--precision", "float16"], "--precision float16"),
        (["--format", "tflite", "--precision", "int4"], "int4"),
        (["--format", "tflite", "--noise", "loud"], "loud"),
        (["--format", "tflite", "--noise", "input", "--noise-seed", "1"], "--noise-seed 1"),
        (["--format", "tflite", "--noise-seed", "-1"], "--noise-seed"),
        (["--format", "tflite", "--batch", "0"], "--batch '0'"),
        (["--format", "tflite", "--batch", "65"], "--batch '65'"),
        (["--format", "tflite", "--which", "7"], "--which 7"),
        (["--format", "tflite", "--licence", "x" * 5000], "--licence"),
        *((["--format", "saved_model", "--report", report], "--report") for report in BAD_REPORTS),
    ],
)
def test_wrong_options_are_named(fastgan, tmp_path, monkeypatch, refused, arguments, text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    assert text in refused("export", fastgan.folder, "--out", "file", *arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_noise_of_a_family_without_noise_is_refused(tmp_path, refused):
    pggan = networks.write_trained(tmp_path / "run", networks.trained_pggan(2.5)).folder
    for arguments in (["--noise", "input"], ["--noise", "constant"], ["--noise-seed", "3"]):
        assert arguments[0] in refused("export", pggan, "--format", "tflite", "--out", tmp_path / "none", *arguments)


def test_existing_files_are_replaced_only_with_overwrite(fastgan, tmp_path, done, refused):
    out, report = tmp_path / "file", tmp_path / "report.json"
    out.write_text("mine")
    report.write_text("mine")
    arguments = ("--format", "onnx", "--batch", 1, "--report", report)
    for given, message in (
        (["--format", "onnx", "--out", out], "--overwrite"),
        (["--format", "saved_model", "--out", out, "--overwrite"], "--out"),
        (["--format", "onnx", "--out", out / "below"], f"--out {out / 'below'}"),
        ([*arguments, "--out", tmp_path / "new"], f"--report {report}"),
    ):
        assert message in refused("export", fastgan.folder, *given)
        assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"file": "mine", "report.json": "mine"}
    done("export", fastgan.folder, *arguments, "--out", out, "--overwrite")
    assert FORMATS["onnx"].read_metadata(out)["batch"] == json.loads(report.read_text())["batch"] == 1


@pytest.mark.parametrize("form", [name for name, form in FORMATS.items() if form.needs])
def test_missing_package_is_named_with_the_pip_command(fastgan, tmp_path, refused, monkeypatch, form):
    package, find_spec = FORMATS[form].needs[-1], importlib.util.find_spec
    missing = package.replace("-", "_")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else find_spec(name))
    error = refused("export", fastgan.folder, "--format", form, "--out", tmp_path / "none")
    assert package in error and error.endswith(f'pip install "gan_tf[{form}]"') and list(tmp_path.iterdir()) == []


def test_extras_contain_the_packages_of_the_formats():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {re.match(r"[\w-]+", line)[0] for line in extras["onnx"]} == set(FORMATS["onnx"].needs)
    assert set(extras["onnx"]) <= set(extras["test"])


@pytest.mark.parametrize(
    "form, function, error",
    [
        ("saved_model", "tensorflow.saved_model.save", DENIED),
        ("onnx", "os.fsync", OSError(errno.EINVAL, "Invalid argument")),
    ],
)
def test_disk_errors_name_the_default_output(fastgan, tmp_path, monkeypatch, refused, form, function, error):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(function, unittest.mock.Mock(side_effect=error))
    message = refused("export", fastgan.folder, "--format", form, "--batch", 1)
    assert f"--out panda{FORMATS[form].suffix} cannot be written" in message
    assert list(tmp_path.iterdir()) == []


def test_a_killed_process_leaves_no_file_and_the_next_one_completes_it(fastgan, tmp_path, done):
    arguments = ("export", fastgan.folder, "--format", "saved_model", "--batch", 1, "--out", tmp_path / "file")
    code = f"import os; os.fsync = lambda file: os.kill(os.getpid(), {signal.SIGKILL}); {COMMAND[-1]}"
    process = subprocess.run([*COMMAND[:-1], code, *map(str, arguments)], capture_output=True)
    [part] = tmp_path.iterdir()
    assert process.returncode == -signal.SIGKILL and part.match("file.*.part")
    done(*arguments)
    assert FORMATS["saved_model"].read_metadata(tmp_path / "file")["batch"] == 1


SLOW = [pytest.param(form, marks=pytest.mark.slow) for form in FORMATS if form != "tflite"]


@pytest.mark.parametrize("form", ["tflite", *SLOW])
def test_process_prints_the_report_only(fastgan, tmp_path, form):
    process = subprocess.run(
        [*COMMAND, "export", str(fastgan.folder), "--format", form],
        capture_output=True,
        text=True,
        cwd=tmp_path,  # the file has the name of the run
        env={name: value for name, value in os.environ.items() if not name.startswith("TF_CPP")} | {"PYTHONPATH": ROOT},
    )
    assert process.returncode == 0, process.stderr
    # With other load on the machine the comparison may take long enough for a line of progress.
    assert re.sub(r"\d+/64 images compared with Keras.*\n", "", process.stderr) == ""
    assert len(process.stdout.splitlines()) == 7
    assert [entry.name for entry in tmp_path.iterdir()] == ["panda" + FORMATS[form].suffix]
