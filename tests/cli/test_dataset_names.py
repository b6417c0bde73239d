"""What `--dataset` takes, and what it says to mistakes."""

import subprocess
import sys

import pytest

from gan_tf.cli.datasets import FACES, FEW_SHOT, known_names, resolve
from gan_tf.errors import UsageError
from gan_tf_datasets.faces.files import FACES as face_sets
from gan_tf_datasets.few_shot.archives import ARCHIVES
from tests.datasets.archives import write_zip


def open_set(name):
    return resolve(name, resolution=64, log=lambda line: None)


def test_known_names_are_the_sets_that_there_are():
    assert tuple(ARCHIVES) == FEW_SHOT
    assert tuple(face_sets) == FACES
    assert known_names() == ("demo", "demo-kinds", *FEW_SHOT, *FACES)


@pytest.mark.parametrize(
    "name, close",
    [
        ("pandas", "panda"),
        ("Obama", "obama"),
        ("grumpy-cat", "grumpy_cat"),
        ("dmeo", "demo"),
        ("celeba-hq", "celeba_hq"),
        ("ffqh", "ffhq"),
    ],
)
def test_misspelt_name_gets_the_nearest(name, close):
    with pytest.raises(
        UsageError, match=f"--dataset {name}: no such file or folder, .* did you mean .*{close}"
    ) as caught:
        open_set(name)
    assert "\n" not in str(caught.value)


def test_missing_folder_gets_the_list():
    with pytest.raises(
        UsageError, match="no such file or folder, .*known sets: demo, demo-kinds, panda, .*tfds:<name>"
    ):
        open_set("/no/such/folder")


def test_empty_name():
    with pytest.raises(UsageError, match="--dataset is missing; known sets: demo"):
        open_set("")


def test_paths(tmp_path, monkeypatch):
    path = write_zip(tmp_path / "mine.zip", 3)
    assert len(open_set(str(path))) == 3
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(open_set("~/mine.zip")) == 3


def test_path_wins_where_it_is_written_as_one(tmp_path, monkeypatch):
    # A folder called like a set is meant only if it is written as a path.
    write_zip(tmp_path / "panda.zip", 2)
    monkeypatch.chdir(tmp_path)
    assert len(open_set("./panda.zip")) == 2


def test_import_is_light():
    code = (
        "import sys, gan_tf.cli.datasets; print([m for m in ('tensorflow', 'tensorflow_datasets') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
