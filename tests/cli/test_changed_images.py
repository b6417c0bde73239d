"""Every command that needs the training images of a run names those that have changed."""

import re
import shutil
from pathlib import Path

import pytest
from PIL import Image

import gan_tf.cli
from gan_tf.data.prepare import prepare
from gan_tf.data.sources import open_source
from gan_tf.runs.files import write_images
from tests import conditional
from tests.training import tiny

COMMANDS = {  # the commands that read the training images
    "train": ["--metric", "swd2k", "--precision", "float32", "--augment", "none"],
    "evaluate": ["--metrics", "swd2k"],
    "neighbours": ["--out", "near.png"],
    "generate": ["--count", 8, "--best", 2, "--by", "pixels"],
    "project": ["image.png", "--overwrite", "--steps", 2, "--samples", 2, "--restarts", 1, "--distance", "l2"],
}
MODULES = {"curate": "generate", "resume": "train"}  # {module: command}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of images of which one was removed, one changed and one added."""
    folder = tmp_path_factory.mktemp("changed")
    images = conditional.class_folders(folder / "images", counts=(8,))
    made = conditional.make_run(folder / "run", conditional=False, classes=0, dataset=str(images), augment="none")
    image_set = prepare(open_source(images), size=(64, 64))
    data = {"fingerprint": image_set.fingerprint, "images": 8, "class_names": []}
    made.write_settings(made.read_settings()[0], data)
    write_images(made.images, image_set.contents)
    (images / "cat" / "0.png").unlink()
    for name in ("1.png", "new.png"):
        Image.new("RGB", (64, 64)).save(images / "cat" / name)
    return made


@pytest.mark.parametrize("name", COMMANDS)
def test_changed_images_are_named(run, output_of, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (64, 64)).save("image.png")
    folder = shutil.copytree(run.folder, tmp_path / "run")
    target, code = [folder], 0 if name == "project" else 2  # without the images, it only compares with none
    if name == "train":
        settings = {"dataset": run.read_settings()[0].dataset, "checkpoints": tmp_path, "run": "run"}
        settings |= conditional.SIZES["fastgan"]
        target = [f"--{key.replace('_', '-')}={value}" for key, value in settings.items()]
    message = output_of(code, name, *target, *COMMANDS[name]).err
    assert "1 added (cat/new.png), 1 removed (cat/0.png), 1 changed (cat/1.png)" in message
    if name == "train":
        assert f"--init-from {folder}" in message and "--run NAME" in message
    (folder / "images.json").unlink()  # as a run of an earlier version
    assert "8 images then, 8 now" in output_of(code, name, *target, *COMMANDS[name]).err


def test_these_are_all_commands_that_compare_fingerprints():
    found = set()
    for path in Path(gan_tf.__file__).parent.rglob("*.py"):
        text = path.read_text()
        compares = re.search(r"\.fingerprint *[!=]=|[!=]= *\w+\.fingerprint", text)
        if path.name not in ("sources.py", "training_images.py") and (compares or "training_images.of_run" in text):
            found.add(MODULES.get(path.stem, path.stem))
    assert found == COMMANDS.keys()


def test_a_run_that_trains_stores_its_images(tmp_path):
    images = conditional.class_folders(tmp_path / "images", counts=(8,))
    run = tiny.trained(images, tmp_path / "runs", total_kimg=0.004)
    (images / "cat" / "7.png").unlink()
    assert run.describe_changes(8, prepare(open_source(images), size=(64, 64))) == "1 removed (cat/7.png)"
    for content in (b"{", b'{"names": ["a"], "digests": [1]}', b'{"names": "ab", "digests": []}'):
        (run.folder / "images.json").write_bytes(content)
        assert run.describe_changes(8, prepare(open_source(images), size=(64, 64))) == "8 images then, 7 now"
