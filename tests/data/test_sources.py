"""Folders, zip archives, .npz files and arrays as image sources: listing, classes, fingerprints, errors."""

import errno
import json
import os
import shutil

import numpy as np
import pytest

from gan_tf.data import arrays, sources
from gan_tf.data.images import UnreadableImage
from gan_tf.data.listing import classes_of
from gan_tf.data.prepare import prepare
from gan_tf.data.sources import ArraySource, FolderSource, ZipSource, open_source
from gan_tf.errors import UsageError
from tests.data.encoded import encoded, write, write_zip, zip_bytes

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 5, 4, 3), np.uint8)
CHANNELS_FIRST = np.ascontiguousarray(np.resize(PIXELS, (3, 3, 6, 5)))


def test_a_folder_lists_images_of_any_case_and_depth(tmp_path):
    files = {"b.JPG": b"1", "a.png": b"2", "deep/er/c.WebP": b"3", ".hidden.png": b"", ".git/d.png": b""}
    others = {"__MACOSX/a.png": b"", "notes.txt": b"", "e.heic": b"", "f.heic": b"", "README": b"", "Icon\r": b""}
    source = open_source(str(write(tmp_path / "set", files | others)))
    assert source.names == ["a.png", "b.JPG", "deep/er/c.WebP"]
    assert [source.read(i) for i in range(3)] == [b"2", b"1", b"3"]
    assert source.ignored == {".txt": 1, ".heic": 2, "README": 1, "Icon": 1}  # without pillow-heif
    assert source.name == "set" and source.class_names == ()
    (tmp_path / "set/a.png").unlink()
    with pytest.raises(UnreadableImage, match="No such file"):
        source.read(0)


def test_a_zip_is_read_like_a_folder(tmp_path):
    files = {"set/x/a.png": b"1", "set/y/b.png": b"2", "__MACOSX/set/x/._a.png": b"", "set/.DS_Store": b""}
    plain, zipped = FolderSource(write(tmp_path, files) / "set"), open_source(write_zip(tmp_path / "set.ZIP", files))
    assert [zipped.read(i) for i in range(2)] == [b"1", b"2"]
    assert zipped.class_names == plain.class_names == ("x", "y") and zipped.name == "set"


@pytest.mark.parametrize(
    ("names", "class_names", "labels"),
    [
        (["a.png", "b.png"], (), [0, 0]),
        (["cat/1.png", "dog/2.png", "cat/deep/er/3.png"], ("cat", "dog"), [0, 1, 0]),
        (["all/cat/1.png", "all/dog/2.png"], ("cat", "dog"), [0, 1]),  # one folder around everything
        (["cat/1.png", "cat/2.png"], (), [0, 0]),
        (["1.png", "dog/2.png"], (), [0, 0]),  # an image without a class
        (["train/cat/1.png", "train/dog/2.png", "test/dog/3.png"], ("cat", "dog"), [0, 1, 1]),
        (["train/1.png", "test/2.png"], (), [0, 0]),
        (["10/1.png", "2/1.png", "02/1.png", "1a/1.png"], ("1a", "02", "2", "10"), [3, 2, 1, 0]),  # natural order
        ([f"{'9' * 5000}/1.png", "²/1.png", "x/1.png"], ("9" * 5000, "x", "²"), [0, 2, 1]),
    ],
)
def test_first_level_folders_are_classes(names, class_names, labels):
    result_labels, result_names = classes_of(names)
    assert result_names == class_names
    np.testing.assert_array_equal(result_labels, labels)
    assert result_labels.dtype == np.int32


def test_fingerprint_depends_on_names_and_contents_only(tmp_path):
    folder = write(tmp_path / "one", {"x/a.png": b"1", "y/b.png": b"2"})
    first = FolderSource(folder).fingerprint
    assert first == "2f3a88ac6af08619a62311e46751a47eda95d6884b73a3872017e5a131fd20f0"  # stored in runs
    os.utime(folder / "x/a.png", (1, 1))
    copy = shutil.copytree(folder, tmp_path / "two")
    zipped = write_zip(tmp_path / "three.zip", {"y/b.png": b"2", "x/a.png": b"1", "x/note.txt": b"?"})
    for same in (folder, copy, zipped):
        assert open_source(same).fingerprint == first
    fingerprints = {first}
    (copy / "x/a.png").write_bytes(b"3")
    fingerprints.add(FolderSource(copy).fingerprint)
    (copy / "x/a.png").rename(copy / "x/c.png")
    fingerprints.add(FolderSource(copy).fingerprint)
    (copy / "x/c.png").unlink()
    fingerprints.add(FolderSource(copy).fingerprint)
    assert len(fingerprints) == 4


def test_an_edit_with_an_unchanged_date_is_detected(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    path = write(tmp_path / "set", {"a.png": b"1", "b.png": b"2"}) / "a.png"
    np.savez(tmp_path / "set.npz", images=np.zeros((1, 4, 4, 3), np.uint8))
    first = [open_source(where).fingerprint for where in ("~/set", "~/set.npz")]
    status = path.stat()
    path.write_bytes(b"9")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    np.savez(tmp_path / "set.npz", images=np.ones((1, 4, 4, 3), np.uint8))
    second = [open_source(where).fingerprint for where in ("~/set", "~/set.npz")]
    assert first[0] != second[0] and first[1] != second[1]


def test_unchanged_files_are_not_hashed_again(tmp_path, monkeypatch, cache_folder):
    folder = write(tmp_path / "set", {"a.png": b"1", "b.png": b"2"})
    zipped = write_zip(tmp_path / "set.zip", {"a.png": b"1"})
    before = FolderSource(folder).digests, ZipSource(zipped).digests
    (folder / "b.png").write_bytes(b"22")
    hashed = []
    digest = sources.ImageSource._digest
    monkeypatch.setattr(sources.ImageSource, "_digest", lambda self, i: hashed.append(i) or digest(self, i))
    after = FolderSource(folder).digests, ZipSource(zipped).digests
    assert hashed == [1]
    assert after[0][0] == before[0][0] and after[0][1] != before[0][1] and after[1] == before[1]
    for damaged in ("{", "[]"):  # is replaced
        for path in (cache_folder / "digests").iterdir():
            path.write_text(damaged)
        assert FolderSource(folder).digests == after[0]


def test_names_that_cannot_be_printed_are_escaped_everywhere(tmp_path, cache_folder):
    folder = write(tmp_path / "set", {"x/a.png": encoded(0), "new\nline/b.png": encoded(1)})
    os.rename(folder / "x/a.png", os.path.join(os.fsencode(folder), b"x", b"m\xfcnchen.png"))
    plain = FolderSource(folder)
    packed = open_source(
        write_zip(tmp_path / "set.zip", {"x/\x1b[2J\x81.png": encoded(0), "new\nline/b.png": encoded(1)})
    )
    assert plain.names == [r"new\nline/b.png", r"x/m\udcfcnchen.png"] and packed.names[1] == r"x/\x1b[2J\x81.png"
    for source in (plain, packed):
        assert source.class_names == (r"new\nline", "x") and source.fingerprint
        assert [source.read(i) for i in range(2)] == [encoded(1), encoded(0)]
        report = prepare(source, size=(16, 16), memory_gb=0, log=lambda line: None).report
        assert report.count == 2 and report.text().encode() and json.dumps(report.upscaled)
    assert all(path.read_text() for path in (cache_folder / "digests").iterdir())
    assert FolderSource(folder).digests == plain.digests


def test_of_entries_with_one_name_the_last_one_counts(tmp_path):
    entries = [
        ("a.png", b"1"),
        ("x/b.png", b"2"),
        ("a.png", b"3"),
        ("x\\b.png", b"4"),
        ("caf\u00e9.png", b"5"),
        ("", b""),
    ]
    with pytest.warns(UserWarning, match="Duplicate name"):
        (tmp_path / "set.zip").write_bytes(zip_bytes(entries))
    source = open_source(tmp_path / "set.zip")
    assert source.names == ["a.png", "caf\u00e9.png", "x/b.png"]
    assert [source.read(i) for i in range(3)] == [b"3", b"5", b"4"]
    assert "left out: 2" in source.notes[0]


def test_run_folders_are_left_out_and_refused_as_data_sets(tmp_path):
    run = json.dumps({"format": 1, "settings": {"dataset": "my photos"}, "data": {"fingerprint": "0"}}).encode()
    files = {"a.png": b"1", "x/b.png": b"2", "x/config.json": b'{"settings": 1}', "y/config.json": b"no JSON"}
    before = FolderSource(write(tmp_path / "set", files))
    write(tmp_path / "set/checkpoints", {"r/config.json": run, "r/samples/1.png": b"4", "r/state/ckpt": b""})
    archive = write_zip(tmp_path / "set.zip", files | {"runs/r/config.json": run, "runs/r/samples/1.png": b"4"})
    for source, name in ((FolderSource(tmp_path / "set"), "checkpoints/r"), (open_source(archive), "runs/r")):
        assert source.fingerprint == before.fingerprint and source.ignored == before.ignored
        assert name in source.notes[0] and not before.notes
    assert len(FolderSource(tmp_path / "set/checkpoints/r/samples")) == 1
    with pytest.raises(UsageError, match="folder of a run.*give its data set, my photos"):
        open_source(tmp_path / "set/checkpoints/r")
    with pytest.raises(UsageError, match="no images.*runs are left out: r"):
        open_source(tmp_path / "set/checkpoints")


def test_splits_that_are_used_together_are_noticed(tmp_path):
    files = {"s/train/x/a.png": b"1", "s/train/y/b.png": b"2", "s/test/x/c.png": b"3"}
    for path in (write(tmp_path / "set", files), write_zip(tmp_path / "set.zip", files)):
        assert "train 2, test 1 are used together" in open_source(path).notes[0]
    assert not FolderSource(tmp_path / "set/s/train").notes


def test_links_are_followed_once(tmp_path):
    folder = write(tmp_path / "set", {"a.png": b"1"})
    (folder / "link").symlink_to(write(tmp_path / "elsewhere", {"b.png": b"2"}))
    (folder / "circle").symlink_to(folder)
    assert FolderSource(folder).names == ["a.png", "link/b.png"]


@pytest.mark.parametrize("entry", ["../a.png", "x/../../a.png", "/etc/a.png", "C:\\a.png", "..\\a.txt"])
def test_entries_that_lead_out_of_a_zip_are_refused(tmp_path, entry):
    path = write_zip(tmp_path / "set.zip", {"a.png": b"1", entry: b"2"})
    with pytest.raises(UsageError, match="leads out of the archive") as caught:
        open_source(path)
    assert f'"{entry}"' in str(caught.value)


def test_a_damaged_entry_affects_its_image_only(tmp_path):
    path = write_zip(tmp_path / "set.zip", {"a.png": encoded(0), "b.png": encoded(1)})
    content = bytearray(path.read_bytes())
    content[content.index(b"IDAT") + 8] ^= 255
    path.write_bytes(content)
    source = open_source(path)
    with pytest.raises(UnreadableImage, match="damaged entry"):
        source.read(0)
    assert source.read(1) == encoded(1)
    assert source.fingerprint and source.digests[0] == ""


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("nowhere", None, "--dataset .*nowhere"),
        (".", None, "no images .* 1 .heic"),
        ("set.txt", b"", "--dataset .*set.txt"),
        ("no-images.zip", {}, "no images"),
        ("bad.zip", b"no zip", "bad.zip"),
    ],
)
def test_missing_empty_damaged_and_unsupported_paths_are_refused(tmp_path, name, content, message):
    write(tmp_path, {"a.heic": b""})
    if content is not None:
        write_zip(tmp_path / name, content) if content == {} else write(tmp_path, {name: content})
    with pytest.raises(UsageError, match=message) as caught:
        open_source(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_too_large_files_are_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "MAX_FILE_BYTES", 3)
    monkeypatch.setattr(sources, "LABEL_FILE_BYTES", 3)
    files = {"a.png": b"1234", "dataset.json": b"1234"}
    for source in (FolderSource(write(tmp_path / "set", files)), ZipSource(write_zip(tmp_path / "a.zip", files))):
        with pytest.raises(UnreadableImage, match="larger than"):
            source.read(0)
        with pytest.raises(UsageError, match="dataset.json cannot be read .*larger than"):
            source.read_label_file()


def test_arrays_in_memory():
    pixels = np.zeros((3, 4, 4, 3), np.uint8)
    source = ArraySource("set", pixels, [1, 0, 1], ["x", "y"])
    assert len(source) == 3 and source.names == ["0", "1", "2"] and source.class_names == ("x", "y")
    assert source.fingerprint == ArraySource("other", list(pixels), [1, 0, 1], ["x", "y"]).fingerprint
    assert source.fingerprint != ArraySource("set", pixels, [1, 1, 1], ["x", "y"]).fingerprint
    assert source.fingerprint != ArraySource("set", pixels + 1, [1, 0, 1], ["x", "y"]).fingerprint
    with pytest.raises(UsageError, match="no images"):
        ArraySource("set", pixels[:0])
    for names, labels in (("ab", [0] * 3), ("abc", [0] * 2)):
        with pytest.raises(ValueError, match="3 images"):
            ArraySource("set", pixels, labels, names=names)


@pytest.fixture
def opened(tmp_path):
    """A function that saves arrays as set.npz and opens it."""

    def save_and_open(*args, save=np.savez, **arrays):
        save(tmp_path / "set.npz", *args, **arrays)
        return open_source(tmp_path / "set.npz")

    return save_and_open


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("pixels", [PIXELS, PIXELS[..., 0], PIXELS[..., :1]])
def test_an_npz_is_read_by_rows_and_refused_if_it_is_truncated(opened, save, pixels):
    source = opened(images=pixels, save=save)
    assert len(source) == 3 and source.name == "set"
    for i in range(3):
        np.testing.assert_array_equal(source.read(i), pixels[i])
    for size in (os.path.getsize(source.where) - 1, 50, 0):
        os.truncate(source.where, size)
        with pytest.raises(UsageError, match="set.npz is not a complete"):
            open_source(source.where)


@pytest.mark.parametrize(
    ("arrays", "class_names"),
    [
        ({"labels": [7, 3, 7], "y": [0, 0, 0]}, ("3", "7")),  # the first of labels, label, y
        ({"label": [7, 3, 7], "y": [0, 0]}, ("3", "7")),
        ({"y": [7, 3, 7]}, ("3", "7")),
        ({"labels": [[1], [0], [1]], "class_names": ["x", "y"]}, ("x", "y")),
    ],
)
def test_labels_in_an_npz_give_classes(opened, arrays, class_names):
    source = opened(images=PIXELS, **arrays)
    assert source.class_names == class_names and source.labels.tolist() == [1, 0, 1]


def test_names_of_images_in_an_npz(opened):
    assert opened(PIXELS, other=np.zeros(7)).names == ["0", "1", "2"]  # a single array of images may have any name
    assert opened(images=PIXELS, names=["a.jpg", "b.jpg", "a.jpg"]).names == ["a.jpg", "b.jpg", "a.jpg"]
    for other in ([1, 2, 3], ["a.jpg", "b.jpg"]):  # not names of the images
        assert opened(images=PIXELS, names=other).names == ["0", "1", "2"]


def test_large_compressed_arrays_are_unpacked_once_and_others_mapped(opened, monkeypatch, cache_folder):
    plain = opened(images=PIXELS)
    assert isinstance(plain.images, np.memmap)
    monkeypatch.setattr(arrays, "IN_MEMORY_BYTES", 10)
    packed = opened(images=PIXELS, save=np.savez_compressed)
    again = open_source(packed.where)
    assert isinstance(packed.images, np.memmap) and isinstance(again.images, np.memmap)
    np.testing.assert_array_equal(again.images, PIXELS)
    assert again.fingerprint == plain.fingerprint != opened(images=PIXELS + 1).fingerprint
    assert len(list((cache_folder / "npz").iterdir())) == 1


def test_a_full_cache_is_named(opened, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(arrays, "IN_MEMORY_BYTES", 10)
    monkeypatch.setattr(arrays.shutil, "copyfileobj", full)
    with pytest.raises(UsageError, match="GAN_TF_CACHE"):
        opened(images=PIXELS, save=np.savez_compressed)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": np.array([{}, []], object)}, '"images" holds Python objects'),
        ({"images": PIXELS, "labels": np.array([None] * 3)}, '"labels" holds Python objects'),
        ({"images": PIXELS / 255}, r"float64 .*\(images \* 255\)\.round.* in \[0, 1\], .*127\.5.* in \[-1, 1\]"),
        ({"images": PIXELS.astype(np.uint16)}, "uint16 .*images / 257"),
        ({"images": np.asfortranarray(PIXELS)}, r"C order; save np\.ascontiguousarray\(images\)"),
        ({"images": CHANNELS_FIRST, "masks": PIXELS[..., 0]}, r"save images\.transpose\(0, 2, 3, 1\)$"),
        ({"x": CHANNELS_FIRST.astype(np.float32)}, r"save \(images\.transpose\(0, 2, 3, 1\) \* 255\)\.round"),
        ({"a": PIXELS, "b": PIXELS}, '"a" uint8'),
        ({"a": np.zeros(3)}, "must hold one uint8"),
        ({"images": PIXELS[:0]}, "no images"),
        ({"images": PIXELS, "labels": [1, 2]}, r"--dataset .*set.npz: labels .*\[3\].*\[2\]"),
        ({"images": PIXELS, "y": [0.5, 1, 2]}, "--dataset .*labels"),
        ({"images": PIXELS, "labels": [0, 1, 2], "class_names": ["x"]}, "--dataset .*class_names"),
    ],
)
def test_unsupported_contents_of_an_npz_are_refused(opened, arrays, message):
    with pytest.raises(UsageError, match=message) as caught:
        opened(**arrays)
    assert "\n" not in str(caught.value)
