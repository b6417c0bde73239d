"""`--dataset celeba_hq` and `ffhq`: folders, archives, errors."""

import dataclasses
import os

import pytest
from tensorflow_datasets.core import shuffle

from gan_tf.cli.datasets import resolve
from gan_tf.cli.main import main
from gan_tf.data.prepare import prepare
from gan_tf.errors import UsageError
from gan_tf_datasets.faces import files
from gan_tf_datasets.faces.faces_dataset_builder import Builder
from gan_tf_datasets.prepared import FILE_FORMAT, quiet
from tests.data import encoded
from tests.data.encoded import noise_png, numbered

COUNT = 12  # instead of 30,000 and 70,000
PAGES = {
    "celeba_hq": ("https://github.com/switchablenorms/CelebAMask-HQ", "https://mmlab.ie.cuhk.edu.hk/projects/"),
    "ffhq": ("https://github.com/NVlabs/ffhq-dataset",),
}


@pytest.fixture
def manual(tmp_path, monkeypatch):
    """The folder of manual downloads, for face sets of COUNT images."""
    assert {name: face_set.count for name, face_set in files.FACES.items()} == {"celeba_hq": 30_000, "ffhq": 70_000}
    monkeypatch.setenv("GAN_TF_CACHE", str(tmp_path))
    for name, face_set in files.FACES.items():
        monkeypatch.setitem(files.FACES, name, dataclasses.replace(face_set, count=COUNT))
    folder = tmp_path / "tfds" / "downloads" / "manual"
    folder.mkdir(parents=True)
    return folder


def thumbnails(top="", count=COUNT):
    """FFHQ's layout: a folder per thousand images, here per five."""
    return {f"{top}{i // 5:03}00/{i:05}.png": noise_png(i) for i in range(count)}


def celeba_mask():
    """CelebAMask-HQ's layout: numbers without leading zeros, and masks in other folders."""
    images = {f"CelebAMask-HQ/CelebA-HQ-img/{i}.jpg": noise_png(i) for i in range(COUNT)}
    masks = {f"CelebAMask-HQ/CelebAMask-HQ-mask-anno/0/{i:05}_{part}.png": b"" for i in range(3) for part in "ab"}
    return images | masks | {"CelebAMask-HQ/README.txt": b"hello"}


def write_zip(path, content):
    return encoded.write_zip(path.with_name(f"{path.name}.zip"), content)


def write_tar(path, content, **options):
    path = path.with_name(f"{path.name}.tar")
    path.write_bytes(encoded.tar_bytes(content, **options))
    return path


FORMS = (encoded.write, write_zip, write_tar)


def open_dataset(name, **options):
    return resolve(name, size=(16, 16), **options)


def refusal(name, message):
    with pytest.raises(UsageError, match=message):
        prepare(open_dataset(name), size=(8, 8))


NUMBERS = range(COUNT)
REPEATED = [f"{folder}/{i}.png" for folder in "ab" for i in range(COUNT // 2)]  # such names keep their folders
LAYOUTS = [
    ("ffhq", "ffhq", thumbnails(), [f"{i:05}.png" for i in NUMBERS]),
    ("ffhq", "thumbnails128x128", thumbnails("thumbnails128x128/"), [f"{i:05}.png" for i in NUMBERS]),
    ("celeba_hq", "CelebAMask-HQ", celeba_mask(), [f"{i}.jpg" for i in NUMBERS]),  # by number: 10 comes after 9
    ("celeba_hq", "celeba_hq", numbered(COUNT), [f"{i}.png" for i in NUMBERS]),
    ("celeba_hq", "celeba_hq_256", {f"{i}.jpg": noise_png(i) for i in NUMBERS}, [f"{i}.jpg" for i in NUMBERS]),
    ("celeba_hq", "data256x256", {name: noise_png(i) for i, name in enumerate(REPEATED)}, REPEATED),
]


@pytest.mark.parametrize(("name", "stem", "content", "names"), LAYOUTS)
def test_each_layout_is_the_same_set_in_any_form(manual, name, stem, content, names):
    fingerprints = set()
    for write in FORMS:
        written = write(manual / stem, content)
        source = open_dataset(name)
        assert source.name == name and source.names == names and source.where == str(written)
        assert [source.read(i) for i in NUMBERS] == [noise_png(i) for i in NUMBERS]
        assert source.class_names == () and not source.labels.any()  # folders are not classes
        fingerprints.add(source.fingerprint)
        written.rename(manual / "moved") if written.is_dir() else written.unlink()
    assert len(fingerprints) == 1


def test_our_name_comes_first_and_a_folder_before_an_archive(manual):
    for write, stem, opened in (
        (write_zip, "thumbnails128x128", "thumbnails128x128.zip"),
        (encoded.write, "thumbnails128x128", "thumbnails128x128"),
        (write_tar, "ffhq", "ffhq.tar"),
    ):
        write(manual / stem, thumbnails())
        assert open_dataset("ffhq").where.endswith(opened)


@pytest.mark.parametrize("write", FORMS)
@pytest.mark.parametrize("count", [COUNT - 1, COUNT + 1])
def test_a_wrong_count_is_refused(manual, write, count):
    write(manual / "ffhq", thumbnails(count=count))
    refusal("ffhq", f"ffhq.* holds {count} images but the dataset ffhq has {COUNT}: download")


def test_damaged_and_unsafe_archives(manual):
    for suffix in (".zip", ".tar"):
        (manual / f"ffhq{suffix}").write_bytes(b"<html>quota exceeded</html>" * 100)
        refusal("ffhq", "is not a complete.*download")
        (manual / f"ffhq{suffix}").unlink()
    for write in (write_zip, write_tar):
        path = write(manual / "ffhq", thumbnails())
        os.truncate(path, path.stat().st_size // 2)
        refusal("ffhq", "is not a complete|holds .* images but")
        path.unlink()
    path = write_zip(manual / "ffhq", thumbnails())
    data = bytearray(path.read_bytes())
    data[200] ^= 255  # in the first image, which is stored uncompressed
    path.write_bytes(data)
    refusal("ffhq", r"ffhq.zip is damaged \(00000.png: .*: download it again")
    path.unlink()
    write_tar(manual / "ffhq", thumbnails(), mode="w:gz")
    refusal("ffhq", "is not a complete, uncompressed tar archive")
    write_tar(manual / "ffhq", thumbnails(count=COUNT - 1) | {"../escape.png": noise_png(0)})
    refusal("ffhq", "leads out of the archive")
    write_tar(manual / "ffhq", thumbnails(count=COUNT - 1), links=[("00099.png", "/etc/passwd")])  # not followed
    refusal("ffhq", f"holds {COUNT - 1} images")


@pytest.mark.parametrize("name", PAGES)
def test_missing_files_give_instructions_and_nothing_is_downloaded(manual, capsys, monkeypatch, name):
    monkeypatch.setattr("socket.socket.connect", None)
    for offline in ([], ["--offline"]):
        assert main(["train", "--dataset", name, "--checkpoints", str(manual / "runs"), *offline]) == 2
        message = capsys.readouterr().err.strip()
        assert "\n" not in message and f"into {manual}, called {name}" in message
        assert all(part in message for part in (*PAGES[name], *files.FACES[name].stems))


def test_prepared_by_tfds_it_is_the_same_set(manual, tmp_path, monkeypatch):
    """Also if TFDS sorts on the disk. The original files are no longer needed."""
    monkeypatch.setattr(shuffle, "MAX_MEM_BUFFER_SIZE", 2000)
    added, add = [], shuffle._Bucket.add
    monkeypatch.setattr(shuffle._Bucket, "add", lambda bucket, *row: (added.append(bucket), add(bucket, *row)))
    encoded.write(manual / "celeba_hq", numbered(COUNT))
    fingerprint = open_dataset("celeba_hq").fingerprint
    with quiet():
        Builder(config="celeba_hq", data_dir=tmp_path / "tfds").download_and_prepare(file_format=FILE_FORMAT)
    assert len({id(bucket) for bucket in added}) == COUNT  # not all in one bucket, which is sorted in memory
    (manual / "celeba_hq").rename(manual / "moved")
    source = open_dataset("celeba_hq")
    assert source.fingerprint == fingerprint and source.names[10] == "10.png" and source.read(10) == noise_png(10)
    with quiet(), pytest.raises(UsageError, match="thumbnails128x128 from https.*; put the folder"):
        Builder(config="ffhq", data_dir=tmp_path / "tfds").download_and_prepare()
