"""The page of a fitted classifier."""

import numpy as np
import pytest
from page_check import check_page

from mdmf_jax.classifier.support import SupportClass, SupportSet
from mdmf_jax.classifier.verdict import judge
from mdmf_jax.report.fit_page import fit_page

SCRIPT = "<script>alert(1)</script>"


@pytest.fixture
def fitted():
    """Three clips of two classes with hostile names, one of them taken for the other."""
    rng = np.random.default_rng(0)
    classes = {}
    for name in (SCRIPT, "wave & bow"):
        pictures = rng.integers(0, 256, (3, 2, 8, 12, 3)).astype(np.uint8)
        features = {"frames": rng.normal(size=(3, 2, 4)).astype(np.float32)}
        sources = [f"in/{name}/{i}.mp4" for i in range(3)]
        classes[name] = SupportClass(f"a {name}", np.zeros(2), features, sources, pictures)
    support = SupportSet(classes)
    logits = np.eye(2)[[0, 0, 1, 1, 1, 1]]
    labels = np.array([0, 0, 0, 1, 1, 1])
    names = list(classes)
    return support, judge(logits, labels, names, support.sources, origin="leave_one_out")


def test_every_clip_is_shown_with_what_was_said_of_it(fitted):
    page = check_page(fit_page(*fitted, ("a note & more",)))
    assert page.count("img") == 6 and page.count("script") == 0
    assert "verdict: has learnt nothing; 5 of 6 clips" in page.text and "3 by chance" in page.text
    assert "2 of 3" in page.text and "3 of 3" in page.text and "a note & more" in page.text
    assert f"in/{SCRIPT}/2.mp4 : margin -1; taken for wave & bow" in page.text
    assert page.text.count("recognised, by a margin of 1") == 5


def test_clips_that_could_not_be_left_out(fitted):
    support, _ = fitted
    empty = np.zeros((0, 2)), np.zeros(0, int)
    none = judge(
        *empty, list(support.classes), [], origin="leave_one_out", unjudged="one clip a class"
    )
    page = check_page(fit_page(support, none))
    assert "one clip a class" in page.text and page.text.count("could not be left out") == 6


def test_a_verdict_on_other_clips_is_not_put_on_these(fitted):
    support, _ = fitted
    logits = np.eye(2)[[0, 0, 0, 1, 1, 1]]
    sources = [f"other/{i}.mp4" for i in range(6)]
    labels = np.array([0, 0, 0, 1, 1, 1])
    verdict = judge(logits, labels, list(support.classes), sources, origin="validation")
    page = check_page(fit_page(support, verdict))
    assert page.text.count("not judged: the verdict is on other clips") == 6
    assert "verdict: works; 6 of 6 clips of the validation" in page.text
