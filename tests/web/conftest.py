"""Fixtures of the tests of the web app: headless Chromium, a local server, and a site of small untrained networks."""

import contextlib
import functools
import http.server
import importlib.util
import os
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest

WEB = Path(__file__).resolve().parent.parent.parent / "web"
LIMIT_SECONDS = 60  # for an event that takes a second on an idle machine
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


@contextlib.contextmanager
def chromium(*arguments):
    """Context manager: yields a headless Chromium; skips or fails the test without one."""
    skip_or_fail(not CHROMIUM, "no Chromium in the PATH (Debian: apt-get install chromium)")
    has_playwright = importlib.util.find_spec("playwright")
    skip_or_fail(not has_playwright, "playwright is not installed (requirements/test.txt)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        # Chromium as root, as in a container, needs --no-sandbox; it opens pages of these tests only.
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *arguments])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def modules(browser):
    """A page of the folder web/app in which `import("/random.js")` works; the app itself is not started."""
    with served(WEB / "app") as url:
        page = browser.new_page()
        page.goto(f"{url}simd.js")
        yield page
        page.close()


@pytest.fixture(scope="session")
def write_site():
    """A function (folder, families) -> {family: TrainedGenerator}: writes a site of small conditional networks."""
    skip_or_fail(not (WEB / "node_modules/@litertjs").exists(), "web/node_modules is missing: make web-lint")
    skip_or_fail(not importlib.util.find_spec("ai_edge_litert"), "ai_edge_litert is not installed")
    # They start TensorFlow, which would be too early while tests are collected.
    from gan_tf.export import web
    from gan_tf.export.runtime import obtain_runtime
    from gan_tf.runs.weights import load_generator
    from tests import conditional

    def write(folder, families):
        site, entries, trained = folder / "site", [], {}
        for family in families:
            run = conditional.make_run(folder / family, family)
            trained[family] = load_generator(run, log=lambda line: None)
            entry, _, image_of_seed = web.write_model(site, trained[family], family, family, score=None, licence=None)
            entries.append(entry)
        web.write_site(site, "Small networks", entries, image_of_seed(0), obtain_runtime(WEB, offline=True))
        return trained

    return write


@pytest.fixture(scope="session")
def fastgan_site(write_site, tmp_path_factory):
    """(folder of a site with one model, its TrainedGenerator)."""
    folder = tmp_path_factory.mktemp("web")
    return folder / "site", write_site(folder, ["fastgan"])["fastgan"]


class App:
    """A page of Chromium with the web app, and what went wrong in it.

    Attributes:
        page: Playwright's page.
        problems: errors of the console and requests that failed or went to other servers.
    """

    def __init__(self, context, url):
        self.url, self.page, self.problems = url, context.new_page(), []
        self.page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        self.page.on("console", self._log)
        self.page.on("requestfailed", lambda request: self.problems.append(f"failed: {request.url}"))
        self.page.on("request", self._check_origin)
        self.page.set_default_timeout(1000 * LIMIT_SECONDS)

    def _log(self, message):
        if message.type == "error":
            self.problems.append(f"console: {message.text}")

    def _check_origin(self, request):
        if not request.url.startswith((self.url, "blob:", "data:")):
            self.problems.append(f"foreign request: {request.url}")

    def open(self):
        self.page.goto(self.url)
        self.page.wait_for_selector(".tile")
        self.wait()

    def wait(self):
        """Waits until all requested images are shown."""
        self.until("!document.querySelector('.tile.waiting, canvas[aria-busy=true]')")

    def until(self, expression):
        """Waits until a JavaScript expression is true. The page's policy forbids Playwright's `wait_for_function`."""
        deadline = time.monotonic() + LIMIT_SECONDS
        while not self.page.evaluate(expression):
            assert time.monotonic() < deadline, expression
            self.page.wait_for_timeout(20)

    def until_text(self, selector, start):
        """Waits until the text of an element starts with `start`."""
        self.until(f"document.querySelector(`{selector}`).textContent.startsWith({start!r})")

    def set_seed(self, seed):
        self.page.fill("#seed", str(seed))
        self.page.press("#seed", "Enter")
        self.wait()

    def set_slider(self, selector, value):
        self.page.locator(selector).evaluate(
            "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input')); }", str(value)
        )
        self.wait()

    def tab(self, name):
        self.page.click(f"#tab-{name}")
        self.wait()

    def image(self, selector=".tile canvas"):
        """uint8 [H, W, 3] of the first canvas that `selector` matches."""
        return self.images(selector)[0]

    def images(self, selector=".tile canvas"):
        """uint8 [N, H, W, 3] of all canvases that `selector` matches."""
        texts = self.page.locator(selector).evaluate_all(
            """(canvases) => canvases.map((canvas) => {
                const { data, width, height } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
                return [width, height, Array.from(data).map((byte) => String.fromCharCode(byte)).join("")];
            })"""
        )
        return np.stack(
            [
                np.frombuffer(text.encode("latin-1"), np.uint8).reshape(height, width, 4)[..., :3]
                for width, height, text in texts
            ]
        )

    def alert(self):
        """Waits for the error in the page and returns its text."""
        self.page.wait_for_selector("#alert p")
        return self.page.text_content("#alert p")


@pytest.fixture(scope="module")
def new_app(browser):
    """A function (url, **options of browser.new_context) -> App in a new context, not opened."""
    contexts = []

    def make(url, **options):
        contexts.append(browser.new_context(**options))
        return App(contexts[-1], url)

    yield make
    for context in contexts:
        context.close()
