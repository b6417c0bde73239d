"""Fixtures of the tests of the web app: Chromium, and a site of small untrained networks."""

import pytest

from tests.web.app import WEB, App, chromium, served, skip_or_fail


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
    """A function (folder, families) -> {family: TrainedGenerator}: writes a site of small conditional networks.

    changes: {family: {setting: value}} of other settings.
    """
    skip_or_fail(not (WEB / "node_modules/@litertjs").exists(), "web/node_modules is missing: make web-lint")
    # They start TensorFlow, which would be too early while tests are collected.
    from gan_tf.export import web
    from gan_tf.export.runtime import obtain_runtime
    from gan_tf.runs.weights import load_generator
    from tests import conditional

    def write(folder, families, changes=None):
        site, entries, trained = folder / "site", [], {}
        for family in families:
            run = conditional.make_run(folder / family, family, **(changes or {}).get(family, {}))
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
