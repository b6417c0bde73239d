"""Generated inputs for every reader: a few in the quick tests, 2,000 in the slow ones, more with `make fuzz`."""

import sys

import pytest

from tests.fuzz.__main__ import fuzz_in_child
from tests.fuzz.readers import READERS

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="uses process limits of Linux")


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("count", [60, pytest.param(2000, marks=pytest.mark.slow)])
def test_every_input_is_read_or_refused(name, count):
    outcomes, findings = fuzz_in_child(name, count)
    assert not findings, "\n".join(f"python -m tests.fuzz {name} --start {n} --count 1: {what}" for n, what in findings)
    assert len(outcomes) == count
    if count == 2000:  # the changes reach the whole reader, and leave some files valid
        assert min(outcomes.count("valid"), outcomes.count("refused")) >= 100
