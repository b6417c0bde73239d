"""The web app with a model of each family: images, sizes, mixing; accessibility, installation and layout."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from gan_tf.cli.main import main
from gan_tf.export import web
from gan_tf.sampling.generate import images_of_latents, mixed_images
from tests.web.app import WEB, assert_equal_images, python_images, served, skip_or_fail

pytestmark = pytest.mark.slow
FAMILIES = ["stylegan2", "pggan", "fastgan"]
VIEWS = ["images", "mix", "path", "plane", "gallery"]
PHONE, SMALL, DESKTOP = (390, 844), (320, 568), (1280, 900)
TOO_WIDE = """[...document.querySelectorAll('main *, header *, footer *, dialog[open] *')].filter((element) => {
    const box = element.getBoundingClientRect();
    return box.width && (box.right > innerWidth + 1 || box.left < -1) && !element.closest('.unseen');
}).map((element) => element.outerHTML.slice(0, 80))"""
SMALL_TARGETS = """[...document.querySelectorAll('button, select, input:not([type=radio], [type=file]), summary')]
    .filter((element) => element.getClientRects().length)
    .filter((element) => Math.min(element.offsetWidth, element.offsetHeight) < (element.type === 'checkbox' ? 20 : 24))
    .map((element) => element.outerHTML.slice(0, 80))"""


@pytest.fixture(scope="module")
def three(write_site, tmp_path_factory):
    """(site folder, {family: TrainedGenerator})."""
    folder = tmp_path_factory.mktemp("web")
    return folder / "site", write_site(folder, FAMILIES)


@pytest.fixture(scope="module")
def url(three):
    with served(three[0]) as url:
        yield url


@pytest.fixture(scope="module")
def shared(new_app, url):
    app = new_app(url)
    app.open()
    return app


@pytest.fixture
def app(shared):
    shared.page.click("#tab-images")
    shared.page.check("input[name=count][value='1']", force=True)
    yield shared
    assert shared.problems == []


def select(app, family):
    app.page.click("#tab-images")
    app.page.select_option("#model", family)
    app.until("!document.querySelector('#tabs button:disabled')")
    app.wait()


@pytest.mark.parametrize("family", FAMILIES)
def test_images_of_seeds_are_those_of_python(app, three, family):
    trained = three[1][family]
    select(app, family)
    seeds = [3, 4, 2**63 - 1]
    for seed, image in zip(seeds, python_images(trained, seeds), strict=True):
        app.set_seed(seed)
        assert_equal_images(app.image(), image)
    assert app.page.locator("#truncation").is_visible() == (family != "pggan")
    assert app.page.locator("#tab-mix").is_visible() == (family != "pggan")


def test_truncation_and_mixing_of_stylegan2(app, three):
    trained, g = three[1]["stylegan2"], three[1]["stylegan2"].folded()
    select(app, "stylegan2")
    app.set_seed(5)
    app.set_slider("#truncation", 0.6)
    assert_equal_images(app.image(), python_images(trained, [5], 0.6)[0])
    app.choose("mix", 0, 11)
    app.choose("mix", 1, 12)
    both = [trained.classes.of_seeds([seed]) for seed in (11, 12)]
    [expected] = next(mixed_images(g, [11], [12], 1, 0.6, both))
    assert_equal_images(app.image("#mix-image"), expected)
    for box in app.page.locator("#layers input").all():
        box.set_checked(box.get_attribute("value") in ("0", "4"))
    app.wait()
    [expected] = next(mixed_images(g, [11], [12], 1, 0.6, both, layers={0, 4}))
    assert_equal_images(app.image("#mix-image"), expected)


def test_sizes_of_pggan_are_outputs_of_the_network(app, three):
    select(app, "pggan")
    sizes = app.page.locator("#size option").all_text_contents()
    assert sizes == ["16 × 16", "8 × 8", "4 × 4"]
    app.set_seed(6)
    large = app.image()
    app.page.select_option("#size", "8")
    app.wait()
    assert app.image().shape == (8, 8, 3)
    mean = large.reshape(8, 2, 8, 2, 3).mean(axis=(1, 3))
    assert np.abs(app.image() - mean).max() > 1  # not the mean over squares


def test_size_is_used_in_all_views(app):
    select(app, "pggan")
    app.page.select_option("#size", "8")
    app.tab("path")
    assert app.image("#path-image").shape == (8, 8, 3)
    app.tab("plane")
    assert app.image("#plane-image").shape == (8, 8, 3)


def test_latent_file_selects_its_model(app, three, tmp_path):
    select(app, "stylegan2")
    app.choose("mix", 0, 21)
    app.choose("mix", 1, 22)
    shown = app.image("#mix-image")
    path = app.downloaded("#mix-actions [data-action=latent]", tmp_path)
    select(app, "pggan")
    app.page.set_input_files("#open-file", path)
    app.until_text("#caption", "seed 21, ")
    app.wait()
    assert app.page.input_value("#model") == "stylegan2" and "mixed" in app.page.text_content("#caption")
    np.testing.assert_array_equal(app.image(), shown)


@pytest.mark.parametrize("family", ["stylegan2", "fastgan"])
def test_gan_tf_generate_makes_the_same_image_of_a_latent_file(app, three, tmp_path, family):
    """A mixed image with truncation, interpolated with another one."""
    select(app, family)
    app.set_slider("#truncation", 0.8)
    app.choose("mix", 0, 41)
    app.choose("mix", 1, 42)
    app.page.click("#mix-actions [data-action=keep]")
    app.until("document.querySelectorAll('#note p').length")
    app.choose("path", 1, 43)
    app.page.click("#path-slots [data-slot='0']")
    app.page.click("#picker-list button:has-text('mixed') >> nth=0")
    app.until("document.querySelector(`#path-slots [data-slot='0'] small`).textContent.includes('mixed')")
    app.set_slider("#share-of-b", 0.4)
    path = app.downloaded("#path-actions [data-action=latent]", tmp_path)
    images, precision = tmp_path / "images", ("--precision", "float32")
    assert (
        main(["generate", str(three[0].parent / family), "--latents", str(path), "--out", str(images), *precision]) == 0
    )
    [file] = images.glob("*.png")
    with Image.open(file) as image:
        assert_equal_images(app.image("#path-image"), np.asarray(image.convert("RGB")))


def test_latent_file_of_other_weights_and_of_another_family(app, three, tmp_path):
    select(app, "fastgan")
    app.set_seed(31)
    file = json.loads(app.downloaded("#images-actions [data-action=latent]", tmp_path).read_text())
    path = tmp_path / "changed.json"
    file["model"]["weights"] = "0" * 64
    file["images"] *= 20
    path.write_text(json.dumps(file))
    app.page.set_input_files("#open-file", path)
    app.page.wait_for_selector("#note p")
    note = app.page.text_content("#note p")
    assert "other weights" in note and "first 16 of 20 images" in note
    app.wait()
    assert len(app.images()) == 16
    file["model"]["family"] = "other"
    path.write_text(json.dumps(file))
    app.page.set_input_files("#open-file", path)
    assert "of another model" in app.alert()
    app.page.click("#alert button")


def test_recipe_of_the_explorer_gives_the_same_image_in_python(app, three, tmp_path):
    trained = three[1]["fastgan"]
    select(app, "fastgan")
    app.tab("plane")
    app.page.focus("#pad")
    app.page.keyboard.press("Home")
    app.wait()
    [recipe] = json.loads(app.downloaded("#plane-actions [data-action=latent]", tmp_path).read_text())["images"]
    labels = np.int32([trained.classes.names.index(recipe["class"])])
    noise_seeds = [int(recipe["noise_seed"])]
    [image] = next(images_of_latents(trained.folded(), np.float32([recipe["latent"]]), noise_seeds, 1, labels=labels))
    assert_equal_images(app.image("#plane-image"), image)


def test_keyboard_alone(app):
    select(app, "fastgan")
    app.page.focus("#tab-images")
    for key, view in (("ArrowRight", "mix"), ("End", "gallery"), ("ArrowRight", "images"), ("ArrowLeft", "gallery")):
        app.page.keyboard.press(key)
        assert app.page.evaluate("document.activeElement.id") == f"tab-{view}"
        assert app.page.locator(f"#panel-{view}").is_visible()
    app.page.keyboard.press("Home")
    app.wait()
    app.page.keyboard.press("Tab")  # tabs are one stop; the next one is the first button below the image
    assert app.page.evaluate("document.activeElement.dataset.action") == "keep"
    app.page.keyboard.press("Enter")
    app.page.wait_for_selector("#note p")
    app.page.focus("#new-image")
    before = app.page.input_value("#seed")
    app.page.keyboard.press("Space")
    app.wait()
    assert app.page.input_value("#seed") != before


COVERED = """() => {
    const [focus, tabs] = [document.activeElement, document.getElementById("tabs")];
    return !tabs.contains(focus) && focus.getBoundingClientRect().bottom > tabs.getBoundingClientRect().top;
}"""


@pytest.mark.parametrize("height", [560, 700, 900])
def test_focus_is_not_below_the_tabs_of_a_phone(new_app, url, height):
    app = new_app(url, viewport={"width": PHONE[0], "height": height})
    app.open()
    for view in ("images", "plane"):
        app.tab(view)
        for _ in range(9):
            app.page.keyboard.press("Tab")
            app.page.wait_for_timeout(50)  # it is scrolled in the next frame
            assert not app.page.evaluate(COVERED), app.page.evaluate("document.activeElement.outerHTML")


@pytest.fixture(scope="module")
def axe():
    path = WEB / "node_modules/axe-core/axe.min.js"
    skip_or_fail(not path.exists(), "web/node_modules is missing: make web-lint")
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [SMALL, PHONE, DESKTOP], ids=["small", "phone", "desktop"])
def test_views_are_accessible_and_fit(new_app, url, axe, size, scheme):
    app = new_app(url, viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
    app.open()
    app.page.click("#images-actions [data-action=keep]")
    app.page.wait_for_selector("#note p")
    app.page.evaluate(axe)

    def check(view):
        found = app.page.evaluate("axe.run().then((result) => result.violations)")
        serious = [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")]
        assert serious == [], view
        assert app.page.evaluate("document.documentElement.scrollWidth") <= size[0], view
        assert app.page.evaluate(TOO_WIDE) == [], view
        assert app.page.evaluate(SMALL_TARGETS) == [], view

    app.page.click("footer summary")
    app.page.check("input[name=count][value='4']", force=True)
    for view in VIEWS:
        app.tab(view)
        check(view)
    app.page.click("#gallery button")
    check("dialog of an image")
    app.page.keyboard.press("Escape")
    app.tab("path")
    app.page.click("#path-slots [data-slot='0']")
    check("dialog of the slots")
    assert app.problems == []


def test_installable(new_app, url, three):
    app = new_app(url)
    app.open()
    app.until_text("#offline", "Works without")
    session = app.page.context.new_cdp_session(app.page)
    manifest = session.send("Page.getAppManifest")
    assert manifest["errors"] == [] and json.loads(manifest["data"])["name"] == "Small networks"
    errors = [error["errorId"] for error in session.send("Page.getInstallabilityErrors")["installabilityErrors"]]
    assert set(errors) <= {"in-incognito"}  # as contexts of Playwright are
    stored = app.page.evaluate(
        """async () => {
            const [name] = await caches.keys();
            const requests = await (await caches.open(name)).keys();
            return requests.map(({ url }) => decodeURI(url.replace(location.href, '')));
        }"""
    )
    files = {str(path.relative_to(three[0])) for path in three[0].rglob("*") if path.is_file()}
    other = {"litert/litert_wasm_compat_internal.js", "litert/litert_wasm_compat_internal.wasm", "service-worker.js"}
    assert set(stored) == files - other


PUT = """async ([file, content]) => {
    const [name] = await caches.keys();
    await (await caches.open(name)).put(file, new Response(content));
}"""


def model_file(site):
    """Name of a file of the site's first model."""
    return json.loads((site / "site.json").read_text())["models"][0]["parts"]["images"]["file"]


@pytest.mark.parametrize("is_damaged", [False, True])
def test_new_version_is_used_after_the_button(three, new_app, tmp_path, is_damaged):
    site = tmp_path / "site"
    shutil.copytree(three[0], site)
    with served(site) as url:
        app = new_app(url)
        app.open()
        app.until_text("#offline", "Works without")
        text = (site / "site.json").read_text()
        (site / "site.json").write_text(text.replace("Small networks", "Newer networks"))
        worker = web.page_folder() / "service-worker.js"
        shutil.copy(worker, site)
        web.write_service_worker(site)
        if is_damaged:
            app.page.evaluate(PUT, [model_file(site), "damaged"])
        app.page.reload()
        app.page.wait_for_selector("#note button:has-text('Reload')")
        assert app.page.title() == "Small networks"
        with app.page.expect_navigation():
            app.page.click("#note button:has-text('Reload')")
        app.page.wait_for_selector(".tile")
        assert app.page.title() == "Newer networks"
        assert app.page.evaluate("caches.keys().then((names) => names.length)") == 1
        assert app.problems == []


@pytest.mark.parametrize("changed", ["model", "site.json"])
def test_file_that_is_damaged_on_the_device_is_downloaded_again(three, new_app, changed):
    file = model_file(three[0])
    with served(three[0]) as url:
        app = new_app(url)
        app.open()
        app.until_text("#offline", "Works without")
        if changed == "model":
            app.page.evaluate(PUT, [file, "damaged"])
        else:  # of another version, and stored while this one was being published
            description = json.loads((three[0] / "site.json").read_text())
            description["models"][0]["parts"]["images"]["sha256"] = "0" * 64
            app.page.evaluate(PUT, ["site.json", json.dumps(description)])
        app.page.reload()
        assert file in app.alert() and "damaged" in app.alert()
        app.page.reload()
        app.page.wait_for_selector(".tile")
        app.wait()
    app.page.reload()  # without the server
    app.page.wait_for_selector(".tile")
    app.set_seed(3)


def test_other_pages_of_the_host_stay_reachable(three, new_app, tmp_path):
    site = tmp_path / "site"
    shutil.copytree(three[0], site)
    (site / "blog").mkdir()
    (site / "blog" / "index.html").write_text("<title>Blog</title>")
    with served(site) as url:
        app = new_app(url)
        app.open()
        app.until_text("#offline", "Works without")
        for address, title in (
            ("blog/", "Blog"),
            ("?from=blog", "Small networks"),
            ("index.html#top", "Small networks"),
        ):
            app.page.goto(f"{url}{address}")
            app.until(f"document.title === '{title}'")
