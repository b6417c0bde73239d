"""`gan-tf serve DIR`: serves an exported web app on this machine, or on the local network."""

import dataclasses
import errno
import http.server
import ipaddress
import os
import signal
import socket
import socketserver
import sys
import urllib.parse
from pathlib import Path
from typing import Annotated

import psutil
import tyro

from gan_tf.cli import arguments
from gan_tf.errors import UsageError
from gan_tf.io.files import escaped, exists, naming, printable, raise_fault, user_path
from gan_tf.io.shell import quote

# Python's `mimetypes` also reads the machine's own table; where that calls scripts text/plain, browsers refuse them.
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".wasm": "application/wasm",
    ".png": "image/png",
    "": "text/plain; charset=utf-8",  # LICENSE
}
OTHER_TYPE = "application/octet-stream"  # such as .tflite
SITE_FILES = ("index.html", "site.json")  # every site has them


@dataclasses.dataclass(frozen=True)
class ServeOptions:
    """Serves a web app that `gan-tf export --format web` has written. Ctrl-C ends the server."""

    # Folder of the web app.
    folder: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="DIR")]
    host: str = "127.0.0.1"  # address to listen on: 127.0.0.1 for this machine alone, 0.0.0.0 for the local network
    port: int = 8000  # 0: any free port
    verbose: bool = False  # print a line for each request

    def __post_init__(self):
        if not 0 <= self.port < 1 << 16:
            raise UsageError(f"--port is {self.port}; give an integer from 0 to {(1 << 16) - 1}")


def main(argv) -> int:
    """Runs the command and returns its exit code."""
    options = arguments.parse(ServeOptions, argv, prog="gan-tf serve")
    folder = user_path(options.folder)
    if missing := [name for name in SITE_FILES if not exists(folder / name)]:
        raise UsageError(
            f"{escaped(options.folder)} is not a web app (it has no {missing[0]}); write one: gan-tf export RUN "
            f"--format web --out {quote(folder)}"
        )
    with open_server(options, folder.resolve()) as server:
        try:
            signal.signal(signal.SIGTERM, signal.default_int_handler)  # `kill` ends the server like Ctrl-C
            print_addresses(options, server.server_address[1])
            server.serve_forever()
        except KeyboardInterrupt:
            print(f"stopped serving {quote(folder)}", flush=True)
    return 0


def open_server(options, folder):
    """Returns a SiteServer that listens on --host and --port. Raises UsageError if they cannot be used."""
    try:
        return SiteServer((options.host, options.port), folder, options.verbose)
    except (OSError, UnicodeError) as error:  # reads no file: opens a socket
        number = getattr(error, "errno", None)
        if number == errno.EADDRINUSE:
            raise UsageError(f"--port {options.port} is in use; give another, or 0 for any free port") from error
        reason = printable(getattr(error, "strerror", None) or error)
        if number == errno.EACCES:
            raise UsageError(f"--port {options.port} cannot be used ({reason}); give one from 1024 on") from error
        raise UsageError(
            f"--host {options.host} cannot be used ({reason}); give an IPv4 address of this machine, or 0.0.0.0 for all"
        ) from error


def print_addresses(options, port):
    """Prints the addresses of the web app and, if other devices can reach it, a note on HTTPS."""
    address = ipaddress.IPv4Address(socket.gethostbyname(options.host))
    own = "127.0.0.1" if address.is_unspecified else address
    print(f"{quote(Path(options.folder))}: http://{own}:{port}/ (Ctrl-C ends the server)", flush=True)
    if address.is_loopback:
        return
    for other in network_addresses() if address.is_unspecified else [address]:
        print(f"on a phone in the same network: http://{other}:{port}/")
    print("there, installing the app and using it offline need HTTPS; see deploy/pages/README.md", flush=True)


def network_addresses():
    """Returns the IPv4 addresses of this machine in its networks, sorted."""
    found = [
        ipaddress.IPv4Address(entry.address)
        for interface in psutil.net_if_addrs().values()
        for entry in interface
        if entry.family == socket.AF_INET
    ]
    return sorted(address for address in found if not address.is_loopback and not address.is_link_local)


class SiteServer(socketserver.ThreadingTCPServer):
    """HTTP server for the files in a folder, one thread for each connection.

    `http.server.ThreadingHTTPServer` also asks the name server for the name of the address, which can take seconds.
    """

    allow_reuse_address = os.name == "posix"  # on Windows, two servers could have the same port
    daemon_threads = True
    request_queue_size = 64  # browsers open several connections

    def __init__(self, address, folder, verbose):
        self.folder, self.verbose = folder, verbose
        super().__init__(address, SiteHandler)

    def handle_error(self, request, client_address):
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handle_error(request, client_address)  # prints the traceback
        elif error.filename is not None:  # None: the browser closed the connection, or left the network
            name = escaped(os.fsdecode(error.filename))
            print(f"gan-tf serve: {name} cannot be read ({printable(error.strerror)})", file=sys.stderr, flush=True)


class SiteHandler(http.server.BaseHTTPRequestHandler):
    """Answers GET and HEAD requests for files in the server's folder; other methods get status 501."""

    def do_GET(self):
        self._answer(with_content=True)

    def do_HEAD(self):
        self._answer(with_content=False)

    def end_headers(self):
        self.send_header("Cache-Control", "no-cache")  # keep a copy, but ask whether it is current
        self.send_header("X-Content-Type-Options", "nosniff")
        super().end_headers()

    def log_message(self, *args):
        if self.server.verbose:
            super().log_message(*args)

    def _answer(self, with_content):
        path = file_of(self.server.folder, self.path)
        if path is None:
            self.send_error(http.HTTPStatus.NOT_FOUND)
            return
        with naming(path):
            status = path.stat()
            tag = f'"{status.st_mtime_ns:x}-{status.st_size:x}"'
            current = tag in self.headers.get("If-None-Match", "")
            content = b"" if current else path.read_bytes()
        self.send_response(http.HTTPStatus.NOT_MODIFIED if current else http.HTTPStatus.OK)
        self.send_header("ETag", tag)
        if not current:
            self.send_header("Content-Type", TYPES.get(path.suffix.lower(), OTHER_TYPE))
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if with_content:
            self.wfile.write(content)


def file_of(folder, url):
    """Returns the path of the file that a URL names, or None if there is no such file in the folder.

    Links that lead out of the folder, and anything else than a file, count as missing.

    Args:
        folder: pathlib.Path without links.
        url: path of an untrusted request.
    """
    name = urllib.parse.unquote(url.partition("?")[0].partition("#")[0], errors="surrogateescape").lstrip("/")
    try:
        path = (folder / (f"{name}index.html" if name.endswith("/") or not name else name)).resolve()
        return path if path.is_relative_to(folder) and path.is_file() else None
    except (OSError, ValueError, RuntimeError) as error:  # a long name, a null character in it, a circle of links
        raise_fault(error, folder)
        return None
