"""Results of a face search: partial results, `.npz`, PNG files with their table, contact sheet."""

import csv
import os

import numpy as np
import pytest
import tensorflow as tf  # noqa: F401  at the top, so that the devices are split in time
from PIL import Image

from gan_tf.data.sources import ArraySource, FolderSource, open_source
from gan_tf.errors import UsageError
from gan_tf.faces import results
from gan_tf.faces.results import FACE, PartialResult

SIZE = 16
KEY = {"--size": SIZE, "--align": "eyes", "photographs": "aa"}


def make_faces(*photos):
    """Returns (FACE array, images) of faces in these photographs."""
    draw = np.random.default_rng(0)
    faces = np.zeros(len(photos), FACE)
    faces["photo"], faces["score"] = photos, draw.uniform(0.8, 1, len(photos))
    faces["box"], faces["landmarks"] = draw.uniform(0, 99, (len(photos), 4)), draw.uniform(0, 99, (len(photos), 5, 2))
    return faces, draw.integers(0, 256, (len(photos), SIZE, SIZE, 3), np.uint8)


def make_source(*names, labels=None, class_names=()):
    return ArraySource("photos", [b""] * len(names), labels, class_names, names)


def write_npz(folder, source, faces, images, name="faces.npz"):
    results.write_npz(folder / name, folder, source, faces, images, lambda: None)
    return folder / name


def test_partial_results_are_continued_or_with_other_settings_replaced(tmp_path):
    faces, images = make_faces(0, 0, 2, 3)
    partial = PartialResult(tmp_path / "out", KEY)
    partial.add(3, faces[:3], images[:3], [(1, "broken")], at_edge=2)
    with pytest.raises(UsageError, match="another gan-tf crop-faces"):
        PartialResult(tmp_path / "out", KEY)
    partial.close()
    other = {**KEY, "--align": "none", "photographs": "bb"}
    with pytest.raises(UsageError, match="--align was eyes, now none; other photographs.*--overwrite") as caught:
        PartialResult(tmp_path / "out", other)
    assert "\n" not in str(caught.value)
    again = PartialResult(tmp_path / "out", KEY, overwrite=True)
    assert (again.photos, len(again), again.unreadable, again.at_edge) == (3, 3, [(1, "broken")], 2)
    again.add(1, faces[3:], images[3:])
    again.add(1, faces[:0], [])
    np.testing.assert_array_equal(again.faces, faces)
    np.testing.assert_array_equal(np.stack(list(again)), images)
    again.close()
    os.truncate(again.folder / "window-000001.npz", 100)
    shorter = PartialResult(tmp_path / "out", KEY)
    assert shorter.photos == len(shorter) == 3  # the photographs of later windows are searched again
    shorter.close()
    replaced = PartialResult(tmp_path / "out", other, overwrite=True)
    assert len(replaced) == replaced.photos == 0
    replaced.remove()
    assert list(tmp_path.iterdir()) == []


def test_npz_is_a_dataset(tmp_path):
    source = make_source("a/1.jpg", "b/2.jpg", "c/é.jpg", labels=[0, 1, 2], class_names=("a", "b", "c"))
    faces, images = make_faces(0, 2, 2)
    path = write_npz(tmp_path, source, faces, images)
    loaded = open_source(path)
    np.testing.assert_array_equal(np.stack([loaded.read(i) for i in range(3)]), images)
    assert loaded.labels.tolist() == [0, 1, 1] and loaded.class_names == ("a", "c")  # no face in class b
    with np.load(path) as arrays:
        assert arrays["names"].tolist() == ["a/1.jpg", "c/é.jpg", "c/é.jpg"]
        for key, name in (("boxes", "box"), ("scores", "score"), ("landmarks", "landmarks")):
            np.testing.assert_array_equal(arrays[key], faces[name])
        assert arrays["images"].dtype == np.uint8 and arrays["labels"].dtype == np.int32
    assert list(tmp_path.iterdir()) == [path]


def test_npz_with_faces_of_one_class_has_no_labels_and_no_date(tmp_path, monkeypatch):
    source = make_source("x/1.jpg", "y/2.jpg", labels=[0, 1], class_names="xy")
    path = write_npz(tmp_path, source, *make_faces(1))
    assert open_source(path).class_names == () and len(open_source(path)) == 1
    monkeypatch.setattr(results.zipfile.time, "localtime", lambda *_: (2030, 1, 1, 0, 0, 0, 0, 1, 0))
    assert write_npz(tmp_path, source, *make_faces(1), "again.npz").read_bytes() == path.read_bytes()


def test_an_older_result_is_kept_until_the_new_one_is_complete(tmp_path):
    (tmp_path / "faces.npz").write_bytes(b"older")
    (tmp_path / "faces").mkdir()
    (tmp_path / "partial").mkdir()

    def stop():
        raise InterruptedError

    for write, name in ((results.write_npz, "faces.npz"), (results.write_folder, "faces")):
        with pytest.raises(InterruptedError):
            write(tmp_path / name, tmp_path / "partial", make_source("a"), *make_faces(0), stop)
    assert (tmp_path / "faces.npz").read_bytes() == b"older"
    assert list((tmp_path / "faces").iterdir()) == []
    results.write_folder(tmp_path / "faces", tmp_path / "partial", make_source("a"), *make_faces(0), lambda: None)
    assert (tmp_path / "faces" / "a.png").exists()


def test_folder_of_png_files(tmp_path):
    source = make_source("cats/x/1.jpg", "dogs/1.jpg", labels=[0, 1], class_names=("cats", "dogs"))
    faces, images = make_faces(0, 0, 1)
    (tmp_path / "partial").mkdir()
    results.write_folder(tmp_path / "faces", tmp_path / "partial", source, faces, images, lambda: None)
    with open(tmp_path / "faces" / "faces.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == ["cats/x-1.png", "cats/x-1-2.png", "dogs/1.png"]
    assert [row["photograph"] for row in rows] == ["cats/x/1.jpg"] * 2 + ["dogs/1.jpg"]
    for row, face, image in zip(rows, faces, images, strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "faces" / row["file"])), image)
        assert float(row["x2"]) == pytest.approx(face["box"][2], abs=0.006)
        assert float(row["nose_y"]) == pytest.approx(face["landmarks"][2, 1], abs=0.006)
    assert FolderSource(tmp_path / "faces").labels.tolist() == [0, 0, 1]
    results.check_replaceable(tmp_path / "faces")


def test_names_are_unique_when_case_is_ignored():
    source = make_source("a.jpg", "A.png", "sub/b.jpg", "sub-b.jpg", "a-2.jpg")
    names = results.file_names(source, make_faces(0, 0, 1, 2, 3, 4)[0])
    assert names == ["a.png", "a-2.png", "A-1-2.png", "sub-b.png", "sub-b-1-2.png", "a-2-1-2.png"]


def test_contact_sheet_shows_faces_at_even_distances(tmp_path):
    images = np.arange(250, dtype=np.uint8)[:, None, None, None] * np.ones((1, SIZE, SIZE, 3), np.uint8)
    results.write_sheet(tmp_path / "sheet.png", images)
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert sheet.shape == (10 * SIZE, 10 * SIZE, 3)
    values = sheet[::SIZE, ::SIZE, 0].reshape(-1).astype(int)
    assert (np.diff(values) >= 2).all() and values[0] <= 2 and values[-1] >= 247
    results.write_sheet(tmp_path / "sheet.png", np.zeros((2, 300, 300, 3), np.uint8))
    assert Image.open(tmp_path / "sheet.png").size == (2 * results.SHEET_PIXELS, results.SHEET_PIXELS)
