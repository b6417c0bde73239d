"""Downloads: complete or absent, checked, and never longer than ten seconds without a response."""

import errno
import hashlib
import os
import socket
import threading
import time

import pytest

from gan_tf.errors import UsageError
from gan_tf.io import progress
from gan_tf.pretrained import downloads
from gan_tf.pretrained.downloads import Download, fetch, obtain

CONTENT = os.urandom(700_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()


def serve(*responses, linger=0.0):
    """Starts a server that sends these bytes to one client each, and closes the connection after `linger` seconds.

    Returns (its URL, a list to which each request is appended).
    """
    listener, requests = socket.create_server(("127.0.0.1", 0)), []

    def answer():
        with listener:
            for response in responses:
                connection, _ = listener.accept()
                with connection:
                    requests.append(connection.recv(4096).decode())
                    connection.sendall(response)
                    time.sleep(linger)

    threading.Thread(target=answer, daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}/net.pth", requests


def test_a_download_without_content_length(cache):
    lines = []
    fetch(serve(b"HTTP/1.0 200 OK\r\n\r\nhello")[0], cache / "file.bin", len, log=lines.append)
    assert (cache / "file.bin").read_bytes() == b"hello"
    assert "size unknown" in lines[0]


def test_a_server_without_response_and_a_hanging_dns_look_up(cache, monkeypatch):
    monkeypatch.setattr(downloads, "SOCKET_SECONDS", 0.3)
    with pytest.raises(UsageError, match="timed out"):
        fetch(serve(b"", linger=2)[0], cache / "file.bin", len, log=len)
    monkeypatch.setattr(downloads, "ANSWER_SECONDS", 0.2)  # sockets have no time limit for the look-up
    monkeypatch.setattr(socket, "getaddrinfo", hang)
    start = time.monotonic()
    with pytest.raises(UsageError, match=r"within 0\.2 s"):
        fetch("http://example.invalid/file.bin", cache / "file.bin", len, log=len)
    assert time.monotonic() - start < 1.5


def test_a_full_disk_is_named(cache, published, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(downloads.os, "fsync", full)
    with pytest.raises(UsageError, match="GAN_TF_CACHE.*No space left"):
        obtain(published, log=len)


def hang(*args, **kwargs):
    time.sleep(2)
    raise socket.gaierror


@pytest.fixture
def cache(cache):
    return cache / "pretrained"


@pytest.fixture
def published(file_server):
    """The Download of a file on the local server."""
    folder, url, _ = file_server
    (folder / "net.pth").write_bytes(CONTENT)
    return Download("net.pth", f"{url}/net.pth", DIGEST[:8], 0.7, "give --metric swd2k")


def test_obtain_downloads_once(cache, file_server, published, capsys):
    lines = []
    for _ in range(2):
        obtained = obtain(published, log=lines.append)
        assert obtained == (cache / "net.pth", DIGEST, True)
    assert obtained.path.read_bytes() == CONTENT
    assert lines == [f"downloading {published.url} (0.7 MB) to {cache / 'net.pth'}"]
    assert obtain(published, offline=True).genuine and len(file_server[2]) == 1
    assert capsys.readouterr().err == ""  # no progress bar for a short download
    assert {path.name for path in cache.iterdir()} == {"net.pth", "net.pth.lock"}


def test_a_slow_download_prints_its_progress(cache, published, capsys, monkeypatch):
    monkeypatch.setattr(progress, "QUIET_SECONDS", 0)
    monkeypatch.setattr(progress, "LOG_SECONDS", 0)
    obtain(published, log=len)
    assert "MB downloaded" in capsys.readouterr().err


def test_concurrent_calls_download_once_and_remove_the_rest_of_a_killed_download(cache, file_server, published):
    cache.mkdir(parents=True)
    (cache / "net.pth.0123abcd.part").write_bytes(b"half")
    (cache / "other.pth.0123abcd.part").write_bytes(b"of another file")
    results = []
    threads = [threading.Thread(target=lambda: results.append(obtain(published, log=len))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(results)) == 1 and len(results) == 4 and len(file_server[2]) == 1
    assert not (cache / "net.pth.0123abcd.part").exists() and (cache / "other.pth.0123abcd.part").exists()


def response(status, content, first=0):
    """A response with `content` from byte `first` on."""
    headers = f"Content-Length: {len(content) - first}\r\n"
    headers += f"Content-Range: bytes {first}-{len(content) - 1}/{len(content)}\r\n" if first else ""
    return f"HTTP/1.0 {status} x\r\n{headers}\r\n".encode() + content[first:]


OTHER = b"x" * 700_000
CONTINUED = {  # {what happens after a connection broke at byte 300,000: (responses, content of the file)}
    "the rest": ([response(206, CONTENT, 300_000)], CONTENT),
    "no ranges": ([response(200, CONTENT)], CONTENT),
    "another file": ([response(206, OTHER, 300_000), response(200, OTHER)], OTHER),
    "a smaller file": ([response(416, b""), response(200, b"short")], b"short"),
}


@pytest.mark.parametrize("case", CONTINUED)
def test_a_broken_download_continues(cache, case):
    responses, content = CONTINUED[case]
    url, requests = serve(response(200, CONTENT)[:-400_000], *responses)
    download, lines = Download("net.pth", url, hashlib.sha256(content).hexdigest(), 0.7), []
    with pytest.raises(UsageError, match="300000 of 700000 bytes.*start again"):
        obtain(download, log=len)
    assert (cache / "net.pth.part").read_bytes() == CONTENT[:300_000]
    obtained = obtain(download, log=lines.append)  # as another process would, from the file alone
    assert obtained.genuine and obtained.path.read_bytes() == content and list(cache.glob("*.part")) == []
    assert ["Range: bytes=300000-" in request for request in requests] == [False, True, False][: len(requests)]
    assert len(requests) == 1 + len(responses) and (case != "the rest" or "0.3 MB are here" in lines[0])


def test_a_download_with_another_checksum_is_refused(cache, published, file_server):
    (file_server[0] / "net.pth").write_bytes(CONTENT[:-1] + b"x")
    with pytest.raises(UsageError, match=r"net\.pth has the SHA-256") as caught:
        obtain(published, log=len)
    assert published.url in str(caught.value) and "\n" not in str(caught.value)
    assert [path.name for path in cache.iterdir()] == ["net.pth.lock"]


def test_a_damaged_cached_file_is_refused_even_with_its_old_size_and_time(cache, published):
    path = obtain(published, log=len).path
    before = path.stat()
    path.write_bytes(CONTENT[:-1] + bytes([CONTENT[-1] ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(UsageError, match=r"net\.pth .*delete it"):
        obtain(published)
    path.unlink()
    assert obtain(published, log=len).genuine


def test_a_given_file_may_have_another_checksum(tmp_path, cache, published, file_server):
    for content in (CONTENT, b"mine"):
        (tmp_path / "mine.pth").write_bytes(content)
        obtained = obtain(published, file=tmp_path / "mine.pth", offline=True)
        assert obtained == (tmp_path / "mine.pth", hashlib.sha256(content).hexdigest(), content is CONTENT)
    assert file_server[2] == [] and not cache.exists()
    for bad in (tmp_path / "absent.pth", tmp_path):
        with pytest.raises(UsageError, match=f"{bad}.*{published.url}"):
            obtain(published, file=bad)


def test_errors_have_the_url_the_folder_and_the_alternative(cache, published, file_server):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closed = f"http://127.0.0.1:{listener.getsockname()[1]}/net.pth"
    start = time.monotonic()
    for url, offline, reason in (
        (published.url, True, "--offline"),
        (closed, False, "cannot download"),
        (f"{file_server[1]}/other.pth", False, "404"),
    ):
        with pytest.raises(UsageError, match=reason) as caught:
            obtain(published._replace(url=url), offline=offline)
        line = str(caught.value)
        assert "\n" not in line and all(part in line for part in (url, str(cache), "0.7 MB", "--metric swd2k"))
    assert time.monotonic() - start < 10
