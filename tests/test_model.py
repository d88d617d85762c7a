"""FewShotModel: its parameters and its class texts."""

from dataclasses import replace
from functools import partial
from typing import ClassVar

import jax
import numpy as np
import pytest
from flax import linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict

from mdmf_jax.errors import ConfigError, WeightsError
from mdmf_jax.model import FewShotModel
from mdmf_jax.models.encoders.clip.encoder import CLIPEncoder
from mdmf_jax.models.encoders.clip.text import CLIPText
from mdmf_jax.models.encoders.options import CLIPOptions
from mdmf_jax.models.encoders.registry import ENCODERS
from mdmf_jax.models.layers.adapter import Adapter
from mdmf_jax.models.methods.mean_pool import MeanPool, MeanPoolConfig
from mdmf_jax.models.methods.registry import METHODS
from mdmf_jax.models.methods.zero_shot import ZeroShotConfig
from mdmf_jax.models.model_settings import ModelSettings
from mdmf_jax.weights.pretrained import load_pretrained

MEAN_POOL = ModelSettings("mean_pool", MeanPoolConfig(), "clip", CLIPOptions(), frames=3)


class Scale(Adapter):
    @nn.compact
    def after_block(self, x, context):
        return x * self.param("scale", nn.initializers.normal(1.0), (x.shape[-1],))


class Adapted(CLIPEncoder):
    """Adapters in the blocks of both towers."""

    @nn.nowrap
    def adapter(self, tower, block):
        return Scale


@pytest.fixture(scope="module")
def pretrained(clip_folder):
    return load_pretrained("clip", clip_folder)


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setitem(ENCODERS, "adapted", Adapted)


def paths(tree):
    return set(flatten_dict(tree, sep="/"))


def changed(pretrained, change):
    """The pretrained model with `change` of its flat leaves."""
    flat = flatten_dict(pretrained.params, sep="/")
    change(flat)
    return pretrained._replace(params=unflatten_dict(flat, sep="/"))


def lack(flat):
    del flat["vision_model/embeddings/class_embedding"]


def lack_many(flat):
    for path in [path for path in flat if "encoder/layers/0" in path and "vision" in path]:
        del flat[path]


def have_more(flat):
    flat["vision_model/embeddings/extra"] = np.zeros(3, np.float32)


def differ(flat):
    flat["visual_projection/kernel"] = np.zeros((3, 5), np.float32)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lack, "lack: vision_model/embeddings/class_embedding;"),
        (lack_many, r"lack: vision_model/encoder/layers/0/layer_norm1/bias; .* and 11 more"),
        (have_more, "have too much: vision_model/embeddings/extra;"),
        (differ, r"differ: visual_projection/kernel is \(3, 5\), not \(16, 16\);"),
    ],
)
def test_pretrained_leaves_are_laid_over_strictly(pretrained, change, message):
    model = FewShotModel(MEAN_POOL, changed(pretrained, change))
    for make in (model.init, partial(jax.eval_shape, model.init)):
        with pytest.raises(WeightsError, match=message) as found:
            make(jax.random.key(0))
        assert "\n" not in str(found.value)


def test_pretrained_leaves_are_those_of_the_file(pretrained):
    params = FewShotModel(MEAN_POOL, pretrained).init(jax.random.key(0))
    assert params["head"] == {}
    given = flatten_dict(pretrained.params, sep="/")
    flat = flatten_dict(params["encoder"], sep="/")
    assert set(flat) == {path for path in given if path.startswith("vis")}
    for path, leaf in flat.items():
        np.testing.assert_array_equal(leaf, given[path])


def test_new_leaves_may_be_missing_and_are_random(pretrained):
    model = FewShotModel(replace(MEAN_POOL, encoder_name="adapted"), pretrained)
    one, again, other = (
        flatten_dict(model.init(jax.random.key(seed))["encoder"], sep="/") for seed in (0, 0, 1)
    )
    new = {path for path in one if "adapter" in path}
    assert new == {f"{tower}_model/encoder/layers/0/adapter/scale" for tower in ("vision", "text")}
    for path, leaf in one.items():
        np.testing.assert_array_equal(leaf, again[path])
        assert np.array_equal(leaf, other[path]) == (path not in new)
    # They may be given as well, as when a saved model goes on.
    given = flatten_dict(model.start, sep="/") | {path: np.full(16, 7.0) for path in new}
    started = model.init(jax.random.key(0), unflatten_dict(given, sep="/"))["encoder"]
    assert all(np.all(leaf == 7) for path, leaf in flatten_dict(started, sep="/").items()
               if path in new)  # fmt: skip
    with pytest.raises(WeightsError, match=r"differ: .*adapter/scale is \(3,\), not \(16,\)"):
        wrong = dict.fromkeys(new, np.zeros(3))
        model.init(jax.random.key(0), unflatten_dict(given | wrong, sep="/"))


def test_the_text_tower_is_a_parameter_only_if_it_is_trained(pretrained):
    given = paths(pretrained.params) - {"logit_scale"}
    texts = {path for path in given if path.startswith("text_")}
    assert texts and texts < given
    plain = FewShotModel(MEAN_POOL, pretrained)
    assert paths(plain.fixed) == texts
    assert paths(plain.shapes["encoder"]) == given - texts
    trained = FewShotModel(replace(MEAN_POOL, encoder=CLIPOptions(train_texts=True)), pretrained)
    assert trained.fixed == {}
    assert paths(trained.shapes["encoder"]) == given
    adapted = FewShotModel(replace(MEAN_POOL, encoder_name="adapted"), pretrained)
    assert paths(adapted.fixed) == texts
    new = {path for path in paths(adapted.shapes["encoder"]) if path.startswith("text_")}
    assert new == {"text_model/encoder/layers/0/adapter/scale"}

    def everything(path):
        return True

    def images(path):
        return not path.startswith("encoder/text_")

    changes = [[m.text_trained(f) for f in (everything, images)] for m in (plain, trained, adapted)]
    assert changes == [[False, False], [True, False], [True, False]]


TEXTS = [["a dog"], ["run", "to run quickly", "running"], ["two", "texts"]]


class Several(MeanPool):
    several_texts: ClassVar[bool] = True


def test_several_texts_are_their_mean(pretrained, monkeypatch):
    monkeypatch.setitem(METHODS, "several", Several)
    model = FewShotModel(MEAN_POOL, pretrained)
    params = model.init(jax.random.key(0))
    ids, mask = model.token_ids(TEXTS)
    assert ids.shape == (3, 3, 77) and ids.dtype == np.int32
    assert mask.tolist() == [[True, False, False], [True, True, True], [True, True, False]]
    tower = CLIPText(pretrained.config)
    branches = {name: pretrained.params[name] for name in ("text_model", "text_projection")}
    alone = [
        np.stack([tower.apply({"params": branches}, pretrained.tokenizer([text], 77))[0]
                  for text in own])
        for own in TEXTS
    ]  # fmt: skip
    expected = np.stack([own.mean(0) for own in alone])
    np.testing.assert_allclose(model.class_texts(params, ids, mask), expected, rtol=1e-5, atol=1e-6)
    given = model.class_texts(params, ids, mask, fixed=model.fixed)
    np.testing.assert_allclose(given, expected, rtol=1e-5, atol=1e-6)
    # Without a mask all count; absent texts are filled up with the first.
    filled = np.stack([alone[0][0], expected[1], (2 * alone[2][0] + alone[2][1]) / 3])
    np.testing.assert_allclose(model.class_texts(params, ids), filled, rtol=1e-5, atol=1e-6)

    whole = FewShotModel(replace(MEAN_POOL, method="several"), pretrained)
    found = np.asarray(whole.class_texts(params, ids, mask))
    assert found.shape == (3, 3, 16)
    for own, theirs in zip(found, alone, strict=True):
        np.testing.assert_allclose(own[: len(theirs)], theirs, rtol=1e-5, atol=1e-6)
        assert not own[len(theirs) :].any()  # absent texts are zeros

    monkeypatch.setattr(MeanPool, "normed_texts", True)
    units = [(own / np.linalg.norm(own, axis=1, keepdims=True)).mean(0) for own in alone]
    expected = [mean / np.linalg.norm(mean) for mean in units]
    np.testing.assert_allclose(model.class_texts(params, ids, mask), expected, rtol=1e-5, atol=1e-6)


class Textless(CLIPEncoder):
    has_texts: ClassVar[bool] = False
    unused_params: ClassVar[str] = r"^logit_scale$|^text_"


def test_an_encoder_without_texts_suits_methods_that_need_none(pretrained, monkeypatch):
    monkeypatch.setitem(ENCODERS, "textless", Textless)
    settings = replace(MEAN_POOL, encoder_name="textless")
    model = FewShotModel(settings, pretrained)
    ids, mask = model.token_ids(TEXTS)
    np.testing.assert_array_equal(
        model.class_texts(model.init(jax.random.key(0)), ids, mask), np.zeros((3, 16))
    )
    assert model.fixed == {}
    with pytest.raises(ConfigError, match="zero_shot needs class texts, but .* textless has none"):
        FewShotModel(replace(settings, method="zero_shot", head=ZeroShotConfig()), pretrained)
