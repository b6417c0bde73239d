"""Fixtures of the fault matrix."""

import pytest

from gan_tf.runs.folder import Run
from tests.distributed.process import WorkerGroup
from tests.faults.scenario import FLAGS, TRAINED, Scenario
from tests.training import tiny


@pytest.fixture(scope="session")
def undisturbed(dataset, tmp_path_factory):
    """The run of two workers without a fault."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with WorkerGroup(folder, tiny.arguments(dataset, folder, **FLAGS)) as workers:
        workers.start().ends_with(TRAINED)
    return Run(folder / "tiny")


@pytest.fixture
def scenario(dataset, undisturbed, tmp_path, record_property):
    """Two workers in the folder of this test; their processes are killed at the end."""
    scenario = Scenario(tmp_path, dataset, undisturbed, record_property)
    yield scenario
    scenario.workers.end()
