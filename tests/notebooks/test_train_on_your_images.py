"""The notebook for Colab and Kaggle trains, continues when it is run again, and exports."""

import copy
import json
import os
import signal
import sys
import zipfile
from pathlib import Path

import nbclient
import nbformat
import pytest
from PIL import Image

from gan_tf.io import image_files
from gan_tf.runs.folder import Run
from tests.training import tiny

ROOT = Path(__file__).resolve().parent.parent.parent
NOTEBOOK = nbformat.read(ROOT / "notebooks" / "train_on_your_images.ipynb", as_version=4)
CODE = [cell for cell in NOTEBOOK.cells if cell.cell_type == "code"]
PARAMETERS = {"IMAGES": "my photos.zip", "GAN_TF": "", "RUN": "mine", "RESOLUTION": 64, "MINUTES": 30}
TINY = "--ngf 8 --ndf 8 --latent-size 16 --batch-size 4 --epoch-images 20 --metric swd2k --offline"


def execute(folder, last=None, **parameters):
    """Runs the cells, up to the one that contains `last`, with other values in the first. Returns the cells."""
    cells = copy.deepcopy(CODE)
    given = {**PARAMETERS, "FOLDER": str(folder), **parameters}
    assert cells[0].metadata.tags == ["parameters"] and all(f"\n{name} = " in f"\n{cells[0].source}" for name in given)
    cells[0].source += "".join(f"\n{name} = {value!r}" for name, value in given.items())
    end = next(i for i, cell in enumerate(cells, 1) if last is None and i == len(cells) or last and last in cell.source)
    notebook = nbformat.v4.new_notebook(cells=cells[:end])
    nbclient.NotebookClient(notebook, timeout=900).execute(cwd=str(folder))
    return notebook.cells


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The mounted drive, with a zip of images. Home and temporary files are elsewhere."""
    for name in ("home", "temporary", "My Drive"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))  # has TensorBoard's list of its processes
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with zipfile.ZipFile(tmp_path / "My Drive" / "my photos.zip", "w") as archive:
        for i, image in enumerate(tiny.square_images()):
            image_files.save_png(tmp_path / "image.png", image)
            archive.write(tmp_path / "image.png", f"{i}.png")
    yield tmp_path / "My Drive"
    for path in tmp_path.glob("temporary/.tensorboard-info/*.info"):
        os.kill(json.loads(path.read_text())["pid"], signal.SIGTERM)


@pytest.mark.slow
def test_the_notebook_trains_continues_and_exports(folder):
    run = Run(folder / "checkpoints" / "mine")
    execute(folder, last='"train"', SETTINGS=f"{TINY} --total-kimg 0.02")
    assert run.trained_images() == 20
    cells = execute(folder, SETTINGS=f"{TINY} --total-kimg 0.04")  # all cells again, as after a disconnect
    assert [record["images_seen"] for record in run.records() if record["kind"] == "epoch"] == [20, 40]
    shown = [output for cell in cells for output in cell.outputs if "image/png" in output.get("data", {})]
    assert len(shown) == 3  # samples, closest pairs, generated images
    assert len(list((folder / "mine-images").glob("*.png"))) == 64
    assert Image.open(folder / "mine-images-grid.png").width > 256
    assert (folder / "mine-saved-model" / "saved_model.pb").is_file()
    expected = {"checkpoints", "mine-images", "mine-images-grid.png", "mine-saved-model", "my photos.zip"}
    assert {path.name for path in folder.iterdir()} == expected  # neither a cache nor copies of images on the drive


@pytest.mark.parametrize(
    ("parameters", "message"),
    [({"GAN_TF": "gan_tf.zip"}, "GAN_TF"), ({"IMAGES": "other.zip"}, "IMAGES"), ({"RESOLUTION": -1}, "exit code 2")],
)
def test_a_missing_file_or_a_failing_command_ends_the_notebook(folder, parameters, message):
    with pytest.raises(nbclient.exceptions.CellExecutionError, match=f"SystemExit.*{message}"):
        execute(folder, last='"inspect"', **parameters)


def test_the_notebook_is_stored_without_outputs():
    nbformat.validate(NOTEBOOK)
    assert all(not cell.outputs and cell.execution_count is None for cell in CODE)
