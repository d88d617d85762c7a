"""Adapters in both towers of a CLIP, against NumPy and against towers without adapters."""

from functools import partial
from typing import ClassVar

import jax
import numpy as np
import pytest
from flax import linen as nn
from plain_tower import block, error, exact, layer_norm, random_like
from toy_hooks import HOOKS, adapter_with, in_numpy

from mdmf_jax.models.encoders.base import Encoder
from mdmf_jax.models.encoders.clip.config import CLIPConfig, TextConfig, VisionConfig
from mdmf_jax.models.encoders.clip.encoder import CLIPEncoder
from mdmf_jax.models.encoders.options import CLIPOptions
from mdmf_jax.models.layers.adapter import Adapter, EpisodeSizes, TowerCall

HEADS, BLOCKS = 2, 4
VISION = VisionConfig(8, 16, BLOCKS, HEADS, image_size=16, patch_size=8)  # 1 + 4 tokens
TEXT = TextConfig(8, 16, 2, HEADS, vocab_size=20, max_position_embeddings=7, eos_token_id=19)
CLIP = CLIPConfig(VISION, TEXT, 6)


class Images(CLIPEncoder):
    """Adapters of one class in all blocks of both towers."""

    kind: ClassVar[type[Adapter] | None] = None

    @nn.nowrap
    def adapter(self, tower, block):
        return self.kind


def encoder(kind=None, wanted=("frames", "patches", "tokens_2"), **attributes):
    cls = type("Adapted", (Images,), {"kind": kind})
    return cls(CLIPOptions(), CLIP, wanted=wanted, **attributes)


VIDEOS = {"rgb": np.random.default_rng(2).integers(0, 256, (2, 3, 16, 16, 3), np.uint8)}
IDS = np.random.default_rng(3).integers(0, 19, (3, 2, 7)).astype(np.int32)
IDS[..., -1] = 19


@pytest.fixture(scope="module")
def clip_params():
    return clip_shapes(encoder())


def clip_shapes(module: Encoder):
    shapes = jax.eval_shape(
        partial(module.init, method="everything"), jax.random.key(0), VIDEOS, IDS
    )
    return random_like(shapes["params"])


def test_the_base_changes_no_bit(clip_params):
    with_base, without = encoder(Adapter), encoder()
    same_leaves = jax.tree.structure(clip_shapes(with_base))
    assert same_leaves == jax.tree.structure(clip_params)
    variables = {"params": clip_params}
    ours = with_base.apply(variables, VIDEOS, method="videos")
    theirs = without.apply(variables, VIDEOS, method="videos")
    assert set(ours) == {"frames", "patches", "tokens_2"}
    for name in theirs:
        np.testing.assert_array_equal(ours[name], theirs[name])
    texts = [e.apply(variables, IDS, method="texts") for e in (with_base, without)]
    assert texts[0].shape == (3, 2, 6)
    np.testing.assert_array_equal(*texts)


def test_where_only_the_first_token_is_wanted_an_adapter_sees_all(clip_params):
    names = ("before_attention", "after_attention", "after_block")
    variables = {"params": clip_params}
    few, all_tokens = (
        encoder(adapter_with(*names), wanted).apply(variables, VIDEOS, method="videos")
        for wanted in (("frames",), ("frames", "tokens_4"))
    )
    np.testing.assert_array_equal(few["frames"], all_tokens["frames"])
    base = encoder(Adapter, ("frames",)).apply(variables, VIDEOS, method="videos")["frames"]
    plain = encoder(None, ("frames",)).apply(variables, VIDEOS, method="videos")["frames"]
    np.testing.assert_allclose(base, plain, rtol=1e-5, atol=1e-6)


def test_the_text_tower_has_classes_and_texts_in_the_place_of_videos_and_frames(clip_params):
    p = exact(clip_params)
    tower, x = p["text_model"], p["text_model"]["embeddings"]["token_embedding"]["embedding"][IDS]
    x = x + tower["embeddings"]["position_embedding"]["embedding"]  # [C, M, L, D]
    for index in range(2):
        blocks, hooks = tower["encoder"]["layers"][str(index)], in_numpy(tuple(HOOKS), index)
        x = block(blocks, x, HEADS, causal=True, **hooks)
    x = layer_norm(tower["final_layer_norm"], x)
    first = np.argmax(IDS == 19, axis=-1)[..., None, None]
    expected = np.take_along_axis(x, first, 2)[:, :, 0] @ p["text_projection"]["kernel"]
    module = encoder(adapter_with(*HOOKS))
    ours = module.apply({"params": clip_params}, IDS, method="texts")
    assert error(ours, expected) < 1e-5


def test_a_hook_knows_its_tower_and_the_call(clip_params):
    seen, texts, sizes = [], np.ones((3, 1, 6), np.float32), EpisodeSizes(1, 1)

    def after_block(self, x, context):
        seen.append((context.block, context.blocks, context.call, context.train, context.texts))
        return x

    module = encoder(type("Asks", (Adapter,), {"after_block": after_block}))
    options = {"train": True, "episode": sizes}
    module.apply({"params": clip_params}, VIDEOS, texts, **options, method="videos")
    assert len(seen) == BLOCKS
    for index, (number, count, call, train, given) in enumerate(seen):
        assert (number, count, train) == (index, BLOCKS, True)
        assert call == TowerCall(3, True, sizes)
        assert given is texts
    seen.clear()
    module.apply({"params": clip_params}, IDS, method="texts")
    assert [fact[:4] for fact in seen] == [(i, 2, TowerCall(2), False) for i in range(2)]
