"""Every parity case in this folder, as `python tests/parity/check.py` runs them."""

import sys
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import check  # noqa: E402

CASES = check.find_cases([HERE / "heads", HERE / "mdmf"])


def test_cases_are_found():
    assert len(CASES) >= 14


@pytest.mark.parametrize("settings", CASES, ids=lambda path: path.stem)
def test_agrees_with_the_published_code(settings):
    rows = list(check.check(settings))
    assert rows
    failed = [
        f"{row.quantity}: {row.error:.1e} > {row.tolerance:.0e}" for row in rows if not row.passed
    ]
    assert not failed, "; ".join(failed)


def test_a_wrong_value_is_noticed():
    expected = np.array([1.0, 2.0, 4.0])
    assert check.relative_error(expected, expected) == 0
    assert check.relative_error(expected + [0, 0, 1e-3], expected) == pytest.approx(2.5e-4)
    assert check.relative_error(expected[:2], expected) == float("inf")
    assert check.relative_error(expected * np.nan, expected) == float("inf")
