"""Fixtures of the tests of the web app: headless Chromium, a local server, and a site of small untrained networks."""

import contextlib
import functools
import http.server
import importlib.util
import os
import shutil
import threading
from pathlib import Path

import pytest

WEB = Path(__file__).resolve().parent.parent.parent / "web"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
TYPES = {".js": "text/javascript", ".wasm": "application/wasm", ".webmanifest": "application/manifest+json"}


def skip_or_fail(missing, reason):
    """Skips the test if `missing` is true; fails it if `CI` is set."""
    if missing:
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves files with the types that browsers require, without a log."""

    extensions_map = {**http.server.SimpleHTTPRequestHandler.extensions_map, **TYPES}

    def log_message(self, *args):
        pass


@contextlib.contextmanager
def served(folder):
    """Context manager: serves a folder on a free port of 127.0.0.1 and yields its URL."""
    handler = functools.partial(QuietHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser():
    skip_or_fail(not CHROMIUM, "no Chromium in the PATH (Debian: apt-get install chromium)")
    has_playwright = importlib.util.find_spec("playwright")
    skip_or_fail(not has_playwright, "playwright is not installed (requirements/test.txt)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        # Chromium as root, as in a container, needs --no-sandbox; it opens pages of these tests only.
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def modules(browser):
    """A page of the folder web/app in which `import("/random.js")` works; the app itself is not started."""
    with served(WEB / "app") as url:
        page = browser.new_page()
        page.goto(f"{url}simd.js")
        yield page
        page.close()
