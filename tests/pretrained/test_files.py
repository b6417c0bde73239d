"""Downloads: whole or not at all, never longer than ten seconds without an answer."""

import socket
import threading
import time

import pytest

from gan_tf.errors import UsageError
from gan_tf.pretrained import files


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
    files.fetch(url, tmp_path / "deep" / "file.bin", say=lambda line: None)
    assert (tmp_path / "deep" / "file.bin").read_bytes() == b"hello"
    assert files.sha256_of(tmp_path / "deep" / "file.bin").startswith("2cf24dba5fb0a30e")


def test_unknown_size_is_said(tmp_path):
    said = []
    files.fetch(serve_once(b"HTTP/1.0 200 OK\r\n\r\nhello"), tmp_path / "file.bin", say=said.append)
    assert "size unknown" in said[0]


def test_cut_download_leaves_nothing(tmp_path):
    url = serve_once(b"HTTP/1.0 200 OK\r\nContent-Length: 50\r\n\r\nhello")
    with pytest.raises(UsageError, match="the connection broke after 5 of 50 bytes"):
        files.fetch(url, tmp_path / "file.bin", say=lambda line: None)
    assert list(tmp_path.iterdir()) == []


def test_silent_server(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "SOCKET_SECONDS", 0.3)
    with pytest.raises(UsageError, match="timed out"):
        files.fetch(serve_once(b"", linger=2), tmp_path / "file.bin", say=lambda line: None)


def test_hanging_name_lookup(tmp_path, monkeypatch):
    # No time-out of sockets covers the look-up of a name.
    monkeypatch.setattr(files, "ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: time.sleep(2))
    start = time.monotonic()
    with pytest.raises(UsageError, match="no answer within 0.2 s"):
        files.fetch("http://example.invalid/file.bin", tmp_path / "file.bin", say=lambda line: None)
    assert time.monotonic() - start < 1.5
