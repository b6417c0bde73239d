"""`--dataset panda` and the other few-shot datasets: zips, downloads, recorded checksums, errors."""

import functools
import http.server
import threading
import time

import pytest

from gan_tf.cli.datasets import resolve
from gan_tf.errors import UsageError
from gan_tf_datasets.few_shot import archives
from tests.datasets.archives import png, write_zip

PANDA = "100-shot-panda.zip"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GAN_TF_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture
def site(tmp_path_factory, monkeypatch):
    """A folder served as the web site of the archives."""
    folder = tmp_path_factory.mktemp("site")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(archives, "SITE", f"http://127.0.0.1:{server.server_port}/")
    yield folder
    server.shutdown()
    server.server_close()


def open_dataset(name, **options):
    """Returns (source, logged lines)."""
    lines = []
    return resolve(name, resolution=64, log=lines.append, **options), lines


@pytest.mark.parametrize("folder", ["", "100-shot-panda/", "a/b/"])
def test_zip_put_there_by_hand_is_used(cache, folder):
    write_zip(cache / "downloads" / PANDA, 100, folder, extra=[("README.txt", b"hello"), ("__MACOSX/._0.png", b"x")])
    source, lines = open_dataset("panda")
    assert len(source) == 100
    assert source.names[:3] == [f"{folder}{i}.png" for i in range(3)] and source.names[99] == f"{folder}99.png"
    assert source.read(10) == png(10)  # image 10 by number, not in alphabetical order
    assert len(lines) == 1 and "recorded its SHA-256" in lines[0]
    assert open_dataset("panda")[1] == []


def test_a_prepared_dataset_needs_no_zip_and_no_network(cache):
    path = write_zip(cache / "downloads" / PANDA, 100)
    fingerprint = open_dataset("panda")[0].fingerprint
    path.unlink()
    assert open_dataset("panda", offline=True)[0].fingerprint == fingerprint


def test_other_counts(cache):
    write_zip(cache / "downloads" / "AnimalFace-cat.zip", 160)
    write_zip(cache / "downloads" / "AnimalFace-dog.zip", 389)
    assert len(open_dataset("animal_face_cat")[0]) == 160
    assert len(open_dataset("animal_face_dog")[0]) == 389


def test_a_wrong_count_is_refused(cache):
    write_zip(cache / "downloads" / PANDA, 99)
    with pytest.raises(UsageError, match="holds 99 images but the dataset panda has 100"):
        open_dataset("panda")
    assert not (cache / "checksums.tsv").exists()


def test_corrupt_entry(cache):
    path = write_zip(cache / "downloads" / PANDA, 100)
    data = bytearray(path.read_bytes())
    data[200] ^= 255  # in the first image, which is stored uncompressed
    path.write_bytes(data)
    with pytest.raises(UsageError, match="is damaged"):
        open_dataset("panda")


def test_later_zips_must_have_the_recorded_checksum(cache):
    path = cache / "downloads" / PANDA
    write_zip(path, 100)
    open_dataset("panda")
    write_zip(path, 100, seed=1)
    with pytest.raises(UsageError, match="has SHA-256 .* is recorded: delete the file .* or remove its line"):
        open_dataset("panda")
    # The advice works: without the line, the new zip is accepted and prepared.
    (cache / "checksums.tsv").unlink()
    source, lines = open_dataset("panda")
    assert source.read(0) == png(1)
    assert "preparing panda again" in lines[1]


def test_a_shipped_checksum_comes_first(cache, monkeypatch):
    write_zip(cache / "downloads" / PANDA, 100)
    monkeypatch.setattr(archives, "_shipped_checksums", lambda: {PANDA: "0" * 64})
    with pytest.raises(UsageError, match=f"{'0' * 64} is recorded"):
        open_dataset("panda")


def test_a_damaged_record_is_an_error(cache):
    write_zip(cache / "downloads" / PANDA, 100)
    (cache / "checksums.tsv").write_text("nonsense\n")
    with pytest.raises(UsageError, match="checksums.tsv is damaged"):
        open_dataset("panda")


def test_a_download_is_logged_first(cache, site):
    size = write_zip(site / PANDA, 100).stat().st_size
    source, lines = open_dataset("panda")
    assert len(source) == 100
    assert lines[0] == f"fetching {archives.SITE}{PANDA} ({size / 1e6:.1f} MB) to {cache / 'downloads' / PANDA}"
    assert sorted(path.name for path in (cache / "downloads").iterdir()) == [PANDA]


def test_an_unusable_download_is_neither_kept_nor_recorded(cache, site):
    (site / PANDA).write_text("<html>Please log in to the hotel's network</html>")
    with pytest.raises(UsageError, match=f"{archives.SITE}{PANDA} is unusable: {PANDA} is not a complete"):
        open_dataset("panda")
    assert list((cache / "downloads").iterdir()) == [] and not (cache / "checksums.tsv").exists()


def test_a_missing_network_is_detected_within_ten_seconds(cache, monkeypatch):
    monkeypatch.setattr(archives, "SITE", "http://127.0.0.1:9/")  # refuses
    start = time.monotonic()
    with pytest.raises(UsageError) as caught:
        open_dataset("panda")
    assert time.monotonic() - start < 10
    message = str(caught.value)
    assert "\n" not in message
    for part in (f"http://127.0.0.1:9/{PANDA}", f"as {PANDA}", f"put it into {cache / 'downloads'}"):
        assert part in message


def test_offline_forbids_the_download(cache, site):
    write_zip(site / PANDA, 100)
    with pytest.raises(
        UsageError, match=f"--offline forbids fetching {PANDA}: download http.* put it into .*downloads"
    ):
        open_dataset("panda", offline=True)


def test_urls():
    assert archives.ARCHIVES["wuzhen"].url == "https://data-efficient-gans.mit.edu/datasets/100-shot-wuzhen.zip"
