"""A short run of every fuzz target; `make fuzz` is the long one."""

from collections import Counter

import pytest
from fuzz import fuzz
from fuzz_targets import TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_strange_inputs_are_read_or_refused(name):
    counts = Counter()
    fuzz(TARGETS[name], 100, 0, counts)
    assert counts.total() >= 100
    assert counts["refused"] > 20
