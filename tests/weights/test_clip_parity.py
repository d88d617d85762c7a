"""Both towers against numbers computed by the PyTorch implementations."""

import sys
from pathlib import Path

import pytest

PARITY = Path(__file__).parents[1] / "parity"
sys.path.insert(0, str(PARITY))

import check  # noqa: E402

pytestmark = pytest.mark.optimised
CASES = check.find_cases([PARITY / "clip"])


def test_all_layouts_and_towers_are_covered():
    cases = {case.stem for case in CASES}
    assert {"openai_vit", "openai_resnet", "hf_gelu", "hf_quick_gelu"} <= cases


@pytest.mark.parametrize("settings", CASES, ids=lambda path: path.stem)
def test_features_and_logits_agree(settings):
    rows = list(check.check(settings))
    compared = {row.quantity for row in rows}
    assert compared == {"image_features", "text_features", "logits_per_image"}
    assert [row for row in rows if not row.passed] == []
