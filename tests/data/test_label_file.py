"""dataset.json, the label file of StyleGAN's data set format, in folders and zip archives."""

import json

import pytest

from gan_tf.data.label_file import LABEL_FILE, parse_label_file
from gan_tf.data.sources import open_source
from gan_tf.errors import UsageError
from tests.data.encoded import write, write_zip

NAMES = ["00000/a.png", "00000/b.png", "00001/c.png"]
PAIRS = [["00001\\c.png", 7], ["00000/a.png", 10], ["./00000/b.png", 7], ["elsewhere.png", 3]]


def stored(labels=PAIRS, **more):
    return json.dumps({"labels": labels, **more}).encode()


@pytest.mark.parametrize("make", [write, write_zip])
@pytest.mark.parametrize("folder", ["", "set/"])
def test_labels_of_a_folder_or_zip_replace_its_folders_as_classes(tmp_path, make, folder):
    images = {folder + name: b"1" for name in NAMES}
    plain = open_source(make(tmp_path / "plain.zip", images))
    with pytest.raises(UsageError, match="dataset.json must be"):
        open_source(make(tmp_path / "bad.zip", images | {folder + LABEL_FILE: b"1"})).read_label_file()
    path = make(tmp_path / "labelled.zip", images | {folder + LABEL_FILE: stored()})
    source = open_source(path)
    assert source.class_names == ("00000", "00001") and source.ignored == {".json": 1}  # without --conditional
    assert source.fingerprint == plain.fingerprint
    source.read_label_file(started=plain.fingerprint)  # a run of an earlier version
    assert source.class_names == ("00000", "00001") and source.fingerprint == plain.fingerprint
    source.read_label_file()
    assert source.class_names == ("7", "10") and source.labels.tolist() == [1, 0, 0] and source.ignored == {}
    assert source.fingerprint != plain.fingerprint
    again = open_source(path)
    again.read_label_file(source.fingerprint)
    assert again.fingerprint == source.fingerprint and again.class_names == ("7", "10")


def test_class_names_and_other_forms():
    names = ["0", "b", "c"] + ["x"] * 8
    labels, class_names = parse_label_file(stored(dict(PAIRS), class_names=names), NAMES, "set")
    assert labels.tolist() == [10, 7, 7] and class_names == tuple(names)
    assert parse_label_file(b'{"name": "birds"}', NAMES, "set") is None  # another program's file


@pytest.mark.parametrize(
    ("content", "message"),
    [
        *((content, "must be") for content in (b"{", b"[" * 100_000, b"[]")),
        *((stored(labels), "must be") for labels in (5, [1, 2], [[1, 2]], [[[], 2]])),
        (stored(None), "no labels; add them, or delete it"),
        (stored([]), "no labels"),
        (stored(PAIRS[1:]), "no label for 1 of 3 images, such as 00001/c.png"),
        *((stored([*PAIRS, ["00000/b.png", v]]), "label of 00000/b.png") for v in ([0, 1], 0.5, -1, True, None, 2**31)),
        *((stored(class_names=names), "class_names") for names in (["a"], ["a\n"] * 11, "ab", [["a"], []])),
    ],
    ids=range(20),
)
def test_unusable_label_files_are_refused_in_one_line(content, message):
    with pytest.raises(UsageError, match=f"^--dataset set: {LABEL_FILE}.*{message}") as caught:
        parse_label_file(content, NAMES, "set")
    assert str(caught.value).isprintable()
