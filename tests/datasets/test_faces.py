"""`--dataset celeba_hq` and `ffhq`: folders, archives, errors."""

import dataclasses
import io
import tarfile
import tempfile
import zipfile
from pathlib import Path

import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.core import shuffle

from gan_tf.cli.datasets import resolve
from gan_tf.cli.main import main
from gan_tf.data.prepare import prepare
from gan_tf.errors import UsageError
from gan_tf_datasets.faces import files
from gan_tf_datasets.faces.faces_dataset_builder import Builder
from gan_tf_datasets.prepared import FILE_FORMAT, quiet
from tests.datasets.archives import png

COUNT = 12  # instead of 30,000 and 70,000


@pytest.fixture
def manual(tmp_path, monkeypatch):
    monkeypatch.setenv("GAN_TF_CACHE", str(tmp_path))
    for name, face_set in files.FACES.items():
        monkeypatch.setitem(files.FACES, name, dataclasses.replace(face_set, count=COUNT))
    folder = tmp_path / "tfds" / "downloads" / "manual"
    folder.mkdir(parents=True)
    return folder


def thumbnails(top="", count=COUNT):
    """FFHQ's layout: a folder per thousand images, here per five."""
    return {f"{top}{i // 5:03}00/{i:05}.png": png(i) for i in range(count)}


def celeba_mask(count=COUNT):
    """CelebAMask-HQ's layout: numbers without leading zeros, and masks in other folders."""
    images = {f"CelebAMask-HQ/CelebA-HQ-img/{i}.jpg": png(i) for i in range(count)}
    masks = {f"CelebAMask-HQ/CelebAMask-HQ-mask-anno/0/{i:05}_{part}.png": png(90) for i in range(3) for part in "ab"}
    return images | masks | {"CelebAMask-HQ/README.txt": b"hello"}


def write_folder(path, content):
    for name, data in content.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)


def write_zip(path, content):
    with zipfile.ZipFile(path.with_name(f"{path.name}.zip"), "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)


def write_tar(path, content, mode="w", links=()):
    with tarfile.open(path.with_name(f"{path.name}.tar"), mode) as archive:
        for name, data in content.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for name, target in links:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)


FORMS = (write_folder, write_zip, write_tar)


def open_dataset(name, **options):
    return resolve(name, resolution=16, **options)


@pytest.mark.parametrize("write", FORMS)
@pytest.mark.parametrize("stem", ["ffhq", "thumbnails128x128"])
def test_thumbnails_in_any_form_are_the_same_set(manual, write, stem):
    write(manual / stem, thumbnails())
    source = open_dataset("ffhq")
    assert source.name == "ffhq" and source.names == [f"{i:05}.png" for i in range(COUNT)]
    assert [source.read(i) for i in range(COUNT)] == [png(i) for i in range(COUNT)]
    assert source.class_names == () and not source.labels.any()  # folders of a thousand are not classes
    other = manual.parent / "other"
    write_folder(other, thumbnails("thumbnails128x128/"))
    assert files.FaceSource(files.FACES["ffhq"], files.FolderSource(other)).fingerprint == source.fingerprint


@pytest.mark.parametrize("write", FORMS)
def test_other_images_of_the_same_download_are_left_out(manual, write):
    write(manual / "CelebAMask-HQ", celeba_mask())
    source = open_dataset("celeba_hq")
    assert source.names == [f"{i}.jpg" for i in range(COUNT)]  # by number: 10 comes after 9
    assert source.read(10) == png(10)


@pytest.mark.parametrize("write", FORMS)
@pytest.mark.parametrize("stem", ["celeba_hq", "celeba_hq_256", "data256x256"])
def test_a_flat_folder(manual, write, stem):
    write(manual / stem, {f"{i:05}.jpg": png(i) for i in range(COUNT)})
    prepared = prepare(open_dataset("celeba_hq"), resolution=8, log=None)
    assert prepared.images.shape == (COUNT, 8, 8, 3) and prepared.name == "celeba_hq"


def test_names_that_repeat_keep_their_folders(manual):
    write_folder(manual / "celeba_hq", {f"{kind}/{i}.png": png(i) for kind in ("a", "b") for i in range(COUNT // 2)})
    source = open_dataset("celeba_hq")
    assert len(set(source.names)) == COUNT and source.names[0] == "a/0.png" and source.class_names == ()


def test_our_name_comes_first_and_a_folder_before_an_archive(manual):
    write_zip(manual / "thumbnails128x128", thumbnails())
    assert open_dataset("ffhq").where.endswith("thumbnails128x128.zip")
    write_folder(manual / "thumbnails128x128", thumbnails())
    assert open_dataset("ffhq").where.endswith("thumbnails128x128")
    write_tar(manual / "ffhq", thumbnails())
    assert open_dataset("ffhq").where.endswith("ffhq.tar")


@pytest.mark.parametrize("write", FORMS)
@pytest.mark.parametrize("count", [COUNT - 1, COUNT + 1])
def test_a_wrong_count_is_refused(manual, write, count):
    write(manual / "ffhq", thumbnails(count=count))
    with pytest.raises(UsageError, match=f"ffhq.* holds {count} images but the dataset ffhq has {COUNT}: download"):
        open_dataset("ffhq")


@pytest.mark.parametrize("write", [write_zip, write_tar])
@pytest.mark.parametrize("cut", [0.2, 0.5, 0.99])
def test_truncated_archives(manual, write, cut):
    write(manual / "ffhq", thumbnails())
    [path] = manual.iterdir()
    path.write_bytes(path.read_bytes()[: int(cut * path.stat().st_size)])
    if write is write_tar and cut > 0.9:
        return  # its end is padding
    with pytest.raises(UsageError, match="is not a complete|holds .* images but"):
        open_dataset("ffhq").fingerprint  # noqa: B018


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_files_that_are_not_archives(manual, suffix):
    (manual / f"ffhq{suffix}").write_bytes(b"<html>quota exceeded</html>" * 100)
    with pytest.raises(UsageError, match="is not a complete.*download"):
        open_dataset("ffhq")


def test_compressed_tar_is_refused(manual):
    write_tar(manual / "ffhq", thumbnails(), "w:gz")
    with pytest.raises(UsageError, match="is not a complete, uncompressed tar archive"):
        open_dataset("ffhq")


def test_a_damaged_entry_is_an_error(manual):
    write_zip(manual / "ffhq", thumbnails())
    path = manual / "ffhq.zip"
    data = bytearray(path.read_bytes())
    data[200] ^= 255  # in the first image, which is stored uncompressed
    path.write_bytes(data)
    with pytest.raises(UsageError, match=r"ffhq.zip is damaged \(00000.png: .*: download it again"):
        prepare(open_dataset("ffhq"), resolution=8)


def test_entries_that_lead_out_of_a_tar_are_refused(manual):
    write_tar(manual / "ffhq", thumbnails(count=COUNT - 1) | {"../escape.png": png(0)})
    with pytest.raises(UsageError, match="leads out of the archive"):
        open_dataset("ffhq")


def test_links_in_a_tar_are_not_followed(manual):
    write_tar(manual / "ffhq", thumbnails(count=COUNT - 1), links=[("00099.png", "/etc/passwd")])
    with pytest.raises(UsageError, match=f"holds {COUNT - 1} images"):
        open_dataset("ffhq")


@pytest.mark.parametrize(
    ("name", "pages"),
    [
        ("celeba_hq", ["https://github.com/switchablenorms/CelebAMask-HQ", "https://mmlab.ie.cuhk.edu.hk/projects/"]),
        ("ffhq", ["https://github.com/NVlabs/ffhq-dataset"]),
    ],
)
def test_missing_files_give_instructions(manual, capsys, name, pages):
    code = main(["train", "--dataset", name, "--checkpoints", str(manual / "runs")])
    message = capsys.readouterr().err.strip()
    assert code == 2 and "\n" not in message and f"into {manual}, called {name}" in message
    assert all(part in message for part in (*pages, *files.FACES[name].stems))


def test_nothing_is_downloaded(manual, monkeypatch):
    monkeypatch.setattr("socket.socket.connect", None)
    for offline in (False, True):
        with pytest.raises(UsageError, match="--dataset ffhq .*download"):
            open_dataset("ffhq", offline=offline)


def test_prepared_by_tfds_it_is_the_same_set(manual, tmp_path, monkeypatch):
    """Also if TFDS sorts on the disk. The original files are no longer needed."""
    monkeypatch.setattr(shuffle, "MAX_MEM_BUFFER_SIZE", 2000)
    added, add = [], shuffle._Bucket.add
    monkeypatch.setattr(shuffle._Bucket, "add", lambda bucket, *row: (added.append(bucket), add(bucket, *row)))
    write_folder(manual / "celeba_hq", {f"{i}.png": png(i) for i in range(COUNT)})
    fingerprint = open_dataset("celeba_hq").fingerprint
    with quiet():
        Builder(config="celeba_hq", data_dir=tmp_path / "tfds").download_and_prepare(file_format=FILE_FORMAT)
    assert len({id(bucket) for bucket in added}) == COUNT  # not all in one bucket, which is sorted in memory
    for path in sorted(manual.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    source = open_dataset("celeba_hq")
    assert source.fingerprint == fingerprint and source.names[10] == "10.png" and source.read(10) == png(10)


def test_a_builder_without_files_gives_instructions(manual, tmp_path):
    write_folder(manual / "ffhq", thumbnails())
    with quiet(), pytest.raises(UsageError, match="CelebAMask-HQ.zip from https.*; put the folder"):
        Builder(config="celeba_hq", data_dir=tmp_path / "tfds").download_and_prepare()


def test_counts_are_the_published_ones():
    assert {name: face_set.count for name, face_set in files.FACES.items()} == {"celeba_hq": 30_000, "ffhq": 70_000}


class FacesTest(tfds.testing.DatasetBuilderTestCase):
    """TFDS's test case: metadata files, features, splits, reading back."""

    DATASET_CLASS = Builder
    BUILDER_CONFIG_NAMES_TO_TEST = ["celeba_hq", "ffhq"]
    SPLITS = {"train": COUNT}

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.EXAMPLE_DIR = folder.name
        for name, face_set in list(files.FACES.items()):
            write_folder(Path(folder.name) / name, thumbnails())
            files.FACES[name] = dataclasses.replace(face_set, count=COUNT)
            cls.addClassCleanup(files.FACES.__setitem__, name, face_set)
        super().setUpClass()
