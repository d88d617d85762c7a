"""The settings in a classifier that version 0.1.0 saved."""

from mdmf_jax.classifier.old_bundle import read_format_1
from mdmf_jax.classifier.settings import settings_from_dict, settings_to_dict

# Of CLIP-MDMF with the matcher "segments", as version 0.1.0 wrote them.
TUPLES = {
    "levels": [1, 2, 3, 4], "tuples": [7, 4, 3, 2], "at_test": "fixed", "width": 1152,
    "dropout": 0.1, "transport_strength": 1.0, "transport_iterations": 100,
    "transport_tolerance": 1e-05, "l2_weight": 0.0, "transport_weight": 0.0, "fusion_weight": 1.0,
}  # fmt: skip
HEAD = {
    "frames_kept": 4, "pps": True, "pps_at_test": "argmax", "text_token": "text", "depth": 1,
    "heads": 8, "hidden": 2048, "attention_dropout": 0.2, "ffn_dropout": 0.05, "tcn_dropout": 0.1,
    "matcher": "segments", "smoothing": 0.25, "bidirectional": True, "direction": "both",
    "condition": "text_and_visual", "teacher_gradient": False, "reduction": "mean",
    "views": "both", "class_weight": 0.0, "query_weight": 1.0, "distill_weight": 1.0,
}  # fmt: skip
SAVED = {
    "method": "mdmf", "prompt": "{}!", "normalise": "clip", "frames": 8, "resize": 256,
    "crop": 224, "pipeline": "mdmf", "sampling": "ends", "test_views": 3, "head": HEAD,
    "segments": TUPLES,
}  # fmt: skip


def test_old_names_are_read():
    settings = settings_from_dict(read_format_1(SAVED)[0])
    head, tuples = settings.model.head, settings.model.sections["tuples"]
    assert (head.matcher, head.temperature, tuples.counts) == ("tuples", 0.25, (7, 4, 3, 2))
    assert (settings.prompt, settings.clips.test_clips, settings.clips.frames) == ("{}!", 3, 8)
    assert settings_from_dict(settings_to_dict(settings)) == settings


def test_a_method_without_tuples_reads_none():
    otam = SAVED | {"method": "otam", "head": {"smoothing": 0.25, "bidirectional": False}}
    model = settings_from_dict(read_format_1(otam)[0]).model
    assert (model.head.temperature, model.sections) == (0.25, {})
