"""What the tests of the fault matrix share."""

import contextlib

import pytest

from gan_tf.runs.folder import Run
from tests.faults.scene import FLAGS, TRAINED, Scene
from tests.training import tiny
from tests.training.workers import Group


@pytest.fixture(scope="session")
def dataset(tmp_path_factory):
    """A data set that anybody may read."""
    return tiny.images_file(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def undisturbed(dataset, tmp_path_factory):
    """The run of two workers without a fault."""
    folder = tmp_path_factory.mktemp("undisturbed")
    workers = Group(folder, tiny.arguments(dataset, folder, **FLAGS)).start()
    try:
        assert workers.wait() == [TRAINED, TRAINED], workers.said(0)[-1500:]
    finally:
        workers.end()
    return Run(folder / "tiny")


@pytest.fixture
def make_scene(dataset, undisturbed, record_property):
    """Makes a scene in some folder, and leaves no process of it behind."""
    with contextlib.ExitStack() as stack:

        def make(folder, data=dataset, **group):
            scene = Scene(folder, data, undisturbed, record_property, **group)
            stack.callback(scene.end)
            return scene

        yield make


@pytest.fixture
def scene(make_scene, tmp_path):
    """Two workers in this test's folder."""
    return make_scene(tmp_path)
