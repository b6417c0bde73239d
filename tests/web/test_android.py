"""The files of an Android package in Chromium, at the address and with the MIME types that the activity gives them."""

import re
import zipfile

import pytest

from gan_tf.export import android
from tests.export.apk import SOURCES, java_types, required_tools
from tests.web.app import assert_equal_images, python_images

URL = "https://appassets.androidplatform.net/"
JAVA = (SOURCES / "java" / "gan_tf" / "web" / "MainActivity.java").read_text(encoding="utf-8")
PHONE = {"width": 390, "height": 844}
BRIDGE = "window.Android = { save: () => {} };"  # the activity adds it to the page

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def app(fastgan_site, new_app, tmp_path_factory):
    """The app of a package, opened at its address; checks for problems afterwards."""
    tools, out = required_tools(), tmp_path_factory.mktemp("package") / "app.apk"
    android.build_apk(fastgan_site[0], out, "com.example.cats", android.debug_key(tools), tools)
    types = java_types()
    with zipfile.ZipFile(out) as apk:
        files = {f"{URL}{name.removeprefix('assets/')}": apk.read(name) for name in apk.namelist() if "assets/" in name}

    def answer(route):
        url = route.request.url
        url += "index.html" if url.endswith("/") else ""
        suffix = url.rpartition("/")[2].partition(".")[2]
        if url in files:
            route.fulfill(body=files[url], content_type=types.get(suffix, "application/octet-stream"))
        else:
            route.fulfill(status=404 if url.startswith(URL) else 403)

    app = new_app(URL, viewport=PHONE)
    app.page.context.route("**/*", answer)
    app.page.add_init_script(BRIDGE)
    app.open()
    yield app
    assert app.problems == []


def test_images_of_seeds_are_those_of_python(app, fastgan_site):
    app.set_seed(7)
    assert_equal_images(app.image(), python_images(fastgan_site[1], [7])[0])


def test_back_closes_a_dialog_and_then_leaves(app):
    """CLOSE_DIALOG, which the activity evaluates when the user goes back: it leaves the app if the result is false."""
    parts = re.search(r"CLOSE_DIALOG =\s+(.*?);\n", JAVA, re.DOTALL)[1]
    script = "".join(re.findall('"(.*)"', parts))
    app.tab("mix")
    app.page.locator("#panel-mix .slot").first.click()
    app.page.wait_for_selector("dialog[open]")
    assert app.page.evaluate(script) is True and app.page.locator("dialog[open]").count() == 0
    assert app.page.evaluate(script) is False
    app.tab("images")
