"""Task-Adapter++: who sees whom, what is trained, wrong settings, and its published state."""

import dataclasses
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

from mdmf_jax.errors import ConfigError, WeightsError
from mdmf_jax.model import FewShotModel
from mdmf_jax.models.encoders.clip.config import (
    CLIPConfig,
    ResNetConfig,
    TextConfig,
    VisionConfig,
)
from mdmf_jax.models.encoders.clip.model import CLIP
from mdmf_jax.models.encoders.clip.published import published_config
from mdmf_jax.models.encoders.clip.tokenizer import Tokenizer, build_vocab
from mdmf_jax.models.encoders.task_adapter_pp import (
    TaskAdapterEncoder,
    TaskAdapterOptions,
    device_parts,
)
from mdmf_jax.models.methods.task_adapter_pp import TaskAdapterConfig
from mdmf_jax.models.model_settings import ModelSettings
from mdmf_jax.weights import task_adapter_pp as weights
from mdmf_jax.weights.pretrained import Pretrained

WAY, SHOT, FRAMES, SIDE = 3, 2, 4, 16
CORRECTED = TaskAdapterConfig()
PUBLISHED = TaskAdapterConfig(query_group="all", orientation="published")
TOKENIZER = Tokenizer(build_vocab([]), [])
CLIP_SIZES = CLIPConfig(
    VisionConfig(16, 32, 2, 2, image_size=SIDE, patch_size=8),
    TextConfig(
        16, 32, 2, 2, vocab_size=len(TOKENIZER.vocab), max_position_embeddings=12,
        eos_token_id=TOKENIZER.end,
    ),
    16,
)  # fmt: skip
TEXTS = [["ab", "abcd", "a"], ["b", "cc", "abc"], ["dd", "e", "fghi"]]


@cache
def pretrained():
    pixels, ids = jnp.zeros((1, SIDE, SIDE, 3)), jnp.zeros((1, 12), jnp.int32)
    params = jax.jit(CLIP(CLIP_SIZES).init)(jax.random.key(0), pixels, ids)["params"]
    return Pretrained(CLIP_SIZES, jax.tree.map(np.asarray, params), TOKENIZER)


def model_of(head=CORRECTED, sizes=None, **options):
    options = {"image_adapted": 1, "text_adapted": 1, "normalise": "none"} | options
    settings = ModelSettings(
        "task_adapter_pp", head, "task_adapter_pp", TaskAdapterOptions(**options), FRAMES
    )
    return FewShotModel(settings, pretrained()._replace(config=sizes or CLIP_SIZES))


@cache
def params():
    """Random adapters, so that each of them does something."""
    model, rng = model_of(), np.random.default_rng(2)
    flat = flatten_dict(model.start, sep="/")
    for path, leaf in flatten_dict(model.shapes["encoder"], sep="/").items():
        if "adapter" in path:
            flat[path] = rng.normal(0, 0.5, leaf.shape).astype(np.float32)
    return {"encoder": unflatten_dict(flat, sep="/"), "head": {}}


def videos(count, seed):
    """Each quarter of each frame has a colour."""
    rng = np.random.default_rng(seed)
    colours = rng.integers(0, 256, (count, FRAMES, 2, 2, 3), np.uint8)
    return colours.repeat(SIDE // 2, axis=2).repeat(SIDE // 2, axis=3)


SUPPORT = videos(WAY * SHOT, 3).reshape(WAY, SHOT, FRAMES, SIDE, SIDE, 3)
QUERY = videos(WAY, 4)


@cache
def text_encoder():
    return jax.jit(model_of().class_texts)


def encoded(texts, padding=None):
    """Features of the texts of three classes [3, M, D]."""
    ids, mask = model_of().token_ids(texts)
    if padding is not None:
        behind = np.arange(12) > (ids == TOKENIZER.end).argmax(-1)[..., None]
        assert behind.any()
        ids = np.where(behind, padding, ids)
    return np.asarray(text_encoder()(params(), ids, mask))


@cache
def texts():
    return encoded(TEXTS)


@cache
def output(head, **options):
    """Function (support, query) -> logits and diagnostics."""
    model, table = model_of(head, **options), texts()

    @jax.jit
    def run(support, query):
        episode = {"support": {"rgb": support}, "query": {"rgb": query}}
        found = model.episode(params(), episode, table)
        return found.logits, found.diagnostics

    return lambda support=SUPPORT, query=QUERY: jax.tree.map(np.asarray, run(support, query))


def answer(head, **options):
    return lambda *args, **given: output(head, **options)(*args, **given)[0]


SEEING = {
    "in the towers": (CORRECTED, {"task_attention": "both"}),
    "in the crossing": (TaskAdapterConfig(query_group="all"), {}),
}
ORDER = np.array([2, 0, 1])


def test_corrected_answers_are_inductive():
    run = answer(CORRECTED)
    whole = run()
    np.testing.assert_allclose(run(query=QUERY[ORDER]), whole[ORDER], atol=1e-4)
    swapped = run(query=np.stack([QUERY[0], QUERY[0], QUERY[2]]))
    np.testing.assert_allclose(swapped, whole[[0, 0, 2]], atol=1e-4)
    np.testing.assert_allclose(run(query=QUERY[:1]), whole[:1], atol=1e-4)
    assert np.ptp(whole, axis=0).min() > 0.1  # queries differ
    assert model_of().inductive


@pytest.mark.parametrize("where", SEEING)
def test_queries_that_see_each_other_change_each_others_answers(where):
    head, options = SEEING[where]
    run = answer(head, **options)
    whole = run()
    assert not model_of(head, **options).inductive
    doubled = run(query=np.stack([QUERY[0], QUERY[0], QUERY[2]]))
    assert np.abs(doubled[[0, 2]] - whole[[0, 2]]).max() > 0.01
    # But they are in no order: no label enters.
    np.testing.assert_allclose(run(query=QUERY[ORDER]), whole[ORDER], atol=1e-3)


def test_the_published_form_leaks_the_label():
    run = answer(PUBLISHED, task_attention="both")
    whole, relabelled = run(), run(query=QUERY[ORDER])
    # The same queries, labelled otherwise: a query's label is its place.
    assert np.abs(relabelled - whole[ORDER]).max() > 0.1
    # Row i holds the text of class i, the query's own, with the other queries.
    turned, seen = output(TaskAdapterConfig(query_group="all"), task_attention="both")()
    np.testing.assert_allclose(turned, 64 * seen["visual"] * seen["semantic"], rtol=1e-4)
    np.testing.assert_allclose(whole, 64 * seen["visual"] * seen["semantic"].T, rtol=1e-4)
    assert not model_of(PUBLISHED).inductive


def test_the_published_orientation_needs_one_query_of_each_class():
    with pytest.raises(ConfigError, match="but there are 2 queries of 3 classes: set episode"):
        answer(PUBLISHED, task_attention="both")(query=QUERY[:2])


@pytest.mark.parametrize("attention", ["support", "none"])
def test_supports_see_each_other_unless_each_video_is_alone(attention):
    other = SUPPORT.copy()
    other[2, 1] = videos(1, 9)[0]
    run = output(CORRECTED, task_attention=attention)
    one, two = (run(support)[1]["prototype"] for support in (SUPPORT, other))
    seen = np.abs(one - two).max((1, 2)) > 1e-3
    assert seen.tolist() == [attention == "support", attention == "support", True]
    unit = {"support": "support", "none": "video"}[attention]
    assert model_of(task_attention=attention).encoder.unit == unit
    assert model_of(task_attention=attention, image_adapted=0).encoder.unit == "video"


@pytest.mark.parametrize(
    ("count", "devices", "parts"),
    [(5, 3, [2, 2, 1]), (25, 3, [9, 9, 7]), (5, 1, [5]), (2, 3, [1, 1]), (0, 3, [])],
)
def test_devices_cut_as_data_parallel_does(count, devices, parts):
    assert device_parts(count, devices) == parts


def test_missing_texts_are_masked_and_padding_counts():
    two = encoded([own[:2] for own in TEXTS])
    short = encoded([TEXTS[0], TEXTS[1][:2], TEXTS[2]])
    np.testing.assert_allclose(short[1, :2], two[1], atol=1e-5)  # as if there were two
    assert not short[1, 2].any()
    np.testing.assert_allclose(short[0], texts()[0], atol=1e-5)  # classes do not see each other
    # A longer text of the class has a word where the others have their padding.
    longer = encoded([["ab", "abcdefg", "a"], *TEXTS[1:]])
    assert np.abs(longer[0, 0] - two[0, 0]).max() > 1e-4
    np.testing.assert_array_equal(encoded(TEXTS, padding=7), texts())


@pytest.mark.parametrize(
    ("blocks", "norm", "count"),
    [((2, 8), False, 3_426_816), ((6, 2), False, 7_370_496), ((6, 2), True, 7_371_520)],
)
def test_trained_parameters_at_full_size(blocks, norm, count):
    options = TaskAdapterOptions(image_adapted=blocks[0], text_adapted=blocks[1])
    head = TaskAdapterConfig(cross_norm=norm)
    shapes = weights.template(published_config("vit_b16"), options, head)
    flat = flatten_dict(shapes, sep="/")
    trains = TaskAdapterEncoder.trains(options)
    assert trains == r"(^|/)adapter"
    trained = {p: x for p, x in flat.items() if "/adapter" in p or p.startswith("head/")}
    assert sum(x.size for x in trained.values()) == count


def test_the_start_is_clip_unless_the_task_adapter_starts_as_published():
    pixels = QUERY.reshape(-1, SIDE, SIDE, 3) / np.float32(255)
    encode = jax.jit(lambda params: CLIP(CLIP_SIZES).apply(params, pixels, method="encode_image"))
    expected = np.asarray(encode({"params": pretrained().params}))
    for start, equal in (("zero", True), ("default", False)):
        model = model_of(task_adapter_start=start)
        run = jax.jit(lambda key: model.encode(model.init(key), {"rgb": QUERY})["frames"])  # noqa: B023
        found = np.asarray(run(jax.random.key(0))).reshape(-1, 16)
        assert np.allclose(found, expected, atol=1e-5) == equal


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_adapted": 3}, "encoder.image_adapted is 3, but the image tower has 2 blocks"),
        ({"text_adapted": 3}, "encoder.text_adapted is 3, but the text tower has 2 blocks"),
    ],
)
def test_blocks_that_do_not_exist(options, message):
    with pytest.raises(ConfigError, match=message):
        model_of(**options)


def test_a_resnet_has_no_blocks_to_adapt():
    sizes = dataclasses.replace(CLIP_SIZES, vision=ResNetConfig((1, 1, 1, 1), 4, 2, SIDE * 2))
    with pytest.raises(ConfigError, match="adapters need a vision transformer"):
        model_of(sizes=sizes)


def published_state():
    """A state dictionary as the published code writes it: adapters in all blocks."""
    options, head = TaskAdapterOptions(image_adapted=1, text_adapted=1), TaskAdapterConfig(True)
    shapes = weights.template(CLIP_SIZES, options, head)
    rng = np.random.default_rng(5)
    made = jax.tree.map(lambda x: rng.normal(size=x.shape).astype(np.float32), shapes)
    return made, weights.state_dict(made), (CLIP_SIZES, options, head)


def test_published_state_there_and_back():
    made, tensors, sizes = published_state()
    assert tensors["feature.temporal_embedding"].shape == (1, 8, 16)
    assert tensors["feature.transformer.resblocks.0.t_adapter.D_fc1.weight"].shape == (4, 16)
    parallel = {n.replace("feature.", "feature.module.", 1): x for n, x in tensors.items()}
    for given in (tensors, parallel):
        back = weights.load_state_dict(given, *sizes)
        jax.tree.map(np.testing.assert_array_equal, back, made)
    assert weights.clip_config(tensors, origin="x").projection_dim == 16


def test_published_state_is_read_strictly():
    _, tensors, sizes = published_state()
    gone = "feature.transformer.resblocks.1.task_adapter.D_fc2.bias"
    wrong = {n: x for n, x in tensors.items() if n != gone} | {"feature.extra": np.zeros(1)}
    with pytest.raises(WeightsError, match=rf"f\.pt: unknown tensor .*extra; missing .*{gone}"):
        weights.load_state_dict(wrong, *sizes, origin="f.pt")
    with pytest.raises(WeightsError, match=r"unknown tensor ca\.ln_1"):
        weights.load_state_dict(tensors, *sizes[:2], TaskAdapterConfig())
