"""LoRA against merged weights, the bottleneck against NumPy, and what cannot be adapted."""

import math
import re
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict
from plain_tower import block, error, exact, layer_norm, random_like

from mdmf_jax.errors import ConfigError
from mdmf_jax.models.encoders.adapted_clip import AdaptedCLIP
from mdmf_jax.models.encoders.clip.config import (
    CLIPConfig,
    ResNetConfig,
    TextConfig,
    VisionConfig,
)
from mdmf_jax.models.encoders.clip.encoder import CLIPEncoder
from mdmf_jax.models.encoders.clip.published import published_config
from mdmf_jax.models.encoders.options import CLIPOptions
from mdmf_jax.models.layers.low_rank import LowRank

HEADS, FRAMES = 2, 3
VISION = VisionConfig(8, 16, 3, HEADS, image_size=16, patch_size=8)
TEXT = TextConfig(8, 16, 2, HEADS, vocab_size=20, max_position_embeddings=7, eos_token_id=19)
CLIP = CLIPConfig(VISION, TEXT, 6)
VIDEOS = {"rgb": np.random.default_rng(2).integers(0, 256, (2, FRAMES, 16, 16, 3), np.uint8)}
IDS = np.random.default_rng(3).integers(0, 19, (3, 2, 7)).astype(np.int32)
IDS[..., -1] = 19

ALL = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")
LORA = CLIPOptions(
    adapter="lora",
    lora_rank=2,
    lora_alpha=3.0,
    lora_projections=ALL,
    lora_towers=("image", "text"),
    lora_blocks=(1,),
)
BOTTLENECK = CLIPOptions(
    adapter="bottleneck", bottleneck_width=5, bottleneck_blocks=(0, 2), bottleneck_kernel=3
)


def leaves(module, clip=CLIP):
    side = clip.vision.image_size
    videos = {"rgb": jax.ShapeDtypeStruct((2, FRAMES, side, side, 3), jnp.uint8)}
    ids = jax.ShapeDtypeStruct((1, 1, clip.text.max_position_embeddings), jnp.int32)
    start = partial(module.init, method="everything")
    return jax.eval_shape(start, jax.random.key(0), videos, ids)["params"]


def features(module, params, **options):
    variables = {"params": params}
    frames = module.apply(variables, VIDEOS, method="videos", **options)["frames"]
    return frames, module.apply(variables, IDS, method="texts", **options)


def plain(flat):
    """Without the leaves of adapters."""
    return unflatten_dict({p: x for p, x in flat.items() if "/adapter/" not in p}, sep="/")


@pytest.mark.parametrize("orthogonal", [False, True])
def test_lora_is_a_change_of_the_weights(orthogonal):
    """Plain CLIP with the changes added to its kernels gives the same features."""
    module = AdaptedCLIP(replace(LORA, lora_orthogonal=orthogonal), CLIP)
    params = module.start(random_like(leaves(module)))
    flat = {path: np.asarray(x, np.float64) for path, x in flatten_dict(params, sep="/").items()}
    changed = 0
    for path in [path for path in flat if path.endswith("/down")]:
        where, name = path.removesuffix("/down").split("/adapter/")
        change = 1.5 * flat[path] @ flat[path.removesuffix("down") + "up"]
        kernel = f"{where}/{'mlp' if name.startswith('fc') else 'self_attn'}/{name}/kernel"
        if orthogonal:
            left, values, _ = np.linalg.svd(flat[kernel].T, full_matrices=False)
            shares = values / values.sum()
            count = int(np.exp(-(shares * np.log(shares)).sum()))
            change = change @ (np.eye(len(left)) - left[:, :count] @ left[:, :count].T)
        flat[kernel] = flat[kernel] + change
        changed += 1
    assert changed == 2 * len(ALL)
    merged = jax.tree.map(np.float32, plain(flat))
    ours = features(module, params)
    theirs = features(CLIPEncoder(LORA, CLIP), merged)
    without = features(CLIPEncoder(LORA, CLIP), plain(flatten_dict(params, sep="/")))
    for one, other, before in zip(ours, theirs, without, strict=True):
        assert error(one, other) < 1e-5 < 1e-2 < error(one, before)


def test_an_orthogonal_change_has_nothing_along_the_leading_directions():
    """U_k^T dW = 0, from the change itself: outputs of the layer, with and without."""
    module = AdaptedCLIP(replace(LORA, lora_orthogonal=True), CLIP)
    params = exact(module.start(random_like(leaves(module))))
    layer = params["vision_model"]["encoder"]["layers"]["1"]
    for name in ALL:
        change, where = layer["adapter"][name], "mlp" if name.startswith("fc") else "self_attn"
        applied = partial(_change, module, name, change)
        delta = np.asarray(applied(np.eye(len(change["down"]), dtype=np.float32)))  # [in, out]
        left = np.linalg.svd(layer[where][name]["kernel"].T, full_matrices=False)[0]
        leading = left[:, : int((np.abs(change["basis"]).max(0) > 0).sum())]
        assert leading.shape[1] > 0 and np.abs(delta).max() > 0.01
        assert np.abs(delta @ leading).max() < 1e-5 * np.abs(delta).max()


def _change(module, name, leaves, x):
    width = leaves["up"].shape[1]
    layer = LowRank(width, module.options.lora_rank, orthogonal=True)
    return layer.apply({"params": jax.tree.map(jnp.float32, leaves)}, x, train=False)


def test_bottleneck_in_numpy():
    module = AdaptedCLIP(BOTTLENECK, CLIP)
    params = random_like(leaves(module))
    p = exact(params)
    tower = p["vision_model"]
    pixels = (VIDEOS["rgb"] / 255 - _MEAN) / _DEVIATION
    patches = pixels.reshape(2, FRAMES, 2, 8, 2, 8, 3).transpose(0, 1, 2, 4, 3, 5, 6)
    embedding = tower["embeddings"]
    patches = patches.reshape(2, FRAMES, 4, -1) @ embedding["patch_embedding"]["kernel"].reshape(
        -1, 8
    )
    token = np.broadcast_to(embedding["class_embedding"], (2, FRAMES, 1, 8))
    x = np.concatenate([token, patches], 2) + embedding["position_embedding"]["embedding"]
    x = layer_norm(tower["pre_layrnorm"], x)
    for index in range(3):
        layer = tower["encoder"]["layers"][str(index)]
        hooks = {"before_attention": partial(_bottleneck, layer["adapter"])} if index != 1 else {}
        x = block(layer, x, HEADS, **hooks)
    expected = layer_norm(tower["post_layernorm"], x[:, :, 0]) @ p["visual_projection"]["kernel"]
    assert error(features(module, params)[0], expected) < 1e-5


_MEAN = np.array([0.48145466, 0.4578275, 0.40821073])
_DEVIATION = np.array([0.26862954, 0.26130258, 0.27577711])


def _bottleneck(p, x):
    """With loops over frames."""
    inner = x @ p["down"]["kernel"] + p["down"]["bias"]
    mixed = np.zeros_like(inner)
    for t in range(FRAMES):
        for k in range(3):
            if 0 <= t + k - 1 < FRAMES:
                mixed[:, t] += p["kernel"][k] * inner[:, t + k - 1]
    mixed = 0.5 * mixed * (1 + np.vectorize(math.erf)(mixed / np.sqrt(2)))
    return x + mixed @ p["up"]["kernel"] + p["up"]["bias"]


@pytest.mark.parametrize("options", [replace(LORA, lora_orthogonal=True), BOTTLENECK])
def test_it_starts_as_clip_and_trains_the_new_leaves_alone(options):
    module, clip = AdaptedCLIP(options, CLIP), CLIPEncoder(options, CLIP)
    made = jax.jit(partial(module.init, method="everything"))(jax.random.key(0), VIDEOS, IDS)
    start = flatten_dict(module.start(made["params"]), sep="/")
    old = plain(start)
    assert jax.tree.structure(old) == jax.tree.structure(leaves(clip))
    for one, other in zip(
        features(module, unflatten_dict(start, sep="/")), features(clip, old), strict=True
    ):
        # Not bit for bit: the last block of CLIP alone computes the class token only.
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    trained = {path for path in start if _trains(options, path)}
    assert trained == {path for path in start if "/adapter/" in path and "basis" not in path}
    assert any("basis" in path for path in start) == options.lora_orthogonal


def _trains(options, path):
    return re.search(f"^encoder/.*(?:{AdaptedCLIP.trains(options)})", f"encoder/{path}")


def test_without_an_adapter_it_is_clip():
    module = AdaptedCLIP(CLIPOptions(), CLIP)
    assert jax.tree.structure(leaves(module)) == jax.tree.structure(
        leaves(CLIPEncoder(CLIPOptions(), CLIP))
    )
    assert module.trains(module.options) == "" and module.rngs == ()


@pytest.mark.parametrize(
    ("options", "count"),
    [
        # P2A: rank 2, three projections, six blocks
        ({"lora_rank": 2, "lora_blocks": tuple(range(6, 12))}, 6 * 3 * 2 * 2 * 768),
        ({"lora_rank": 4, "lora_towers": ("text",)}, 12 * 3 * 4 * 2 * 512),
        ({"lora_rank": 8, "lora_projections": ("fc1", "fc2")}, 12 * 2 * 8 * (768 + 3072)),
        (
            {"adapter": "bottleneck", "bottleneck_width": 192},
            12 * (768 * 192 + 192 + 3 * 192 + 192 * 768 + 768),
        ),
    ],
)
def test_trained_numbers_at_full_size(options, count):
    made = CLIPOptions(**({"adapter": "lora", "lora_orthogonal": True} | options))
    clip = published_config("vit_b16")
    flat = flatten_dict(leaves(AdaptedCLIP(made, clip), clip), sep="/")
    assert sum(x.size for path, x in flat.items() if _trains(made, path)) == count


@pytest.mark.parametrize("options", [LORA, BOTTLENECK])
def test_dropout_in_training_alone(options):
    rates = {f"{options.adapter}_dropout": 0.5}
    module = AdaptedCLIP(replace(options, **rates), CLIP)
    params = module.start(random_like(leaves(module)))
    assert module.rngs == ("dropout",) and AdaptedCLIP(options, CLIP).rngs == ()
    first, second, again = (
        features(module, params, train=True, rngs={"dropout": jax.random.key(seed)})[0]
        for seed in (0, 1, 0)
    )
    np.testing.assert_array_equal(first, again)
    assert error(first, second) > 1e-3
    still, same = (features(AdaptedCLIP(o, CLIP), params)[0] for o in (module.options, options))
    np.testing.assert_array_equal(still, same)


RESNET = CLIPConfig(ResNetConfig((1, 1, 1, 1), 8, 2, image_size=32), TEXT, 6)


@pytest.mark.parametrize(
    ("options", "clip", "message"),
    [
        ({"lora_blocks": (0, 3)}, CLIP, "lora_blocks names block 3, but the image tower of this"),
        ({"lora_blocks": (2,)}, CLIP, "names block 2, but the text tower of this CLIP has the"),
        ({"lora_rank": 9}, CLIP, "lora_rank is 9, but q_proj of the image tower has the width 8"),
        ({"lora_rank": 9, "lora_towers": ("text",)}, CLIP, "q_proj of the text tower has the wid"),
        ({"lora_projections": ()}, CLIP, "encoder.lora_projections is empty; name at least one"),
        ({"lora_towers": ()}, CLIP, "encoder.lora_towers is empty; name at least one"),
        ({"lora_blocks": (1,)}, RESNET, "needs a vision transformer, but the CLIP in c has a Res"),
        ({"adapter": "bottleneck"}, RESNET, "needs a vision transformer, but the CLIP in c has"),
        ({"adapter": "bottleneck", "bottleneck_blocks": (7,)}, CLIP, "bottleneck_blocks names bl"),
        ({"adapter": "bottleneck", "bottleneck_kernel": 4}, CLIP, "kernel is 4; it must be odd"),
    ],
)
def test_what_cannot_be_adapted(options, clip, message):
    with pytest.raises(ConfigError, match=message):
        leaves(AdaptedCLIP(replace(LORA, path="c", **options), clip), clip)


def test_the_text_tower_of_a_resnet_can():
    made = replace(LORA, lora_towers=("text",))
    assert any(
        "adapter" in p for p in flatten_dict(leaves(AdaptedCLIP(made, RESNET), RESNET), sep="/")
    )
