"""The report in headless Chromium: sizes of a phone and a desktop, light and dark, without a network.

Needs Chromium in the PATH (Debian package `chromium`); without it the tests are skipped, or fail if `CI` is set.
"""

import importlib.util
import os
import shutil

import numpy as np
import pytest

from gan_tf.io import image_files
from gan_tf.report import report_html
from tests.scored import fid, make_run, swd, write_images

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PHONE, DESKTOP = (390, 844), (1280, 900)


@pytest.fixture(scope="module")
def browser():
    for missing, reason in (
        (not CHROMIUM, "no Chromium in the PATH (Debian: apt-get install chromium)"),
        (not importlib.util.find_spec("playwright"), "playwright is not installed (requirements/test.txt)"),
    ):
        if missing:
            pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        # Chromium as root, as in a container, needs --no-sandbox; it opens pages of these tests only.
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    """A report with all sections, alone in a folder, where files of the run would be missing."""
    folder = tmp_path_factory.mktemp("runs")
    long_name = "a-rather-long-name-of-a-run-" * 4
    final = fid(43.2, fakes_source="new")
    run = make_run(folder / long_name, [swd(90), fid(60), fid(41.05), fid(44)], final=final, dataset="x" * 300)
    for i in range(30):
        run.log(10 * i, "train", {f"{kind}/{name}": i / 7 for kind in ("loss", "logits") for name in ("g", "d_real")})
    run.log(2500, "change", {"changes": ["--total-kimg: 20.0 -> 40.0"]})
    for seen in (0, 2000, 4000):
        write_images(run, seen)
    image_files.save_png(run.grid_path(4000, "phases"), np.zeros((300, 80, 3), np.uint8))
    walk = np.random.default_rng(0).integers(0, 255, (120, 900, 3), np.uint8)
    path = tmp_path_factory.mktemp("alone") / "report.html"
    path.write_text(report_html(run, walk))
    return path


BROKEN_IMAGES = "[...document.images].filter(image => !image.complete || !image.naturalWidth).map(image => image.alt)"
TOO_WIDE = """[...document.querySelectorAll('main, section, .stat, svg, img, h1, p, td')].filter(element => {
    for (let above = element.parentElement; above; above = above.parentElement)
        if (getComputedStyle(above).overflowX == 'auto') return false;  // it scrolls
    return element.getBoundingClientRect().right > innerWidth + 1;
}).map(element => element.tagName + ' ' + element.textContent.slice(0, 40))"""
SMALLEST_TEXT = """Math.min(...[...document.querySelectorAll('p, td, th, h1, h2, h3, figcaption, summary, code')]
    .filter(element => element.textContent.trim() && element.getClientRects().length)
    .map(element => parseFloat(getComputedStyle(element).fontSize)))"""


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_report_opens_without_problems(browser, page_file, size, scheme):
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, offline=True)
    page, problems, requests = context.new_page(), [], []
    page.on("console", lambda message: problems.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: problems.append(f"error: {error}"))
    page.on("requestfailed", lambda request: problems.append(f"failed: {request.url[:100]}"))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(page_file.as_uri(), wait_until="load")
    for summary in page.query_selector_all("details:not([open]) > summary"):
        summary.click()
    assert page.evaluate("document.images.length") >= 1 + 1 + 3 + 1 + 1
    assert page.evaluate(BROKEN_IMAGES) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    assert page.evaluate(TOO_WIDE) == []
    assert page.evaluate(SMALLEST_TEXT) >= 12
    assert page.evaluate("document.querySelectorAll('details[open]').length") >= 4
    assert problems == [] and {url for url in requests if not url.startswith("data:")} == {page_file.as_uri()}
    context.close()
