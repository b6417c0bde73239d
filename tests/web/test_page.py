"""The web app in Chromium with a small conditional FastGAN: images equal those of Python, and all views work."""

import base64
import io
import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from gan_tf.sampling.generate import images_of_latents, mixed_images
from gan_tf.sampling.interpolate import interpolated_images, sphere_path
from tests.conditional import NAMES
from tests.web.app import LARGEST, assert_equal_images, python_images, served

BIG = 2**63 - 1


@pytest.fixture(scope="module")
def g(fastgan_site):
    return fastgan_site[1].folded()


@pytest.fixture(scope="module")
def url(fastgan_site):
    with served(fastgan_site[0]) as url:
        yield url


@pytest.fixture(scope="module")
def shared(url, new_app):
    """The opened app that most tests use."""
    app = new_app(url)
    app.open()
    return app


@pytest.fixture
def app(shared):
    """The app with the view Images, one image and the settings that it starts with; checks for problems afterwards."""
    shared.page.click("#tab-images")
    shared.page.check("input[name=count][value='1']", force=True)
    shared.page.select_option("#class", "")
    shared.page.select_option("#size", "64")
    shared.set_slider("#truncation", 1)
    yield shared
    assert shared.problems == []


def test_images_of_seeds_are_those_of_python(app, fastgan_site, g):
    seeds = [0, 5, 2**32 + 1, BIG]
    for seed, expected in zip(seeds, python_images(fastgan_site[1], seeds), strict=True):
        app.set_seed(seed)
        assert_equal_images(app.image(), expected)
        [label] = fastgan_site[1].classes.of_seeds([seed])
        assert app.page.text_content("#caption").startswith(f"seed {seed}, ")
        assert NAMES[label] in app.page.text_content("#caption")
    assert app.page.text_content("#runs") == "Runs on this device with WebAssembly."
    assert app.page.title() == "Small networks"


def test_new_image_has_a_new_seed(app):
    app.set_seed(1)
    before = app.image()
    app.page.click("#new-image")
    app.wait()
    assert 0 <= int(app.page.input_value("#seed")) < 1_000_000 and app.page.input_value("#seed") != "1"
    assert (app.image() != before).any()


@pytest.mark.parametrize("text", ["-1", "x", str(BIG + 1)])
def test_invalid_seed_is_refused_next_to_the_field(app, text):
    app.set_seed(3)
    before = app.image()
    app.page.fill("#seed", text)
    app.page.press("#seed", "Enter")
    assert str(BIG) in app.page.text_content("#seed-error")
    assert app.page.get_attribute("#seed", "aria-invalid") == "true"
    np.testing.assert_array_equal(app.image(), before)
    app.set_seed(3)
    assert app.page.text_content("#seed-error") == ""


def test_scaled_size_is_the_mean_over_squares(app, fastgan_site, g):
    app.set_seed(5)
    app.page.select_option("#size", "32")
    app.wait()
    [expected] = python_images(fastgan_site[1], [5]).reshape(1, 32, 2, 32, 2, 3).mean(axis=(2, 4))
    assert app.image().shape == (32, 32, 3) and np.abs(app.image() - expected).max() <= LARGEST
    labels = app.page.locator("#size option").all_text_contents()
    assert labels == ["64 × 64", "32 × 32, scaled"]


def test_classes_and_truncation(app, fastgan_site, g):
    app.set_seed(5)
    for label, name in enumerate(NAMES):
        app.page.select_option("#class", name)
        app.wait()
        assert_equal_images(app.image(), python_images(fastgan_site[1], [5], label=label)[0])
    app.set_slider("#truncation", 0.5)
    assert_equal_images(app.image(), python_images(fastgan_site[1], [5], truncation=0.5, label=label)[0])


def test_grid_shows_consecutive_seeds(app, fastgan_site, g):
    app.set_seed(BIG - 1)
    app.page.check("input[name=count][value='4']", force=True)
    app.wait()
    seeds = [BIG - 1, BIG, 0, 1]  # the one after the largest is 0
    expected = python_images(fastgan_site[1], seeds)
    assert_equal_images(app.images(), expected)
    app.page.click(".tile >> nth=3")
    assert app.page.locator(".tile[aria-pressed=true]").count() == 1
    app.page.click("#larger")
    app.wait()
    assert app.page.input_value("#seed") == "1" and app.images().shape[0] == 1
    assert_equal_images(app.image(), expected[3])


def test_style_mixing_is_that_of_python(app, fastgan_site, g):
    app.choose("mix", 0, 11)
    app.choose("mix", 1, 12)
    labels = [fastgan_site[1].classes.of_seeds([seed]) for seed in (11, 12)]
    [expected] = next(mixed_images(g, [11], [12], 1, labels=labels))
    assert_equal_images(app.image("#mix-image"), expected)
    assert (expected != python_images(fastgan_site[1], [11])[0]).any()
    app.page.uncheck("#layers input")
    app.wait()
    assert_equal_images(app.image("#mix-image"), python_images(fastgan_site[1], [11])[0])


def test_interpolation_is_that_of_python(app, fastgan_site, g):
    app.choose("path", 0, 21)
    app.choose("path", 1, 22)
    labels = fastgan_site[1].classes.of_seeds([21])
    frames = np.concatenate(list(interpolated_images(g, [[21, 22]], 4, False, 1, labels=labels)))
    for i, expected in enumerate(frames):
        app.set_slider("#share-of-b", i / 4)
        assert_equal_images(app.image("#path-image"), expected)
    app.page.click("#path-slots [aria-label='Exchange A and B']")
    app.wait()
    # The first image is now that of seed 22, and the noise and the class are its own.
    labels = fastgan_site[1].classes.of_seeds([22])
    *_, [expected] = interpolated_images(g, [[22, 21]], 4, False, 1, labels=labels)
    assert_equal_images(app.image("#path-image"), expected)


def test_play_moves_the_slider_until_it_is_paused(app):
    app.tab("path")
    app.page.click("#play")
    first = app.page.input_value("#share-of-b")
    app.until(f"document.getElementById('share-of-b').value !== '{first}'")
    assert app.page.get_attribute("#play", "aria-label") == "Pause"
    app.tab("images")
    assert app.page.get_attribute("#play", "aria-label") == "Play"


def set_corners(app, seeds):
    for i, seed in enumerate(seeds):
        app.page.fill(f"#corner-{i}", str(seed))
        app.page.press(f"#corner-{i}", "Enter")
    app.wait()


def test_explorer_follows_pointer_and_keys(app, fastgan_site, g):
    app.tab("plane")
    set_corners(app, [31, 32, 33])
    box = app.page.locator("#pad").bounding_box()
    at = [box["x"] + 0.16 * box["width"], box["y"] + 0.84 * box["height"]]
    app.page.mouse.move(box["x"] + 9, box["y"] + 9)
    app.page.mouse.down()
    app.page.mouse.move(*at, steps=5)
    app.page.mouse.up()
    app.wait()
    error = app.image("#plane-image").astype(int) - python_images(fastgan_site[1], [31])[0]
    assert np.abs(error).mean() < 1  # at corner A, up to a pixel of the pad
    before = app.image("#plane-image")
    app.page.focus("#pad")
    for key in ("ArrowRight", "Shift+ArrowUp", "ArrowDown", "ArrowLeft"):
        app.page.keyboard.press(key)
    app.wait()
    assert (app.image("#plane-image") != before).any()
    app.page.keyboard.press("Home")
    app.wait()
    assert app.page.text_content("#pad-position") == "A 33%, B 33%, C 34%"
    app.page.fill("#corner-1", "-3")
    app.page.press("#corner-1", "Enter")
    assert str(BIG) in app.page.text_content("#corner-error")
    set_corners(app, [34])  # the other one is still invalid, and the last valid plane is shown
    assert str(BIG) in app.page.text_content("#corner-error")
    set_corners(app, [34, 32])
    assert app.page.text_content("#corner-error") == ""


def test_saved_image_is_the_one_shown(app, tmp_path):
    app.set_seed(41)
    path = app.downloaded("#images-actions [data-action=save]", tmp_path)
    assert path.name == "fastgan-seed-41.png"
    with Image.open(path) as image:
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), app.image())


def opened_with(new_app, url, script):
    """An opened App whose window is prepared by a script."""
    app = new_app(url)
    app.page.add_init_script(script)
    app.open()
    app.set_seed(41)
    return app


def test_shared_file_is_the_image(new_app, url):
    app = opened_with(
        new_app,
        url,
        """navigator.canShare = ({ files }) => files[0].type === "image/png";
        navigator.share = async ({ files: [file] }) => {
            window.shared = [file.name, file.type, ...new Uint8Array(await file.arrayBuffer())];
        };""",
    )
    app.page.click("#images-actions [data-action=share]")
    app.until("window.shared")
    name, kind, *content = app.page.evaluate("window.shared")
    assert (name, kind) == ("fastgan-seed-41.png", "image/png")
    with Image.open(io.BytesIO(bytes(content))) as image:
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), app.image())


def test_without_sharing_there_is_no_button(app):
    assert app.page.evaluate("!navigator.canShare") == (app.page.locator("[data-action=share]").count() == 0)


def test_app_for_android_saves_files_itself(new_app, url):
    app = opened_with(new_app, url, "window.Android = { save: (...saved) => (window.saved = saved) };")
    for action, name, kind in (("save", "fastgan-seed-41.png", "image/png"), ("latent", ".json", "application/json")):
        app.page.evaluate("window.saved = null")
        app.page.click(f"#images-actions [data-action={action}]")
        app.until("window.saved")
        saved = app.page.evaluate("window.saved")
        assert saved[0].endswith(name) and saved[1] == kind
        content = base64.b64decode(saved[2], validate=True)
        if kind == "image/png":
            with Image.open(io.BytesIO(content)) as image:
                np.testing.assert_array_equal(np.asarray(image.convert("RGB")), app.image())
        else:
            assert json.loads(content)["images"][0]["seed"] == "41"
    # Its files are in the package: nothing is stored.
    assert app.page.evaluate("navigator.serviceWorker.getRegistrations().then((all) => all.length)") == 0
    assert app.page.text_content("#offline") == ""


def test_latent_file_gives_the_same_image_in_python_and_in_the_app(app, fastgan_site, g, tmp_path):
    app.choose("path", 0, 51)
    app.choose("path", 1, 52)
    app.set_slider("#share-of-b", 0.5)
    shown = app.image("#path-image")
    path = app.downloaded("#path-actions [data-action=latent]", tmp_path)
    file = json.loads(path.read_text())
    [recipe] = file["images"]
    assert recipe["seed"] is None and recipe["noise_seed"] == "51"
    assert file["model"]["family"] == "fastgan" and len(file["model"]["weights"]) == 64
    keys = np.array(sphere_path(np.concatenate(list(map(latent_of, (51, 52)))), 2))
    np.testing.assert_allclose(recipe["latent"], keys[1], atol=1e-4)
    labels = np.array([NAMES.index(recipe["class"])], np.int32)
    [image] = next(images_of_latents(g, np.float32([recipe["latent"]]), [51], 1, labels=labels))
    assert_equal_images(shown, image)
    app.tab("images")
    app.page.set_input_files("#open-file", path)
    app.until_text("#caption", "between seeds")
    app.wait()
    np.testing.assert_array_equal(app.image(), shown)
    assert app.page.input_value("#seed") == ""
    app.page.select_option("#class", NAMES[0])
    app.wait()
    [image] = next(images_of_latents(g, np.float32([recipe["latent"]]), [51], 1, labels=np.int32([0])))
    assert_equal_images(app.image(), image)


def latent_of(seed):
    from gan_tf import rng

    return rng.latents_of_seeds(tf.constant([seed], tf.int64), 16).numpy()


def test_unreadable_latent_file_is_one_sentence(app, tmp_path):
    path = tmp_path / "file.json"
    path.write_text("{}")
    app.page.set_input_files("#open-file", path)
    assert "not a latent file" in app.alert()
    app.page.click("#alert button")
    assert app.page.locator("#alert p").count() == 0


def test_gallery_after_reload(url, new_app):
    app = new_app(url)
    app.open()
    app.set_seed(61)
    app.page.click("#images-actions [data-action=keep]")
    app.page.wait_for_selector("#note p")
    shown = app.image()
    app.page.reload()
    app.page.wait_for_selector(".tile")
    app.page.click("#tab-gallery")
    app.page.click("#gallery button")
    assert app.page.text_content("#entry-title").startswith("seed 61, ")
    app.page.click("#entry-open")
    app.until_text("#caption", "seed 61, ")
    app.wait()
    np.testing.assert_array_equal(app.image(), shown)
    app.page.click("#tab-gallery")
    app.page.click("#gallery button")
    app.page.click("#entry-delete")
    app.until("!document.querySelector('#gallery li')")
    app.page.click("#note button:has-text('Undo')")
    app.page.wait_for_selector("#gallery li")
    assert app.problems == []


def test_works_without_the_server(fastgan_site, new_app):
    with served(fastgan_site[0]) as url:
        app = new_app(url)
        app.open()
        app.set_seed(71)
        shown = app.image()
        app.until_text("#offline", "Works without")
    app.page.reload()
    app.page.wait_for_selector(".tile")
    app.set_seed(71)
    np.testing.assert_array_equal(app.image(), shown)
    assert [problem for problem in app.problems if "service-worker.js" not in problem] == []
