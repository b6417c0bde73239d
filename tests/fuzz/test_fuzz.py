"""Generated inputs for every reader: a few in the quick tests, 2,000 each in the slow ones, more by `make fuzz`."""

import random
import sys

import pytest

from tests.fuzz.hunt import hunt_apart
from tests.fuzz.readers import READERS

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of a process as Linux has them")


def hunt_cleanly(name, count):
    """Every input is read or refused in one line, within the reader's time and memory."""
    result = hunt_apart(name, count)
    assert not result.findings, "\n".join(
        f"python -m tests.fuzz {name} --only {number}: {what}" for number, what in result.findings
    )
    assert result.inputs == result.valid + result.refused == count
    return result


@pytest.mark.parametrize("name", READERS)
def test_a_few_inputs(name):
    hunt_cleanly(name, 60)


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_2000_inputs(name):
    result = hunt_cleanly(name, 2000)
    assert min(result.valid, result.refused) >= 100  # else too little, or too much, is changed to reach all of a reader


@pytest.mark.parametrize("name", READERS)
def test_an_input_follows_from_its_number(name, tmp_path):
    found = []
    for again in ("a", "b", "c"):
        folder = tmp_path / again / "input"
        folder.mkdir(parents=True)
        READERS[name].make(random.Random(f"{name} {7 + (again == 'c')}"), folder)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        found.append([(path.relative_to(folder), path.read_bytes()) for path in files])
    assert found[0] == found[1] != found[2]
