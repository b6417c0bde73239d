"""The web app in headless Chromium: a local server, and a page that tests act on."""

import contextlib
import importlib.util
import os
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from gan_tf.cli.serve import SiteServer
from gan_tf.sampling.generate import images_of_seeds

WEB = Path(__file__).resolve().parent.parent.parent / "web"
LIMIT_SECONDS = 60  # for an event that takes a second on an idle machine
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
MEAN, LARGEST = 0.1, 3  # differences of bytes from Python: the weights of the app are float16


def skip_or_fail(missing, reason):
    """Skips the test if `missing` is true; fails it if `CI` is set."""
    if missing:
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)


@contextlib.contextmanager
def served(folder):
    """Context manager: serves a folder on a free port of 127.0.0.1, as `gan-tf serve` does, and yields its URL."""
    with SiteServer(("127.0.0.1", 0), folder.resolve(), verbose=False) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
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


def python_images(trained, seeds, truncation=1.0, label=None):
    """The images of seeds that gan_tf generates: uint8 [N, H, W, C]."""
    labels = trained.classes.of_seeds(seeds, label)
    return np.concatenate([images for _, images in images_of_seeds(trained.folded(), seeds, 4, truncation, labels)])


def assert_equal_images(got, expected):
    error = np.abs(got.astype(int) - expected.astype(int))
    assert error.mean() < MEAN and error.max() <= LARGEST


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

    def choose(self, view, slot, seed):
        """Keeps the image of a seed, and chooses it for a slot of a view."""
        self.tab("images")
        self.set_seed(seed)
        self.page.click("#images-actions [data-action=keep]")
        self.page.wait_for_selector("#note p")
        self.tab(view)
        self.page.click(f"#{view}-slots [data-slot='{slot}']")
        self.page.click(f"#picker-list button:has-text('seed {seed},') >> nth=0")
        self.until_text(f"#{view}-slots [data-slot='{slot}'] small", f"seed {seed},")
        self.wait()

    def downloaded(self, selector, folder):
        with self.page.expect_download() as download:
            self.page.click(selector)
        path = folder / download.value.suggested_filename
        download.value.save_as(path)
        return path

    def image(self, selector=".tile canvas", channels=3):
        """uint8 [H, W, channels] of the first canvas that `selector` matches."""
        return self.images(selector, channels)[0]

    def images(self, selector=".tile canvas", channels=3):
        """uint8 [N, H, W, channels] of all canvases that `selector` matches."""
        texts = self.page.locator(selector).evaluate_all(
            """(canvases) => canvases.map((canvas) => {
                const { data, width, height } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
                return [width, height, Array.from(data).map((byte) => String.fromCharCode(byte)).join("")];
            })"""
        )
        return np.stack(
            [
                np.frombuffer(text.encode("latin-1"), np.uint8).reshape(height, width, 4)[..., :channels]
                for width, height, text in texts
            ]
        )

    def alert(self):
        """Waits for the error in the page and returns its text."""
        self.page.wait_for_selector("#alert p")
        return self.page.text_content("#alert p")
