"""Generated inputs for every reader: a few in the quick tests, 2,000 in the slow ones, more with `make fuzz`."""

import sys

import pytest

from tests.fuzz.fuzzing import fuzz_in_child
from tests.fuzz.readers import READERS

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="uses process limits of Linux")


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("count", [60, pytest.param(2000, marks=pytest.mark.slow)])
def test_every_input_is_read_or_refused(name, count):
    result = fuzz_in_child(name, count)
    findings = [f"python -m tests.fuzz {name} --start {number} --count 1: {what}" for number, what in result.findings]
    assert not findings, "\n".join(findings)
    assert result.valid + result.refused == count
    if count == 2000:  # the changes reach the whole reader, and leave some files valid
        assert min(result.valid, result.refused) >= 100
