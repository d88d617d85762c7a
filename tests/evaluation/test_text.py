"""Class names to class texts to text features."""

import numpy as np

from mdmf_jax.evaluation.text import ClassTable, class_texts_of
from mdmf_jax.model import FewShotModel
from mdmf_jax.models.encoders.clip.text import CLIPText
from mdmf_jax.models.encoders.options import CLIPOptions
from mdmf_jax.models.methods.registry import config_class
from mdmf_jax.models.model_settings import ModelSettings
from mdmf_jax.weights.huggingface import load_clip


def test_tables_hold_the_features_of_the_prompts(clip_folder):
    clip = load_clip(clip_folder)
    names = {"val": ("red box", "x"), "test": ("blue box",)}
    options, head = CLIPOptions(path=str(clip_folder)), config_class("zero_shot")()
    model = FewShotModel(ModelSettings("zero_shot", head, "clip", options, frames=3))
    texts = {split: class_texts_of("a photo of {}", own) for split, own in names.items()}
    table = ClassTable(model, texts)
    start = {"encoder": model.start, "head": {}}
    tables = {split: table.features(start, split) for split in names}
    assert {split: found.shape for split, found in tables.items()} == {
        "val": (2, 16),
        "test": (1, 16),
    }
    ids = clip.tokenizer(["a photo of blue box"], 77)
    params = {name: clip.params[name] for name in ("text_model", "text_projection")}
    alone = CLIPText(clip.config).apply({"params": params}, ids)
    np.testing.assert_allclose(tables["test"], alone, rtol=1e-4, atol=1e-5)
