"""Class names to prompts to text features."""

import numpy as np

from mdmf_jax.evaluation.text import class_tables
from mdmf_jax.models.encoders.clip.text import CLIPText
from mdmf_jax.weights.huggingface import load_clip


def test_tables_hold_the_features_of_the_prompts(clip_folder):
    clip = load_clip(clip_folder)
    names = {"val": ("red box", "x"), "test": ("blue box",)}
    tables = class_tables(clip, names, "a photo of {}")
    assert {part: table.shape for part, table in tables.items()} == {
        "val": (2, 16),
        "test": (1, 16),
    }
    ids = clip.tokenizer(["a photo of blue box"], 77)
    params = {name: clip.params[name] for name in ("text_model", "text_projection")}
    alone = CLIPText(clip.config).apply({"params": params}, ids)
    np.testing.assert_allclose(tables["test"], alone, rtol=1e-4, atol=1e-5)
