"""docs/settings.md says what the code says."""

from dataclasses import fields

import pytest

from mdmf_jax.config.fields import switches
from mdmf_jax.config.schema import all_sections, options, run_sections
from mdmf_jax.models.methods.registry import METHODS
from scripts.settings_page import PAGE, page


def test_the_page_is_current():
    written = PAGE.read_text(encoding="utf-8")
    assert written == page(), "run python scripts/settings_page.py"
    for row in (
        "| `train.learning_rate` | `1e-05` |  | float at least 0 |",
        "| `cross_transformer.scale` | `10.0` | `1.0` | float above 0 |",
        "| `eval.shots` | `(1, 5)` |  | ints at least 1 |",
    ):
        assert row in written


def test_every_setting_is_explained_in_a_line():
    for path, field, _ in options(all_sections()):
        help = field.metadata.get("help", "")
        assert help and "\n" not in help and not help.endswith("."), path


@pytest.mark.parametrize("method", METHODS)
def test_published_values_are_of_settings_that_the_variant_decides(method):
    decided = {
        f"{name}.{switch}"
        for name, cls in run_sections(method, "clip").items()
        for switch in switches(cls)
    }
    assert set(METHODS[method].published) <= decided
    assert all(field.default is not None for field in fields(METHODS[method].Config))
