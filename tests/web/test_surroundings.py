"""The web app in other surroundings: on WebGPU (without a graphics card), and from a host without HTTPS."""

import pytest

from tests.web.app import App, assert_equal_images, chromium, python_images, served

pytestmark = pytest.mark.slow
SOFTWARE = ("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan,WebGPU")
NAMED = "--host-resolver-rules=MAP app.test 127.0.0.1"


@pytest.mark.parametrize("family", ["fastgan", "stylegan2"])
def test_image_on_webgpu_is_that_of_python(write_site, tmp_path, family):
    trained = write_site(tmp_path, [family])[family]
    with chromium(*SOFTWARE) as browser, served(tmp_path / "site") as url:
        app = App(browser.new_context(), url)
        app.open()
        if not app.page.evaluate("navigator.gpu?.requestAdapter().then(Boolean)"):
            pytest.skip("this Chromium has no software adapter for WebGPU")
        assert app.page.text_content("#runs") == "Runs on this device with WebGPU."
        app.set_seed(5)
        assert_equal_images(app.image(), python_images(trained, [5])[0])
        assert app.problems == []


def test_without_https_images_are_generated_and_kept(fastgan_site):
    folder, _ = fastgan_site
    with chromium(NAMED) as browser, served(folder) as url:
        app = App(browser.new_context(), url.replace("127.0.0.1", "app.test"))
        app.open()
        assert app.page.evaluate("isSecureContext") is False
        app.page.click("#images-actions [data-action=keep]")
        app.page.wait_for_selector("#note p")
        app.page.click("#tab-gallery")
        app.page.wait_for_selector("#gallery img")
        assert app.page.text_content("#offline") == ""  # no service worker
        assert app.problems == []
