"""What a train step encodes: videos with random numbers for each episode, texts that change."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict

from mdmf_jax.model import FewShotModel
from mdmf_jax.models.encoders.options import CLIPOptions
from mdmf_jax.models.methods.zero_shot import ZeroShotConfig
from mdmf_jax.models.model_settings import ModelSettings
from mdmf_jax.training.steps import ClassTexts, batch_metrics, encoded
from mdmf_jax.weights.pretrained import load_pretrained

SEED = 7


def test_an_encoder_that_draws_does_so_for_each_episode(stand):
    class Drops(stand.Encoder):
        rngs = ("dropout",)

        def videos(self, videos, texts=None, *, train=False, episode=None):
            frames = super().videos(videos)["frames"]
            if not train:  # only the shapes of the features are asked for
                return {"frames": frames}
            kept = jax.random.bernoulli(self.make_rng("dropout"), 0.5, frames.shape)
            return {"frames": frames * kept}

    model = stand.model(Drops)
    params, keys = model.init(jax.random.key(0)), jax.random.split(jax.random.key(SEED), 3)
    batch = stand.batch(episodes=1)
    batch = jax.tree.map(lambda x: np.repeat(x, 3, axis=0), batch)  # the same episode again

    def encode(rows):
        part = jax.tree.map(lambda x: x[rows], batch)
        found = encoded(model, params, part, keys[rows])
        return found["support"]["frames"], found["query"]["frames"]

    whole = encode(slice(0, 3))
    for each in whole:
        kept = np.asarray(each) != 0
        assert 0.4 < kept.mean() < 0.6
        assert not np.array_equal(kept[0], kept[1]) and not np.array_equal(kept[1], kept[2])
    for row in range(3):  # whatever other episodes there are
        for ours, theirs in zip(encode(slice(row, row + 1)), whole, strict=True):
            np.testing.assert_allclose(ours[0], theirs[row], rtol=1e-6)
    plain = encoded(stand.model(), params, batch, keys)["query"]["frames"]
    kept = np.asarray(whole[1]) != 0
    np.testing.assert_allclose(whole[1][kept], plain[kept], rtol=1e-6)


def test_texts_that_are_trained_are_encoded_in_the_step(clip_folder):
    settings = ModelSettings("zero_shot", ZeroShotConfig(), "clip", CLIPOptions(), 2)
    pretrained = load_pretrained("clip", clip_folder)
    rng, found = np.random.default_rng(0), []
    batch = {
        "support": {"rgb": rng.integers(0, 256, (2, 2, 1, 2, 16, 16, 3), np.uint8)},
        "query": {"rgb": rng.integers(0, 256, (2, 3, 2, 16, 16, 3), np.uint8)},
        "query_labels": np.array([[0, 1, 1], [1, 0, 0]]),
        "class_ids": np.array([[2, 0], [1, 2]]),
    }
    keys, key = jax.random.split(jax.random.key(SEED)), jax.random.key(SEED)
    for train_texts in (False, True):
        encoder = CLIPOptions(train_texts=train_texts)
        model = FewShotModel(replace(settings, encoder=encoder), pretrained)
        params = model.init(key)
        ids, mask = model.token_ids([["walk"], ["run", "running"], ["jump"]])
        texts = ClassTexts(model.class_texts(params, ids, mask))
        if train_texts:
            texts = ClassTexts(None, jnp.asarray(ids), jnp.asarray(mask), model.fixed)

        def loss(params, model=model, texts=texts):
            return batch_metrics(model, params, batch, texts, keys, key)["loss"]

        found.append(jax.jit(jax.value_and_grad(loss))(params))
    (constant, few), (value, gradient) = found
    np.testing.assert_allclose(value, constant, rtol=1e-5)
    trained, before = (flatten_dict(g["encoder"], sep="/") for g in (gradient, few))
    for path, slope in before.items():
        np.testing.assert_allclose(trained[path], slope, rtol=1e-3, atol=1e-5)
    words = {path: x for path, x in trained.items() if path.startswith("text_")}
    assert words.keys() == trained.keys() - before.keys()
    assert np.abs(words["text_projection/kernel"]).max() > 1e-3
