import jax
import numpy as np
import pytest

from mdmf_jax.ops.distillation import ViewScores, kl_divergence, mutual_distillation, reliable_view


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def numpy_kl(teacher, student):
    p, s = softmax(teacher), softmax(student)
    return (p * (np.log(p) - np.log(s))).sum(-1)


def numpy_distillation(lt, lv, gt, gv, direction, condition):
    """Query by query, from the description in the paper and the published code."""
    sums = {"local": [0.0, 0.0], "global": [0.0, 0.0]}
    plain = {"local": 0.0, "global": 0.0}
    for j in range(len(lt)):
        text_local = softmax(lt[j]).max() >= softmax(gt[j]).max()
        visual_local = softmax(lv[j]).max() >= softmax(gv[j]).max()
        votes = {
            "text": [text_local],
            "visual": [visual_local],
            "text_and_visual": [text_local, visual_local],
            "none": [],
        }[condition]
        for name, text, own, other, wanted in (
            ("local", lt, lv, gv, True),
            ("global", gt, gv, lv, False),
        ):
            divergence = numpy_kl(own[j], other[j])
            plain[name] += divergence
            if all(vote == wanted for vote in votes):
                weight = softmax(own[j]).max() + softmax(text[j]).max()
                sums[name][0] += weight * divergence
                sums[name][1] += weight
    loss = {name: total / weight if weight else 0.0 for name, (total, weight) in sums.items()}
    loss = plain if condition == "none" else loss
    wanted = {"both": ["local", "global"], "local_to_global": ["local"]}.get(direction, ["global"])
    return sum(loss[name] for name in wanted)


def scores(normal, queries=6):
    return [normal(queries, 5, seed=seed) for seed in range(4)]


def distill(lt, lv, gt, gv, **options):
    return mutual_distillation(ViewScores(lt, lv), ViewScores(gt, gv), **options)


def test_kl_divergence(normal, check_values, check_gradient):
    teacher, student = normal(6, 5), normal(6, 5, seed=1)
    check_values(kl_divergence, numpy_kl, teacher, student)
    check_gradient(kl_divergence, teacher, student)


def test_kl_divergence_of_certain_posteriors_is_finite():
    certain = np.array([[300.0, 0.0], [0.0, 300.0]], np.float32)
    np.testing.assert_allclose(kl_divergence(certain, certain[::-1]), [300, 300], rtol=1e-5)


@pytest.mark.parametrize("condition", ["text_and_visual", "text", "visual", "none"])
@pytest.mark.parametrize("direction", ["both", "local_to_global", "global_to_local"])
def test_every_condition_and_direction(condition, direction, normal, check_values, check_gradient):
    options = dict(condition=condition, direction=direction, teacher_gradient=True)
    check_values(
        lambda *views: distill(*views, **options),
        lambda *views: numpy_distillation(*views, direction, condition),
        *scores(normal),
    )
    check_gradient(lambda *views: distill(*views, **options), *scores(normal))


def test_a_query_on_which_the_parts_disagree_is_in_neither_group():
    sure, unsure = np.array([[5.0, 0.0]]), np.array([[1.0, 0.0]])
    local, global_ = ViewScores(sure, unsure), ViewScores(unsure, sure)
    groups = reliable_view(local, global_, "text_and_visual")
    assert [bool(group[0]) for group in groups] == [False, False]
    assert mutual_distillation(local, global_) == 0.0


def test_ties_go_to_the_local_view():
    same = ViewScores(np.zeros((1, 3)), np.zeros((1, 3)))
    for condition in ("text", "visual", "text_and_visual"):
        groups = reliable_view(same, same, condition)
        assert [bool(group[0]) for group in groups] == [True, False]


def test_teacher_gradient_can_be_stopped(normal):
    lt, lv, gt, gv = scores(normal)
    options = dict(direction="local_to_global", condition="none")

    def gradient(teacher_gradient):
        return jax.grad(
            lambda teacher: distill(
                lt, teacher, gt, gv, teacher_gradient=teacher_gradient, **options
            )
        )(lv)

    assert not np.any(gradient(False))
    assert np.any(gradient(True))


def test_gradient_is_finite_when_no_query_is_in_a_group():
    local = ViewScores(np.zeros((2, 3), np.float32), np.zeros((2, 3), np.float32))
    gradient = jax.grad(
        lambda g: mutual_distillation(local, ViewScores(g, g), direction="global_to_local")
    )(np.zeros((2, 3), np.float32))
    np.testing.assert_array_equal(gradient, np.zeros((2, 3)))


@pytest.mark.parametrize("option", ["direction", "condition"])
def test_unknown_option(option, normal):
    with pytest.raises(ValueError, match="use one of"):
        distill(*scores(normal), **{option: "sideways"})
