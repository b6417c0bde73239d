"""The web app with images that are not square: transparent ones of FastGAN and grey ones of Progressive GAN."""

import numpy as np
import pytest
from PIL import Image

from tests.web.app import LARGEST, assert_equal_images, python_images, served

pytestmark = pytest.mark.slow
CHANGES = {"fastgan": {"size": "96x64", "channels": "rgba"}, "pggan": {"size": "12x16", "channels": "grey"}}
VIEWS = {  # selectors of images
    "images": ".tile canvas",
    "mix": "#mix-image, .slot canvas",
    "path": "#path-image",
    "plane": "#plane-image, #pad",
}
SHAPES = """(elements) => elements.filter((element) => element.getClientRects().length).map((element) => {
    const { width, height } = element.getBoundingClientRect();
    return width / height;
})"""


@pytest.fixture(scope="module")
def site(write_site, tmp_path_factory):
    """(folder of the site, {family: TrainedGenerator})."""
    folder = tmp_path_factory.mktemp("web")
    return folder / "site", write_site(folder, CHANGES, CHANGES)


@pytest.fixture(params=[(390, 844), (1280, 900)], ids=["phone", "desktop"])
def app(request, site, new_app):
    with served(site[0]) as url:
        app = new_app(url, viewport=dict(zip(("width", "height"), request.param, strict=True)))
        app.open()
        yield app
        assert app.problems == []


def multiplied(images):
    """Colours times alpha, and alpha: what a canvas stores."""
    return np.concatenate([images[..., :3] * (images[..., 3:] / 255), images[..., 3:]], axis=-1)


def assert_shapes(app, selector, aspect):
    found = app.page.locator(selector).evaluate_all(SHAPES)
    assert found and found == pytest.approx([aspect] * len(found), rel=0.02)


def test_transparent_images(app, site, tmp_path):
    [image] = python_images(site[1]["fastgan"], [5])
    assert image.shape == (64, 96, 4) and len(set(image[..., 3].ravel())) > 20
    app.set_seed(5)
    error = np.abs(multiplied(app.image(channels=4)) - multiplied(image))
    assert error.max() <= LARGEST and error.mean() < 0.3  # the canvas rounds, too
    with Image.open(app.downloaded("#images-actions [data-action=save]", tmp_path)) as saved:
        assert saved.mode == "RGBA"
        np.testing.assert_array_equal(np.asarray(saved), app.image(channels=4))
    labels = app.page.locator("#size option").all_text_contents()
    assert labels == ["96 × 64", "48 × 32, scaled"]
    app.page.select_option("#size", "32")
    app.wait()
    assert app.image(channels=4).shape == (32, 48, 4)
    app.page.check("input[name=count][value='16']", force=True)
    app.wait()
    assert "gradient" in app.page.evaluate("getComputedStyle(document.querySelector('.tile canvas')).backgroundImage")
    for view, selector in VIEWS.items():
        app.tab(view)
        assert_shapes(app, selector, 1.5)


def test_grey_images_after_transparent_ones(app, site):
    app.page.click("#images-actions [data-action=keep]")
    app.page.wait_for_selector("#note p")
    app.page.select_option("#model", "pggan")
    app.until("!document.querySelector('#tabs button:disabled')")
    app.wait()
    [image] = python_images(site[1]["pggan"], [5])
    app.set_seed(5)
    assert_equal_images(app.image(), np.repeat(image, 3, axis=-1))
    assert app.page.locator("#size option").all_text_contents() == ["12 × 16", "6 × 8", "3 × 4"]
    assert app.page.evaluate("getComputedStyle(document.querySelector('.tile canvas')).backgroundImage") == "none"
    for view in ("images", "path", "plane"):
        app.tab(view)
        assert_shapes(app, VIEWS[view], 0.75)
    app.tab("gallery")
    app.until("document.querySelector('#gallery img')?.complete")
    assert_shapes(app, "#gallery img", 1.5)
    app.page.click("#gallery button")
    assert_shapes(app, "#entry-image", 1.5)
