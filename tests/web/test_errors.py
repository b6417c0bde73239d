"""What can go wrong in the web app is one sentence in the page."""

import json
import re
import shutil

import pytest

from tests.web.app import served

SENTENCE = re.compile(r"[A-Z][^\n]{20,240}\.")


@pytest.fixture(scope="module")
def url(fastgan_site):
    with served(fastgan_site[0]) as url:
        yield url


@pytest.fixture
def app(new_app, url):
    """The app, not opened, in a context without service workers, so that requests can be changed."""
    return new_app(url, service_workers="block")


def start(app):
    """Opens the page and returns the sentence that it shows instead of an image."""
    app.page.goto(app.url)
    text = app.alert()
    assert SENTENCE.fullmatch(text), text
    assert app.page.get_attribute("#alert", "role") == "alert"
    assert app.page.locator(".tile").count() == 0
    return text


def change(app, pattern, change):
    """Changes the content of files: bytes -> bytes."""

    def handle(route):
        response = route.fetch()
        route.fulfill(response=response, body=change(response.body()))

    app.page.route(pattern, handle)


def test_without_simd(app):
    change(app, "**/simd.js", lambda body: b"WebAssembly.validate = () => false;" + body)
    assert "WebAssembly SIMD" in start(app)


def test_without_relaxed_simd_the_other_build_runs(app):
    code = b"const all = WebAssembly.validate; let first = true;"
    code += b"WebAssembly.validate = (bytes) => (first ? (first = false) : all(bytes));"
    change(app, "**/simd.js", lambda body: code + body)
    # LiteRT.js tests the same feature by instantiating a small module.
    change(app, "**/litert/index.js", lambda body: body.replace(b"await WebAssembly.instantiate(wasm)", b"throw 0"))
    requested = []
    app.page.on("request", lambda request: requested.append(request.url))
    app.open()
    names = {name.split("/")[-1] for name in requested if "litert_wasm" in name}
    assert names == {"litert_wasm_compat_internal.js", "litert_wasm_compat_internal.wasm"}


@pytest.mark.parametrize("damage", [lambda body: body[:-9], lambda body: body[:-9] + bytes(9)], ids=["cut", "changed"])
def test_damaged_model(app, damage):
    change(app, "**/models/**", damage)
    text = start(app)
    assert "is damaged" in text and "reload" in text


def test_damaged_runtime(app):
    change(app, "**/*.wasm", lambda body: body[:5000])
    assert "is damaged" in start(app)


def test_missing_model(app):
    app.page.route("**/models/**", lambda route: route.fulfill(status=404))
    assert "is missing on the server (status 404)" in start(app)


@pytest.mark.parametrize("pattern", ["**/site.json", "**/models/**", "**/litert/*.wasm"])
def test_lost_connection_before_everything_is_stored(app, pattern):
    app.page.route(pattern, lambda route: route.abort())
    assert "connection was lost" in start(app)


@pytest.mark.parametrize("name", ["worker.js", "simd.js", "litert/index.js", "litert/litert_wasm_internal.js"])
def test_missing_program(app, name):
    app.page.route(f"**/{name}", lambda route: route.fulfill(status=404))
    assert "reload the page" in start(app)


def test_runtime_that_cannot_be_started(app):
    code = b"WebAssembly.instantiate = () => Promise.reject(new RangeError('out of memory'));"
    change(app, "**/litert/index.js", lambda body: code + body)
    assert "out of memory" in start(app)


def test_failure_while_generating(app):
    change(
        app, "**/render.js", lambda body: body.replace(b"export async function generate(", b"export async function no(")
    )
    app.page.goto(app.url)
    text = app.alert()
    assert SENTENCE.fullmatch(text) and text.startswith("The image could not be generated (")


def test_damaged_description(app):
    change(app, "**/site.json", lambda body: body[:-9])
    assert "site.json is damaged" in start(app)


def test_description_of_a_newer_version(app):
    change(app, "**/site.json", lambda body: json.dumps({**json.loads(body), "format": 2}).encode())
    assert "format 1" in start(app)


def test_storage_full(new_app, url):
    app = new_app(url)
    app.open()
    session = app.page.context.new_cdp_session(app.page)
    session.send("Storage.overrideQuotaForOrigin", {"origin": url.rstrip("/"), "quotaSize": 1})
    app.page.click("#images-actions [data-action=keep]")
    assert "storage of this browser is full" in app.alert()


def test_no_storage(new_app, url):
    app = new_app(url)
    app.page.add_init_script("indexedDB.open = () => { throw new DOMException('denied', 'SecurityError'); }")
    app.open()
    app.page.click("#images-actions [data-action=keep]")
    assert "does not store anything" in app.alert()
    app.page.click("#tab-gallery")
    app.until_text("#gallery-empty", "This browser does not store anything")


def test_opened_as_a_file(new_app, fastgan_site):
    app = new_app("file:///")
    app.page.goto((fastgan_site[0] / "index.html").as_uri())
    app.page.wait_for_selector("#start-note")
    assert "gan-tf serve" in app.page.text_content("#start-note")
    assert app.page.locator("#start-note").is_visible()


def test_failure_of_another_model_leaves_the_last(new_app, fastgan_site, tmp_path):
    site = tmp_path / "site"
    shutil.copytree(fastgan_site[0], site)
    description = json.loads((site / "site.json").read_text())
    [model] = description["models"]
    part = {**model["parts"]["images"], "file": "models/none.tflite"}
    broken = {**model, "id": "broken", "name": "broken", "parts": {**model["parts"], "images": part}}
    other = {**model, "id": "other", "name": "other"}
    (site / "site.json").write_text(json.dumps({**description, "models": [model, other, broken]}))
    with served(site) as url:
        app = new_app(url, service_workers="block")
        app.open()
        app.page.select_option("#model", "broken")
        assert "models/none.tflite is missing" in app.alert()
        assert app.page.input_value("#model") == model["id"]
        app.set_seed(7)
        assert app.page.text_content("#caption").startswith("seed 7, ")
        app.page.click("#alert button")
        app.page.locator("#model").evaluate(
            """async (select) => {
                for (const id of ["other", "broken"]) {
                    select.value = id;
                    select.dispatchEvent(new Event("change"));
                    await new Promise(requestAnimationFrame); // the second is chosen while the first is being loaded
                }
            }"""
        )
        assert "models/none.tflite is missing" in app.alert()
        assert app.page.input_value("#model") == "other"
        assert app.page.text_content("#about-text").startswith("Model other")
        app.set_seed(8)
