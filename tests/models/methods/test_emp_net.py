"""EMP-Net: whose answer depends on what, its texts and losses, and its sizes."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from queries import CHANGES, largest_change

from mdmf_jax.errors import ConfigError
from mdmf_jax.models.encoders.clip.config import CLIPConfig, ResNetConfig, TextConfig, VisionConfig
from mdmf_jax.models.encoders.emp_net import EMPNetEncoder
from mdmf_jax.models.methods.emp_net import VIEWS, EMPNet, EMPNetConfig
from mdmf_jax.weights import emp_net

SMALL = EMPNetConfig(top_patches=2, bidirectional=False)
PUBLISHED = replace(SMALL, text_rows="published", loss_on="probabilities")
WAY, SHOT, FRAMES, PATCHES, WIDTH = 3, 3, 3, 4, 8
LABELS = np.array([0, 1, 2, 0])
# Two places before the fifth for class 0, three for class 1, none for class 2.
PLACES = np.array([[0, 5, 1], [4, 2, 3], [8, 6, 7]])


@pytest.fixture(scope="module")
def episode():
    rng = np.random.default_rng(0)

    def views(*count):
        sizes = {"token": (FRAMES,), "frame": (FRAMES,), "patch": (FRAMES, PATCHES)}
        made = {f"{v}_view": rng.normal(size=(*count, *sizes[v], WIDTH)) for v in VIEWS}
        return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), made)

    table = jnp.asarray(rng.normal(size=(5, 2, WIDTH)), jnp.float32)
    return views(WAY, SHOT), views(4), table


@pytest.fixture(scope="module")
def params(episode):
    support, query, table = episode
    return jax.jit(EMPNet(SMALL).init)(jax.random.key(0), support, query, table[:WAY])


@pytest.fixture(scope="module")
def answer(episode, params):
    """answer(config, queries, order of the supports in their classes): the output."""
    compiled = {}
    support, query, table = episode
    ids = np.array([4, 2, 3])

    def answer(config, queries=slice(None), places=PLACES, supports=support, texts=table):
        if config not in compiled:
            run = EMPNet(config).apply
            compiled[config] = jax.jit(lambda *a, **options: run(params, *a, **options))
        asked = {name: x[queries] for name, x in query.items()}
        known = {"query_labels": LABELS[queries], "class_ids": ids, "class_texts": texts}
        return compiled[config](supports | {"place": places}, asked, texts[ids], **known)

    return answer


@pytest.mark.parametrize("kind", CHANGES)
def test_every_query_has_an_answer_of_its_own(answer, kind):
    assert EMPNet(SMALL).inductive
    assert largest_change(lambda queries: answer(SMALL, queries).logits, kind) < 1e-6


def test_the_order_of_supports_matters_to_published_rows_alone(answer):
    corrected, published = answer(SMALL), answer(PUBLISHED)
    for view in VIEWS:
        ours, theirs = (x.diagnostics[f"{view}_text_score"] for x in (corrected, published))
        np.testing.assert_allclose(ours[:, :2], theirs[:, :2], rtol=1e-6)
        assert np.abs(ours[:, 2] - theirs[:, 2]).min() > 1e-4  # the class that is not among five
    each = np.arange(WAY * SHOT).reshape(SHOT, WAY).T  # all classes among the first five
    np.testing.assert_allclose(answer(PUBLISHED, places=each).logits, corrected.logits, rtol=1e-6)
    np.testing.assert_array_equal(answer(SMALL, places=each).logits, corrected.logits)


def test_the_missing_class_has_the_text_of_the_splits_first(answer, episode):
    query, table = episode[1], np.asarray(episode[2]).mean(1)
    frames = np.asarray(query["frame_view"])
    lengths = np.linalg.norm(frames, axis=-1) * np.linalg.norm(table[0]) + 0.01
    expected = np.sort(frames @ table[0] / lengths, axis=1)[:, -2:].mean(axis=1)
    found = answer(PUBLISHED).diagnostics["frame_text_score"][:, 2]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_patches_are_compared_by_the_best_of_their_means_over_time(answer, episode):
    patches, text = np.asarray(episode[1]["patch_view"]), np.asarray(episode[2]).mean(1)[4]
    lengths = np.linalg.norm(patches, axis=-1) * np.linalg.norm(text) + 0.01
    means = (patches @ text / lengths).mean(axis=1)
    expected = np.sort(means, axis=1)[:, -2:].mean(axis=1)
    found = answer(SMALL).diagnostics["patch_text_score"][:, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_answer_is_a_mean_of_six_probabilities(answer):
    logits = np.asarray(answer(SMALL).logits)
    np.testing.assert_allclose(logits.sum(axis=1), 1, rtol=1e-6)
    assert not EMPNet(SMALL).independent_classes and EMPNet(SMALL).gives_probabilities


def test_losses_take_scores_or_probabilities_for_logits(answer):
    losses = {c: answer(c, places=PLACES * 0).losses for c in (SMALL, PUBLISHED)}
    d = answer(SMALL).diagnostics
    for config in losses:
        total = 0.0
        for view in VIEWS:
            text = [d[f"{view}_support_text_score"], d[f"{view}_text_score"]]
            own = np.repeat(np.arange(WAY), SHOT)
            pairs = [(-d[f"{view}_distance"], LABELS), (np.concatenate(text), [*own, *LABELS])]
            for scores, labels in pairs:
                scores = np.asarray(scores, np.float64)
                if config is PUBLISHED:
                    scores = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
                picked = scores[np.arange(len(scores)), labels]
                total += np.mean(np.log(np.exp(scores).sum(1)) - picked)
        np.testing.assert_allclose(losses[config]["total"], total, rtol=1e-5)


def test_training_draws_one_text_for_all_of_an_episode(episode, params):
    support, query, table = episode
    # Texts that are not there are zeros; the class that has one text keeps it.
    texts = table[:WAY].at[2, 1].set(0)

    @jax.jit
    def scores(key):
        rngs = {"dropout": jax.random.key(0), "template": key}
        output = EMPNet(SMALL).apply(params, support, query, texts, train=True, rngs=rngs)
        return output.diagnostics["token_text_score"]

    @jax.jit
    def own(chosen):
        return EMPNet(SMALL).apply(params, support, query, chosen).diagnostics["token_text_score"]

    expected = [own(table[:WAY, number][:, None].at[2].set(table[2, :1])) for number in (0, 1)]
    drawn = [scores(jax.random.key(seed)) for seed in range(8)]
    found = {int(np.argmin([np.abs(x - e).max() for e in expected])) for x in drawn}
    assert found == {0, 1}
    for x in drawn:
        assert min(np.abs(x - e).max() for e in expected) < 1e-6


def test_as_many_trained_parameters_as_published():
    clip = CLIPConfig(VisionConfig(768, 3072, 12, 12), TextConfig(512, 2048, 12, 8), 512)
    tree = emp_net.template(clip, EMPNetEncoder.Config(), EMPNetConfig())
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    new = [leaf.size for path, leaf in leaves if path[0].key == "head" or "adapter" in path[1].key]
    assert sum(new) == 7_495_296
    assert EMPNetEncoder.trains(EMPNetEncoder.Config()) == r"(^|/)adapter"


SMALL_TEXT = TextConfig(16, 32, 1, 2)
VIT = VisionConfig(16, 32, 2, 2, image_size=16, patch_size=8)


@pytest.mark.parametrize(
    ("vision", "width", "blocks", "message"),
    [
        (VIT, 16, (1, 2, 3), r"encoder.blocks is \(1, 2, 3\).* this CLIP has 2"),
        (VIT, 16, (1, 2), r"encoder.blocks is \(1, 2\); it must name 3 blocks"),
        (VIT, 12, (), "a multiple of 8, this one's are 12"),
        (ResNetConfig((1, 1, 1, 1), 2, 1, 32), 16, (), "emp_net needs a CLIP with a vision trans"),
    ],
)
def test_towers_that_do_not_suit_get_one_line(vision, width, blocks, message):
    clip = CLIPConfig(vision, SMALL_TEXT, width)
    with pytest.raises(ConfigError, match=message):
        emp_net.template(clip, EMPNetEncoder.Config(blocks=blocks), SMALL)


def test_the_readings_are_thirds_of_the_blocks_unless_they_are_named():
    for count, expected in ((12, (4, 8, 12)), (24, (8, 16, 24)), (2, (1, 1, 2))):
        vision = VisionConfig(16, 32, count, 2, image_size=16, patch_size=8)
        encoder = EMPNetEncoder(EMPNetEncoder.Config(), CLIPConfig(vision, SMALL_TEXT, 16))
        assert encoder._readings == tuple(f"projected_{n}" for n in expected)


def test_more_frames_than_there_are_get_one_line():
    with pytest.raises(ConfigError, match="top_frames is 4, but videos have 3 frames"):
        EMPNet.check(EMPNetConfig(top_frames=4), {}, 3)
