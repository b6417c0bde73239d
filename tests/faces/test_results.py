"""Results: an `.npz` that training opens, PNG files with their facts, the contact sheet."""

import csv

import numpy as np
import pytest
import tensorflow as tf  # noqa: F401  at the top, so that the devices are split in time
from PIL import Image

from gan_tf.data.arrays import open_npz
from gan_tf.data.sources import ArraySource, FolderSource
from gan_tf.errors import UsageError
from gan_tf.faces import results
from gan_tf.faces.detect import FACE

SIZE = 16


def found(*photos):
    """(FACE array, images) of faces in these photographs."""
    draw = np.random.default_rng(0)
    faces = np.zeros(len(photos), FACE)
    faces["photo"], faces["score"] = photos, draw.uniform(0.8, 1, len(photos))
    faces["box"], faces["landmarks"] = draw.uniform(0, 99, (len(photos), 4)), draw.uniform(0, 99, (len(photos), 5, 2))
    return faces, draw.integers(0, 256, (len(photos), SIZE, SIZE, 3), np.uint8)


def source_of(*names, labels=None, class_names=()):
    return ArraySource("photos", [b""] * len(names), labels, class_names, names)


def write_npz(folder, source, faces, images, name="faces.npz"):
    results.write_npz(folder / name, folder, source, faces, images, lambda: None)
    return folder / name


def test_npz_is_a_training_set(tmp_path):
    source = source_of("a/1.jpg", "b/2.jpg", "c/é.jpg", labels=[0, 1, 2], class_names=("a", "b", "c"))
    faces, images = found(0, 2, 2)
    path = write_npz(tmp_path, source, faces, images)
    loaded = open_npz(path)
    np.testing.assert_array_equal(np.stack([loaded.read(i) for i in range(3)]), images)
    assert loaded.labels.tolist() == [0, 1, 1] and loaded.class_names == ("a", "c")  # nobody was found in class b
    with np.load(path) as arrays:
        assert arrays["names"].tolist() == ["a/1.jpg", "c/é.jpg", "c/é.jpg"]
        for key, name in (("boxes", "box"), ("scores", "score"), ("landmarks", "landmarks")):
            np.testing.assert_array_equal(arrays[key], faces[name])
        assert arrays["images"].dtype == np.uint8 and arrays["labels"].dtype == np.int32
    assert list(tmp_path.iterdir()) == [path]


def test_npz_without_classes_has_no_labels(tmp_path):
    faces, images = found(1)
    loaded = open_npz(
        write_npz(tmp_path, source_of("x/1.jpg", "y/2.jpg", labels=[0, 1], class_names="xy"), faces, images)
    )
    assert loaded.class_names == () and len(loaded) == 1


def test_npz_is_the_same_file_whenever_it_is_written(tmp_path, monkeypatch):
    faces, images = found(*range(5))
    source = source_of(*"abcde")
    first = write_npz(tmp_path, source, faces, images).read_bytes()
    monkeypatch.setattr(results.zipfile.time, "localtime", lambda *_: (2030, 1, 1, 0, 0, 0, 0, 1, 0))
    assert write_npz(tmp_path, source, faces, images, "again.npz").read_bytes() == first


def test_an_older_result_stays_until_the_new_one_is_whole(tmp_path):
    (tmp_path / "faces.npz").write_bytes(b"older")

    def stop():
        raise InterruptedError

    with pytest.raises(InterruptedError):
        results.write_npz(tmp_path / "faces.npz", tmp_path, source_of("a"), *found(0), stop)
    assert (tmp_path / "faces.npz").read_bytes() == b"older"
    (tmp_path / "faces").mkdir()
    (tmp_path / "partial").mkdir()
    with pytest.raises(InterruptedError):
        results.write_folder(tmp_path / "faces", tmp_path / "partial", source_of("a"), *found(0), stop)
    assert list((tmp_path / "faces").iterdir()) == []
    results.write_folder(tmp_path / "faces", tmp_path / "partial", source_of("a"), *found(0), lambda: None)
    assert (tmp_path / "faces" / "a.png").exists()


def test_folder_of_png_files(tmp_path):
    source = source_of("cats/x/1.jpg", "dogs/1.jpg", labels=[0, 1], class_names=("cats", "dogs"))
    faces, images = found(0, 0, 1)
    (tmp_path / "partial").mkdir()
    results.write_folder(tmp_path / "faces", tmp_path / "partial", source, faces, images, lambda: None)
    with open(tmp_path / "faces" / "faces.csv", newline="") as file:
        facts = list(csv.DictReader(file))
    assert [row["file"] for row in facts] == ["cats/x-1.png", "cats/x-1-2.png", "dogs/1.png"]
    assert [row["photograph"] for row in facts] == ["cats/x/1.jpg"] * 2 + ["dogs/1.jpg"]
    for row, face, image in zip(facts, faces, images, strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "faces" / row["file"])), image)
        assert float(row["x2"]) == pytest.approx(face["box"][2], abs=0.006)
        assert float(row["nose_y"]) == pytest.approx(face["landmarks"][2, 1], abs=0.006)
    again = FolderSource(tmp_path / "faces")
    assert again.class_names == ("cats", "dogs") and again.labels.tolist() == [0, 0, 1]
    results.check_replaceable(tmp_path / "faces")


def test_names_are_unique_whatever_the_case():
    source = source_of("a.jpg", "A.png", "sub/b.jpg", "sub-b.jpg", "a-2.jpg")
    names = results.file_names(source, found(0, 0, 1, 2, 3, 4)[0])
    assert names == ["a.png", "a-2.png", "A-1-2.png", "sub-b.png", "sub-b-1-2.png", "a-2-1-2.png"]


def test_folders_with_other_files_are_not_replaced(tmp_path):
    results.check_replaceable(tmp_path)
    (tmp_path / "holiday.jpg").write_bytes(b"")
    with pytest.raises(UsageError, match="holds files that are no faces of an earlier search .holiday.jpg"):
        results.check_replaceable(tmp_path)
    (tmp_path / "faces.csv").write_text("file,photograph\nface.png,a.jpg\n")
    with pytest.raises(UsageError, match="holiday.jpg"):
        results.check_replaceable(tmp_path)


def test_contact_sheet_is_spread_over_all_faces_and_small(tmp_path):
    images = np.arange(250, dtype=np.uint8)[:, None, None, None] * np.ones((1, SIZE, SIZE, 3), np.uint8)
    results.write_sheet(tmp_path / "sheet.png", images)
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert sheet.shape == (10 * SIZE, 10 * SIZE, 3)
    shown = sheet[::SIZE, ::SIZE, 0].reshape(-1).astype(int)
    assert (np.diff(shown) >= 2).all() and shown[0] <= 2 and shown[-1] >= 247
    results.write_sheet(tmp_path / "sheet.png", np.zeros((2, 300, 300, 3), np.uint8))
    assert Image.open(tmp_path / "sheet.png").size == (2 * results.SHEET_PIXELS, results.SHEET_PIXELS)
