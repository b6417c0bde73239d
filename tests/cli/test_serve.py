"""`gan-tf serve`, as a process: headers, files outside of the folder, and its end."""

import contextlib
import http.client
import os
import re
import signal
import socket
import struct
import subprocess
import sys
from types import SimpleNamespace

import pytest

from gan_tf.cli.serve import network_addresses
from tests.cli.test_platforms import HIDE
from tests.programs import LIMIT_SECONDS, ROOT, use_default_signals

FILES = {
    "index.html": "text/html; charset=utf-8",
    "style.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "site.json": "application/json",
    "manifest.webmanifest": "application/manifest+json",
    "litert/litert_wasm_internal.wasm": "application/wasm",
    "icons/192.png": "image/png",
    "models/demo/images.tflite": "application/octet-stream",
    "litert/LICENSE": "text/plain; charset=utf-8",
}
# The program without TensorFlow, and with a table of MIME types as on some machines.
PROGRAM = HIDE + "import mimetypes\nmimetypes.add_type('text/plain', '.js')\nfrom gan_tf.cli.main import main\nmain()"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with a file of each kind, and links that lead out of it."""
    root = tmp_path_factory.mktemp("sites")
    folder = root / "site"
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode() * 1000)
    (root / "secret.txt").write_text("secret")
    (root / "site-other").mkdir()
    (root / "site-other" / "secret.txt").write_text("secret")
    (folder / "link.txt").symlink_to(root / "secret.txt")
    (folder / "folder").symlink_to(root)
    (folder / "circle").symlink_to(folder / "circle")
    (folder / "inside.html").symlink_to(folder / "index.html")
    os.mkfifo(folder / "pipe")
    return folder


@contextlib.contextmanager
def served(folder, *arguments):
    """Starts the program, and yields its process, the lines that it printed first, and the port."""
    command = [sys.executable, "-c", f"import sys\nsys.argv[0] = 'gan-tf'\n{PROGRAM}", "serve", folder, "--port", 0]
    process = subprocess.Popen(
        [*map(str, command), *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=use_default_signals,
    )
    with process:
        try:
            line = process.stdout.readline()
            assert line, process.stderr.read()
            yield SimpleNamespace(process=process, line=line, port=int(re.search(r":(\d+)/", line)[1]))
        finally:
            process.kill()


@pytest.fixture(scope="module")
def server(site):
    with served(site) as running:
        yield running
        end(running)


def end(running, number=signal.SIGINT):
    """Sends a signal, and checks that the program ends with one more line and no error."""
    running.process.send_signal(number)
    out, err = running.process.communicate(timeout=LIMIT_SECONDS)
    assert (running.process.returncode, err) == (0, "")
    assert out.splitlines()[-1].startswith("stopped serving ")
    return out


def ask(server, url, method="GET", **headers):
    """Sends a request, with the URL as it is. Returns (status, headers, content)."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=LIMIT_SECONDS)
    connection.request(method, url, headers={name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    return answer.status, answer.headers, answer.read()


@pytest.mark.parametrize("name", FILES)
def test_types_do_not_depend_on_the_machine(server, name):
    status, headers, content = ask(server, f"/{name}?version=1")
    assert (status, headers["Content-Type"], content) == (200, FILES[name], name.encode() * 1000)
    assert headers["Cache-Control"] == "no-cache" and headers["X-Content-Type-Options"] == "nosniff"
    status, headers, content = ask(server, f"/{name}", "HEAD")
    assert (status, headers["Content-Length"], content) == (200, str(len(name) * 1000), b"")


def test_an_unchanged_file_is_not_sent_again(server, site):
    (site / "page.js").write_text("first")
    tag = ask(server, "/page.js")[1]["ETag"]
    status, headers, content = ask(server, "/page.js", If_None_Match=f'"other", W/{tag}')
    assert (status, content, headers["Content-Type"]) == (304, b"", None) and headers["Cache-Control"] == "no-cache"
    (site / "page.js").write_text("other")  # of the same length, and usually within the same second
    assert ask(server, "/page.js", If_None_Match=tag)[2] == b"other"


def test_folders_are_not_listed_and_methods_that_change_are_refused(server, site):
    assert ask(server, "/")[2] == (site / "index.html").read_bytes() == ask(server, "/inside.html")[2]
    for url in ("/models", "/models/", "/models/demo/", "/index.html/", "/missing.js", "/pipe"):
        status, headers, content = ask(server, url)
        assert status == 404 and b"images.tflite" not in content and headers["X-Content-Type-Options"] == "nosniff"
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert ask(server, "/index.html", method)[0] == 501
    assert (site / "index.html").exists()


@pytest.mark.parametrize(
    "url",
    [
        *("/../secret.txt", "/..%2fsecret.txt", "/%2e%2e/secret.txt", "/models/../../secret.txt", "../secret.txt"),
        *(
            "//{parent}/secret.txt",
            "/%2f{parent}/secret.txt",
            "file:///{parent}/secret.txt",
            "/../site-other/secret.txt",
        ),
        *("/link.txt", "/folder/secret.txt", "/folder/site/../secret.txt", "/circle", "/index.html%00", "/%ff%fe"),
        *("/..\\secret.txt", "/" + "x" * 5000, "/" + "a/" * 3000),
    ],
)
def test_files_outside_of_the_folder_are_missing(server, site, url):
    status, _, content = ask(server, url.replace("{parent}", str(site.parent)))
    assert status == 404 and b"secret" not in content


def test_a_closed_connection_prints_nothing(site):
    (site / "large.wasm").write_bytes(bytes(20_000_000))
    with served(site) as running:
        for request in (b"", b"GET /lar", b"GET /large.wasm HTTP/1.1\r\n\r\n"):
            connection = socket.create_connection(("127.0.0.1", running.port))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # ends with a reset
            connection.sendall(request)
            connection.recv(1) if request.endswith(b"\n") else None
            connection.close()
        assert ask(running, "/style.css")[0] == 200
        assert len(end(running).splitlines()) == 1


def test_sigterm_ends_it_and_verbose_prints_the_requests(site):
    with served(site, "--verbose", "--host", "0.0.0.0") as running:
        for address in network_addresses():
            assert running.process.stdout.readline().endswith(f" http://{address}:{running.port}/\n")
        assert "HTTPS" in running.process.stdout.readline()
        for url in ("/style.css", "/missing%0a"):
            ask(running, url)
        running.process.terminate()
        out, err = running.process.communicate(timeout=LIMIT_SECONDS)
    assert running.process.returncode == 0 and out.startswith("stopped serving ")
    assert '"GET /style.css HTTP/1.1" 200' in err and '"GET /missing' in err


def test_a_port_in_use_and_other_errors(server, site, tmp_path, refused):
    assert f"--port {server.port} is in use" in refused("serve", site, "--port", server.port)
    assert "--port is 65536" in refused("serve", site, "--port", 65536)
    for host in ("198.51.100.1", "nowhere.invalid", "::", "a..b"):
        assert f"--host {host}" in refused("serve", site, "--host", host, "--port", 0)
    for folder in (tmp_path, tmp_path / "missing", site / "index.html"):
        error = refused("serve", folder)
        assert str(folder) in error and f"gan-tf export RUN --format web --out {folder}" in error
