"""docs/settings.md says what the code says."""

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
