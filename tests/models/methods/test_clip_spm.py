"""CLIP-SPM: who changes whose answer, its texts and terms, its sizes, and a whole run."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from queries import CHANGES, largest_change

from mdmf_jax.errors import ConfigError
from mdmf_jax.models.encoders.clip.config import CLIPConfig, ResNetConfig, TextConfig, VisionConfig
from mdmf_jax.models.methods.clip_spm import CLIPSPM, CLIPSPMConfig
from mdmf_jax.weights import clip_spm

WEIGHTS = {"text_weight": 2.0, "consistency_weight": 3.0, "motion_weight": 0.1}
SHARES = {"text_query_share": 0.1, "consistency_query_share": 0.7}
SMALL = CLIPSPMConfig(heads=2, inner=12, hidden=10, bidirectional=False, **WEIGHTS, **SHARES)
TOGETHER = replace(SMALL, task_pool="episode")
WAY, SHOT, FRAMES, WIDTH = 3, 2, 3, 8
LABELS = np.array([0, 1, 2, 0])


@pytest.fixture(scope="module")
def episode():
    rng = np.random.default_rng(0)
    shapes = ((WAY, SHOT, FRAMES, WIDTH), (4, FRAMES, WIDTH), (WAY, WIDTH))
    return tuple(jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in shapes)


@pytest.fixture(scope="module")
def params(episode):
    support, query, texts = episode
    return jax.jit(CLIPSPM(SMALL).init)(
        jax.random.key(0), {"frames": support}, {"frames": query}, texts
    )


@pytest.fixture(scope="module")
def answer(episode, params):
    """answer(config, queries): the output for some of the queries; compiled once a kind."""
    compiled = {}
    whole = np.ones((WAY, SHOT), bool)

    def run(config, support, query, texts, labels, mask):
        return CLIPSPM(config).apply(
            params,
            {"frames": support},
            {"frames": query},
            texts,
            query_labels=labels,
            support_mask=mask,
        )

    def answer(config, queries, labels=LABELS, support=episode[0], mask=whole):
        if config not in compiled:
            compiled[config] = jax.jit(lambda *arrays: run(config, *arrays))
        labels = labels[: len(queries)]
        return compiled[config](support, episode[1][queries], episode[2], labels, mask)

    return answer


@pytest.mark.slow
@pytest.mark.parametrize("kind", CHANGES)
def test_a_query_of_its_own_pool_has_an_answer_of_its_own(answer, kind):
    own = largest_change(lambda queries: answer(SMALL, queries).logits, kind)
    assert own < 1e-5
    found = largest_change(lambda queries: answer(TOGETHER, queries).logits, kind)
    # A permutation changes no pool.
    assert found < 1e-5 if kind == "permute" else found > 1e-4


def test_it_says_whether_it_is_inductive():
    assert CLIPSPM(SMALL).inductive
    assert not CLIPSPM(TOGETHER).inductive
    assert not CLIPSPM(replace(SMALL, shared_text="videos")).inductive


def test_pools_of_one_query_agree(answer):
    expected = answer(SMALL, np.arange(4)).logits
    for query in range(2):
        alone = answer(TOGETHER, np.array([query])).logits
        np.testing.assert_allclose(alone[0], expected[query], rtol=1e-5)


def test_the_published_shared_text_reads_the_queries_classes(answer):
    published, queries = replace(SMALL, shared_text="videos"), np.arange(3)
    corrected = answer(SMALL, queries).logits
    # As many queries of each class: the same text.
    np.testing.assert_allclose(answer(published, queries).logits, corrected, rtol=1e-5)
    unbalanced = np.array([0, 0, 1])
    assert np.abs(answer(published, queries, unbalanced).logits - corrected).max() > 1e-4
    np.testing.assert_array_equal(answer(SMALL, queries, unbalanced).logits, corrected)


def test_missing_shots_are_as_if_they_were_not_there(answer, episode):
    mask = np.array([[True, False]] * WAY)
    masked = answer(SMALL, np.arange(3), mask=mask).logits
    fewer = answer(SMALL, np.arange(3), support=episode[0][:, :1], mask=mask[:, :1]).logits
    np.testing.assert_allclose(masked, fewer, rtol=1e-5)
    mask[0] = True
    assert np.abs(answer(SMALL, np.arange(3), mask=mask).logits - fewer).max() > 1e-4


def test_terms_of_prompts_are_added_with_their_shares(answer):
    output = answer(SMALL, np.arange(3))
    d = {name: float(x) for name, x in output.diagnostics.items() if np.ndim(x) == 0}
    text = 0.1 * (d["query_term_prompt"] + d["query_term_token"])
    text += 0.4 * (d["support_term_prompt"] + d["support_term_token"])
    consistency = 0.7 * d["query_term_consistency"] + 0.3 * d["support_term_consistency"]
    expected = output.losses["cross_entropy"] + 0.1 * (d["motion"] + 2 * text + 3 * consistency)
    np.testing.assert_allclose(output.losses["total"], expected, rtol=1e-5)


def test_the_terms_of_prompts_are_off_by_default():
    losses = CLIPSPM().losses(jnp.eye(3), {"motion": jnp.float32(2.0)}, jnp.arange(3), None)
    cross_entropy = 3 * np.log(1 + 2 * np.exp(-1))
    assert set(losses) == {"cross_entropy", "motion", "total"}
    np.testing.assert_allclose(losses["total"], cross_entropy + 0.016 * 2, rtol=1e-6)


TEXT = TextConfig(512, 2048, 12, 8)
TOWERS = {
    "vit": (CLIPConfig(VisionConfig(768, 3072, 12, 12), TEXT, 512), 103_507_970),
    "rn50": (CLIPConfig(ResNetConfig(), TEXT, 1024), 78_184_290),
}


@pytest.mark.parametrize("tower", TOWERS)
def test_as_many_trained_parameters_as_published(tower):
    clip, expected = TOWERS[tower]
    tree = clip_spm.template(clip, CLIPSPMConfig())
    statistics = 0
    count = 0
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        running = path[-1].key in ("mean", "var")  # of BatchNorm, not parameters
        statistics += running
        count += 0 if running else leaf.size
    assert (count, statistics > 0) == (expected, tower == "rn50")


@pytest.mark.parametrize(
    ("changes", "frames", "message"),
    [
        ({"inner": 10, "heads": 4}, 8, "clip_spm.inner is 10, which clip_spm.heads = 4"),
        ({}, 1, "clip_spm needs at least 2 frames"),
    ],
)
def test_wrong_options_get_one_line(changes, frames, message):
    with pytest.raises(ConfigError, match=message):
        CLIPSPM.check(CLIPSPMConfig(**changes), {}, frames)
