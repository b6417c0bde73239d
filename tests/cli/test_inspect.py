"""`gan-tf inspect`: the report on standard output, mistakes in one line."""

import json
import subprocess
import sys

import pytest

from gan_tf.cli.main import main
from tests.data.pictures import encoded, write


@pytest.fixture
def folder(tmp_path):
    files = {"cat/a.png": encoded(1), "cat/b.JPG": encoded(2, kind="JPEG"), "dog/c.png": encoded(3), "dog/d.png": b"?"}
    return write(tmp_path / "pets", files)


def test_report(folder, capsys):
    assert main(["inspect", str(folder), "--resolution", "64"]) == 0
    out = capsys.readouterr().out
    assert "pets: 3 images, to be trained at 64x64 (crop)" in out
    assert "dog/d.png: not a picture in a known format" in out
    assert "3 enlarged to 64 pixels" in out


def test_json(folder, capsys):
    assert main(["inspect", str(folder), "--json", "--limit", "3", "--fit", "pad"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["count"] == 2 and report["left_out"] == 1 and report["fit"] == "pad"
    assert report["classes"] == {"cat": 1, "dog": 1}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere"),
        (["{folder}/cat/a.png"], "must be a folder, a .zip or an .npz"),
        (["{folder}", "--background", "whitish"], "--background"),
        (["{folder}", "--limit", "0"], "--limit must be positive"),
        (["{folder}", "--resolution", "0"], "--resolution must be positive"),
        (["{folder}", "--fit", "squeeze"], "squeeze"),
    ],
)
def test_mistakes_end_in_one_line(folder, capsys, arguments, message):
    assert main(["inspect", *(argument.format(folder=folder) for argument in arguments)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("gan-tf: error: ") and message in error and error.count("\n") == 1


def test_help_does_not_import_tensorflow():
    script = "import sys; from gan_tf.cli.main import main\ntry: main(['inspect', '--help'])\nexcept SystemExit: pass\n"
    script += "sys.exit('tensorflow' in sys.modules or 'PIL' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.returncode == 0 and "DATASET" in result.stdout
