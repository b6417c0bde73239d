"""Downloads: whole or not at all, never longer than ten seconds without an answer."""

import functools
import hashlib
import http.server
import os
import socket
import threading
import time

import pytest

from gan_tf.errors import UsageError
from gan_tf.io import progress
from gan_tf.pretrained import files
from gan_tf.pretrained.files import Download, obtain


def serve_once(answer, linger=0.0):
    """URL of a server that answers one request with these bytes, then closes after `linger` seconds."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        connection, _ = listener.accept()
        with connection, listener:
            connection.recv(4096)
            connection.sendall(answer)
            time.sleep(linger)

    threading.Thread(target=serve, daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}/file.bin"


def test_fetches(tmp_path):
    url = serve_once(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello")
    files.fetch(url, tmp_path / "deep" / "file.bin", log=lambda line: None)
    assert (tmp_path / "deep" / "file.bin").read_bytes() == b"hello"
    assert files.sha256_of(tmp_path / "deep" / "file.bin").startswith("2cf24dba5fb0a30e")


def test_unknown_size_is_said(tmp_path):
    said = []
    files.fetch(serve_once(b"HTTP/1.0 200 OK\r\n\r\nhello"), tmp_path / "file.bin", log=said.append)
    assert "size unknown" in said[0]


def test_cut_download_leaves_nothing(tmp_path):
    url = serve_once(b"HTTP/1.0 200 OK\r\nContent-Length: 50\r\n\r\nhello")
    with pytest.raises(UsageError, match="the connection broke after 5 of 50 bytes"):
        files.fetch(url, tmp_path / "file.bin", log=lambda line: None)
    assert list(tmp_path.iterdir()) == []


def test_silent_server(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "SOCKET_SECONDS", 0.3)
    with pytest.raises(UsageError, match="timed out"):
        files.fetch(serve_once(b"", linger=2), tmp_path / "file.bin", log=lambda line: None)


def test_hanging_name_lookup(tmp_path, monkeypatch):
    # No time-out of sockets covers the look-up of a name.
    monkeypatch.setattr(files, "ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: time.sleep(2))
    start = time.monotonic()
    with pytest.raises(UsageError, match="no answer within 0.2 s"):
        files.fetch("http://example.invalid/file.bin", tmp_path / "file.bin", log=lambda line: None)
    assert time.monotonic() - start < 1.5


def test_a_full_disk_or_a_locked_folder_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"cannot write .*file/file\.bin \(.*\): make room"):
        files.fetch(serve_once(b""), tmp_path / "file" / "file.bin")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GAN_TF_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "pretrained"


@pytest.fixture
def site(tmp_path):
    """(folder that is served, its URL, the paths asked for)."""
    folder, asked = tmp_path / "site", []
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            asked.append(self.path)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


CONTENT = os.urandom(700_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def published(site):
    """The Download of a file that the local server has."""
    folder, url, _ = site
    (folder / "net.pth").write_bytes(CONTENT)
    return Download("net.pth", f"{url}/net.pth", DIGEST[:8], 0.7, "give --metric swd2k")


def test_obtains_once(cache, site, published, capsys):
    said = []
    for _ in range(2):
        found = obtain(published, log=said.append)
        assert found == (cache / "net.pth", DIGEST, True)
    assert found.path.read_bytes() == CONTENT
    assert said == [f"fetching {published.url} (0.7 MB) to {cache / 'net.pth'}"]
    assert len(site[2]) == 1
    assert capsys.readouterr().err == ""  # so short a fetch needs no bar
    assert {path.name for path in cache.iterdir()} == {"net.pth", "net.pth.lock"}


def test_a_slow_fetch_shows_how_far_it_is(cache, published, capsys, monkeypatch):
    monkeypatch.setattr(progress, "QUIET_SECONDS", 0)
    monkeypatch.setattr(progress, "LOG_SECONDS", 0)
    obtain(published, log=lambda line: None)
    assert "MB fetched" in capsys.readouterr().err


def test_processes_side_by_side_fetch_once(cache, site, published):
    found = []
    threads = [threading.Thread(target=lambda: found.append(obtain(published, log=len))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1 and len(found) == 4 and len(site[2]) == 1


def test_what_a_killed_fetch_left_is_removed(cache, published):
    cache.mkdir(parents=True)
    (cache / ".net.pth.abc123").write_bytes(b"half")
    (cache / ".other.pth.abc123").write_bytes(b"another's")
    obtain(published, log=len)
    assert not (cache / ".net.pth.abc123").exists() and (cache / ".other.pth.abc123").exists()


def test_a_file_put_there_by_hand_needs_no_network(cache, published, site):
    cache.mkdir(parents=True)
    (cache / "net.pth").write_bytes(CONTENT)
    assert obtain(published, offline=True).genuine
    assert site[2] == []


def test_another_content_from_the_server_is_refused(cache, published, site):
    (site[0] / "net.pth").write_bytes(CONTENT[:-1] + b"x")
    with pytest.raises(UsageError) as caught:
        obtain(published, log=len)
    line = str(caught.value)
    assert f"what came from {published.url} is unusable: net.pth has a SHA-256" in line and "\n" not in line
    assert not (cache / "net.pth").exists()


def test_a_damaged_cached_file_is_refused_even_with_its_old_size_and_time(cache, published):
    path = obtain(published, log=len).path
    before = path.stat()
    path.write_bytes(CONTENT[:-1] + bytes([CONTENT[-1] ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(UsageError, match=r"net\.pth is damaged or another file \(.*\): delete it"):
        obtain(published)
    path.unlink()
    assert obtain(published, log=len).genuine


def test_a_given_file_is_used_as_it_is(tmp_path, cache, published, site):
    for content in (CONTENT, b"mine"):
        (tmp_path / "mine.pth").write_bytes(content)
        found = obtain(published, file=tmp_path / "mine.pth", offline=True)
        assert found == (tmp_path / "mine.pth", hashlib.sha256(content).hexdigest(), content is CONTENT)
    assert site[2] == [] and not cache.exists()
    for bad in (tmp_path / "absent.pth", tmp_path):
        with pytest.raises(UsageError, match=r"cannot read .*: give the file published as http"):
            obtain(published, file=bad)


def test_offline_names_url_place_and_alternative(cache, published):
    with pytest.raises(UsageError) as caught:
        obtain(published, offline=True)
    line = str(caught.value)
    assert line.startswith("--offline forbids fetching net.pth: ") and "\n" not in line
    for part in (published.url, str(cache), "0.7 MB", "or give --metric swd2k"):
        assert part in line


def test_no_network_is_told_within_ten_seconds(cache, published):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nobody = f"http://127.0.0.1:{listener.getsockname()[1]}/net.pth"
    start = time.monotonic()
    with pytest.raises(UsageError) as caught:
        obtain(published._replace(url=nobody))
    assert time.monotonic() - start < 10
    line = str(caught.value)
    assert line.startswith(f"cannot fetch {nobody} (") and "\n" not in line
    assert str(cache) in line and line.endswith("or give --metric swd2k")


def test_an_absent_file_on_the_server(cache, published, site):
    with pytest.raises(UsageError, match="the server says 404"):
        obtain(published._replace(url=f"{site[1]}/other.pth"))
