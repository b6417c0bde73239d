"""Generated inputs for every reader: a few in the quick tests, 2,000 in the slow ones, more with `make fuzz`."""

import sys

import pytest

from tests.fuzz.__main__ import fuzz_in_child
from tests.fuzz.readers import READERS

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="uses process limits of Linux")


def test_every_input_is_read_or_refused():
    valid, refused, findings = fuzz_in_child(READERS, 60)
    assert not findings and valid + refused == 60 * len(READERS)


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_changes_reach_the_whole_reader_and_leave_some_files_valid(name):
    valid, refused, findings = fuzz_in_child([name], 2000)
    assert not findings and min(valid, refused) >= 100
