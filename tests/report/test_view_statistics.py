"""Shares over queries, from scores made by hand."""

import numpy as np
import pytest

from mdmf_jax.report.analysis import confusion
from mdmf_jax.report.view_statistics import (
    QueryViews,
    prompt_statistics,
    trusted_view,
    view_statistics,
)

LABELS = np.array([0, 1, 0, 1])
# Of the four queries the local view gets three right, the global view two.
LOCAL = np.array([[3.0, 0.0], [0.0, 3.0], [0.0, 0.1], [0.0, 2.0]])
GLOBAL = np.array([[1.0, 0.0], [0.5, 0.0], [4.0, 0.0], [9.0, 0.0]])
LOCAL_TEXT = np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0], [5.0, 0.0]])
GLOBAL_TEXT = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
VIEWS = {"local": QueryViews(LOCAL_TEXT, LOCAL), "global": QueryViews(GLOBAL_TEXT, GLOBAL)}


def test_clips():
    assert trusted_view(VIEWS).tolist() == ["local", "local", "global", "global"]
    found = view_statistics(VIEWS, LABELS, "text_and_visual")
    assert found["queries"] == 4
    assert found["alone"] == {"local": 0.75, "global": 0.5}
    assert found["agreement"] == 0.25
    assert found["trusted"] == {"local": 0.5, "global": 0.5}
    assert found["trusted_accuracy"] == 0.75
    # Visual: local, local, global, global; text: local, global, global, local.
    assert found["teachers"] == {"local": 0.25, "global": 0.25, "neither": 0.5}


@pytest.mark.parametrize("condition", ["text_and_visual", "text", "visual"])
def test_teachers_are_those_of_the_loss(condition):
    from mdmf_jax.ops.distillation import ViewScores, reliable_view

    rng = np.random.default_rng(0)
    scores = rng.normal(size=(2, 2, 50, 3)).astype(np.float32)
    views = {
        name: QueryViews(*pair) for name, pair in zip(("local", "global"), scores, strict=True)
    }
    found = view_statistics(views, np.zeros(50, int), condition)["teachers"]
    local, other = reliable_view(*(ViewScores(*pair) for pair in scores), condition)
    assert found["local"] == pytest.approx(float(local.mean()))
    assert found["global"] == pytest.approx(float(other.mean()))
    assert found["neither"] == pytest.approx(float((~local & ~other).mean()))


def test_prompts_and_confusion():
    table = {
        "class_ids": np.array([[2, 0], [1, 2]]),
        "query_labels": np.array([[0, 1], [0, 1]]),
        "support": np.zeros((2, 2, 1), int),
    }
    answers = {
        "prediction": np.array([[0, 0], [0, 0]]),
        "prompt_choice": np.array([[0, 0], [1, 1]]),
    }
    found = prompt_statistics(answers, table, ("a", "b", "c"))
    assert found["right"] == 0.5
    assert found["chance"] == 0.5
    # Right prompts: episode 0 query 0 (right answer), episode 1 query 1 (wrong answer).
    assert (found["accuracy_right"], found["accuracy_wrong"]) == (0.5, 0.5)
    assert found["per_class"] == {"a": 0.0, "b": 0.0, "c": 1.0}
    assert prompt_statistics({"prediction": answers["prediction"]}, table, "abc") is None
    counts = confusion(answers["prediction"], table, 3)
    assert counts.tolist() == [[0, 0, 1], [0, 1, 0], [0, 1, 1]]


def test_curves_leave_out_what_is_not_finite():
    from mdmf_jax.report.evaluation_sections import curves_section
    from mdmf_jax.report.templates import render

    nan = float("nan")
    curves = {"train/loss": [(1, nan), (2, 3.0), (4, 1.5)], "a": [(1, nan), (2, 1)], "b": []}
    curves |= {"validation/accuracy": [(1, 0.25), (2, 0.5)]}
    settings = {"episode": {"way": 4}, "eval": {"way": 5}}
    drawn = render("section.html.jinja", {"section": curves_section(curves, settings)})
    assert drawn.count("<svg") == 2 and drawn.count(">chance</text>") == 1
    assert "validation accuracy: 0.5 at step 2, chance 0.20" in drawn
    assert "training loss: 1.5 at step 4" in drawn
    assert curves_section({"flat": [(1, 0.0), (2, 0.0)]}, settings) is None
