"""Fixtures of the fault matrix."""

import contextlib

import pytest

from gan_tf.runs.folder import Run
from tests.distributed.worker_group import WorkerGroup
from tests.faults.scenario import FLAGS, TRAINED, Scenario
from tests.training import tiny


@pytest.fixture(scope="session")
def dataset(tmp_path_factory):
    """A data set that every user can read."""
    return tiny.images_file(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def undisturbed(dataset, tmp_path_factory):
    """The run of two workers without a fault."""
    folder = tmp_path_factory.mktemp("undisturbed")
    workers = WorkerGroup(folder, tiny.arguments(dataset, folder, **FLAGS)).start()
    try:
        assert workers.wait() == [TRAINED, TRAINED], workers.output(0)[-1500:]
    finally:
        workers.end()
    return Run(folder / "tiny")


@pytest.fixture
def make_scenario(dataset, undisturbed, record_property):
    """Returns a function that creates a Scenario in a folder; its processes are killed at the end."""
    with contextlib.ExitStack() as stack:

        def make(folder, **group):
            scenario = Scenario(folder, dataset, undisturbed, record_property, **group)
            stack.callback(scenario.end)
            return scenario

        yield make


@pytest.fixture
def scenario(make_scenario, tmp_path):
    """Two workers in the folder of this test."""
    return make_scenario(tmp_path)
