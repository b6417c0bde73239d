"""`--dataset panda` and the other few-shot datasets: zips, downloads, recorded checksums, errors."""

import pytest

from gan_tf.cli.datasets import resolve
from gan_tf.errors import UsageError
from gan_tf_datasets.few_shot import archives
from tests.data.encoded import noise_png, numbered, write_zip

PANDA = "100-shot-panda.zip"


@pytest.fixture
def downloads(tmp_path, monkeypatch):
    """The folder of the zips, in an empty cache."""
    monkeypatch.setenv("GAN_TF_CACHE", str(tmp_path))
    return tmp_path / "downloads"


@pytest.fixture
def site(file_server, monkeypatch):
    """A folder served as the web site of the archives."""
    folder, url, _ = file_server
    monkeypatch.setattr(archives, "SITE", f"{url}/")
    return folder


def open_dataset(name, **options):
    """Returns (source, logged lines)."""
    lines = []
    return resolve(name, size=(64, 64), log=lines.append, **options), lines


def refusal(message, **options):
    with pytest.raises(UsageError, match=message) as caught:
        open_dataset("panda", **options)
    return str(caught.value)


@pytest.mark.parametrize("folder", ["", "100-shot-panda/", "a/b/"])
def test_zip_put_there_by_hand_is_used(downloads, folder):
    path = write_zip(downloads / PANDA, numbered(100, folder) | {"README.txt": b"hello", "__MACOSX/._0.png": b"x"})
    source, lines = open_dataset("panda")
    assert len(source) == 100
    assert source.names[:3] == [f"{folder}{i}.png" for i in range(3)] and source.names[99] == f"{folder}99.png"
    assert source.read(10) == noise_png(10)  # image 10 by number, not in alphabetical order
    assert len(lines) == 1 and "recorded its SHA-256" in lines[0]
    assert open_dataset("panda")[1] == []
    path.unlink()  # a prepared dataset needs no zip and no network
    assert open_dataset("panda", offline=True)[0].fingerprint == source.fingerprint


def test_other_counts_and_damaged_entries_are_refused(downloads):
    assert archives.ARCHIVES["wuzhen"].url == "https://data-efficient-gans.mit.edu/datasets/100-shot-wuzhen.zip"
    for name, count in (("animal_face_cat", 160), ("animal_face_dog", 389)):
        write_zip(archives.ARCHIVES[name].path, numbered(count))
        assert len(archives.read_images(archives.ARCHIVES[name])) == count
    write_zip(downloads / PANDA, numbered(99))
    refusal("holds 99 images but the dataset panda has 100")
    path = write_zip(downloads / PANDA, numbered(100))
    data = bytearray(path.read_bytes())
    data[200] ^= 255  # in the first image, which is stored uncompressed
    path.write_bytes(data)
    refusal("is damaged")
    assert not downloads.with_name("checksums.tsv").exists()


def test_later_zips_must_have_the_recorded_checksum(downloads, monkeypatch):
    write_zip(downloads / PANDA, numbered(100))
    open_dataset("panda")
    write_zip(downloads / PANDA, numbered(100, seed=1))
    refusal("has SHA-256 .* is recorded: delete the file .* or remove its line")
    # The advice works: without the line, the new zip is accepted and prepared.
    record = downloads.with_name("checksums.tsv")
    record.unlink()
    source, lines = open_dataset("panda")
    assert source.read(0) == noise_png(1)
    assert "preparing panda again" in lines[1]
    record.write_text("nonsense\n")
    refusal("checksums.tsv is damaged")
    monkeypatch.setattr(archives, "_shipped_checksums", lambda: {PANDA: "0" * 64})  # comes first
    refusal(f"{'0' * 64} is recorded")


def test_a_download_is_logged_first(downloads, site):
    size = write_zip(site / PANDA, numbered(100)).stat().st_size
    refusal(f"--offline forbids downloading {PANDA}: download http.* put it into .*downloads as {PANDA}", offline=True)
    source, lines = open_dataset("panda")
    assert len(source) == 100
    assert lines[0] == f"downloading {archives.SITE}{PANDA} ({size / 1e6:.1f} MB) to {downloads / PANDA}"
    assert sorted(path.name for path in downloads.iterdir()) == [PANDA, f"{PANDA}.lock"]


def test_an_unusable_download_is_neither_kept_nor_recorded(downloads, site):
    (site / PANDA).write_text("<html>Please log in to the hotel's network</html>")
    refusal(f"{archives.SITE}{PANDA} is unusable: {PANDA} is not a complete")
    assert [path.name for path in downloads.iterdir()] == [f"{PANDA}.lock"]
    assert not downloads.with_name("checksums.tsv").exists()
