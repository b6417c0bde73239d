"""Images for the training tests."""

import pytest

from tests.training import tiny


@pytest.fixture(scope="session")
def dataset(tmp_path_factory):
    """The file of a data set with 12 images."""
    return tiny.images_file(tmp_path_factory.mktemp("data"))
