"""`--dataset`: built-in names, misspelt names, paths."""

import pytest

from gan_tf.cli.datasets import FACES, FEW_SHOT, resolve
from gan_tf.errors import UsageError
from gan_tf_datasets.faces.files import FACES as face_sets
from gan_tf_datasets.few_shot.archives import ARCHIVES
from tests.data.encoded import numbered, write_zip

LIST = "demo, demo-kinds, demo-sprites, panda, .*tfds:<name>"


def open_dataset(name):
    return resolve(name, size=(64, 64), log=lambda line: None)


def test_names_are_those_of_the_packages():
    assert tuple(ARCHIVES) == FEW_SHOT
    assert tuple(face_sets) == FACES


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("pandas", "did you mean .*panda"),
        ("Obama", "did you mean .*obama"),
        ("grumpy-cat", "did you mean .*grumpy_cat"),
        ("ffqh", "did you mean .*ffhq"),
        ("unknown", LIST),
        ("", LIST),
    ],
)
def test_a_misspelt_name_gets_a_suggestion_and_others_the_list(name, message):
    with pytest.raises(UsageError, match=f"--dataset {name}.*: .*{message}"):
        open_dataset(name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("/no/such/folder", "no such file or folder; give the path of a folder, .zip or .npz"),
        ("panda.zip", "no such file or folder; give the path of a folder, .zip or .npz"),
        ("https://x.org/panda.zip", "is a web address; download it, and give the path of the folder or file"),
    ],
)
def test_a_missing_path_is_no_misspelt_name(name, message):
    with pytest.raises(UsageError, match=f"--dataset {name}:? {message}$"):
        open_dataset(name)


def test_paths(tmp_path, monkeypatch):
    path = write_zip(tmp_path / "panda.zip", numbered(3))
    assert len(open_dataset(str(path))) == 3
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(open_dataset("~/panda.zip")) == 3
    monkeypatch.chdir(tmp_path)
    assert len(open_dataset("./panda.zip")) == 3
