"""Groups (a person, a camera) are not in support and query at once."""

import numpy as np
import pytest

from mdmf_jax.classifier.classifier import FewShotClassifier
from mdmf_jax.classifier.leave_one_out import left_out
from mdmf_jax.classifier.support import SupportClass, SupportSet, group_numbers
from mdmf_jax.data.protocols.groups import read_groups
from mdmf_jax.errors import DataError

RED, GREEN, BLUE = "test_red_box", "test_green_box", "test_blue_box"


def test_names_of_clips(tmp_path):
    table = tmp_path / "groups.csv"
    table.write_text("group,clip\nann,run/a.mp4\nbob,a.mp4\ncam 1,/data/b.mp4\n")
    groups = read_groups(table)
    assert groups.of("/x/run/a.mp4") == "ann" and groups.of("jump/a.mp4") == "bob"
    assert groups.of("/data/b.mp4") == "cam 1" and groups.of("b.mp4") == ""
    assert groups.of_all(["a.mp4", "c.mp4"]) == ["bob", ""]
    with pytest.raises(DataError, match="name none of the 1 clips.*such as run/z.mp4"):
        groups.of_all(["/x/run/z.mp4"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n", "its first line must be clip,group"),
        ("clip,group\nx,\n", "line 2: a clip or its group is missing"),
        ("clip,group\nx,1\nx,2\n", "line 3: x has two groups"),
    ],
)
def test_wrong_tables(tmp_path, text, message):
    (tmp_path / "g.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_groups(tmp_path / "g.csv")
    with pytest.raises(DataError, match="no such file"):
        read_groups(tmp_path / "absent.csv")


def test_numbers_join_what_shares_a_group_or_is_the_same():
    numbers = group_numbers(["p", "", "q", "p", ""], ["1", "2", "2", "3", ""])
    assert numbers[0] == numbers[3] and numbers[1] == numbers[2]
    assert len(set(numbers.tolist())) == 3


def support_of(groups):
    return SupportSet(
        {
            name: SupportClass(name, np.zeros(1), {}, list(some), np.zeros(0), groups=list(some))
            for name, some in groups.items()
        }
    )


def test_what_remains_when_a_clip_is_left_out():
    """By brute force: no clip of its group, and one less of each class that has more."""
    support = support_of({"a": "pqr", "b": "pqqs", "c": "rs"})
    table = [list("pqr "), list("pqqs"), list("rs  ")]
    left = dict(left_out(support))
    assert sorted(left) == list(range(9))
    where = np.argwhere(support.mask)
    for number, rest in left.items():
        label, shot = where[number]
        group = table[label][shot]
        for row in range(3):
            free = [g for g in table[row] if g not in (" ", group)]
            kept = [g for g, here in zip(table[row], rest[row], strict=True) if here]
            own = len([g for g in table[label] if g not in (" ", group)])
            assert len(kept) == (len(free) - 1 if len(free) > own else len(free))
            assert set(kept) <= set(free)


def test_a_clip_without_which_a_class_is_empty_cannot_be_left_out():
    assert [n for n, _ in left_out(support_of({"a": "pp", "b": "qr"}))] == [2, 3]
    assert not list(left_out(support_of({"a": "pp", "b": "qq"})))


def test_groups_are_kept_apart_in_fit_and_evaluate(tiny_model, by_class, tmp_path):
    """As if the support clips of the tested person were not there."""
    videos = {name: paths[:3] for name, paths in by_class.items()}
    named = {str(p): f"person {i % 2}" for paths in by_class.values() for i, p in enumerate(paths)}
    classifier = FewShotClassifier(tiny_model).fit(videos, groups=named)
    assert classifier.support_.group_names[:3] == ["person 0", "person 1", "person 0"]
    classifier.save(tmp_path / "model")
    loaded = FewShotClassifier.load(tmp_path / "model")
    query = {name: paths[3:] for name, paths in by_class.items()}  # of person 1
    found = loaded._labelled(query, None, "raise", named)
    fewer = {name: [paths[0], paths[2]] for name, paths in by_class.items()}
    expected, *_ = (
        FewShotClassifier(tiny_model)
        .fit(fewer)
        ._logits([paths[3] for paths in by_class.values()], "raise")
    )
    np.testing.assert_allclose(found.logits, expected, rtol=1e-5, atol=1e-5)
    everything = loaded._labelled(query, None, "raise")
    assert not np.allclose(everything.logits, expected, rtol=1e-5, atol=1e-5)
    one = {str(p): "same" for paths in by_class.values() for p in paths}
    untested = FewShotClassifier(tiny_model).fit(videos)
    with pytest.raises(DataError, match="not a video that can be used"):
        untested.evaluate(query, groups=one)
    assert "of its group 'same' a class has none left" in untested.skipped_[0].reason
