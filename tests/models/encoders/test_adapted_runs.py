"""Adapters in CLIP with methods that know nothing of them, from training to export."""

import io

import pytest
from flax.traverse_util import flatten_dict
from rich.console import Console
from whole_life import moved, save_load_and_export, start_and_end, train, train_and_resume

from configs import demo
from mdmf_jax.classifier.classifier import FewShotClassifier
from mdmf_jax.config.config import from_config_dict
from mdmf_jax.config.defaults import get_config
from mdmf_jax.evaluation.task import Task
from mdmf_jax.runs.evaluate import evaluate
from mdmf_jax.runs.train import make_run
from mdmf_jax.training.optimizer import split_params

LORA = {
    "encoder.adapter": "lora",
    "encoder.lora_rank": 2,
    "encoder.lora_dropout": 0.1,
    "encoder.lora_projections": ("q_proj", "v_proj", "fc2"),
    "encoder.lora_towers": ("image", "text"),
    "encoder.lora_orthogonal": True,
}
BOTTLENECK = {"encoder.adapter": "bottleneck", "encoder.bottleneck_width": 4}


def config_of(method, tiny, tmp_path, changes):
    settings = get_config(f"method={method}")
    store = {"eval.feature_cache": str(tmp_path / "store"), "eval.shots": (1,)}
    settings.update_from_flattened_dict(tiny | store | {"eval.untrained": False} | changes)
    return from_config_dict(settings)


@pytest.mark.slow
def test_lora_from_training_to_export(tiny, videos, tmp_path):
    config = config_of("clip_fsar", tiny, tmp_path, LORA)
    start, end = train_and_resume(config, tmp_path)
    changed = moved(start, end)
    assert changed >= {p for p in start if p.endswith(("/up", "/down"))}
    assert not any(p.startswith("encoder/") and "/adapter/" not in p for p in changed)
    assert not any(p.endswith("basis") for p in changed)

    found = evaluate(
        Task(episodes=7), checkpoint=tmp_path / "run", console=Console(file=io.StringIO())
    )
    assert found["episodes"] == 7
    fitted = FewShotClassifier.from_pretrained(tmp_path / "run").fit(videos / "test")
    asked = sorted((videos / "test").glob("*/*.mp4"))
    save_load_and_export(fitted, asked, tmp_path)


@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ("trx", BOTTLENECK),
        pytest.param("trx", LORA, marks=pytest.mark.slow),
        pytest.param("mdmf", LORA, marks=pytest.mark.slow),
        pytest.param("mdmf", BOTTLENECK, marks=pytest.mark.slow),
        pytest.param("clip_fsar", BOTTLENECK, marks=pytest.mark.slow),
    ],
)
def test_a_step_of_other_methods(method, changes, tiny, tmp_path):
    config = config_of(method, tiny, tmp_path, changes | {"train.steps": 2})
    train(config, tmp_path / "run")
    start, end = start_and_end(config, tmp_path / "run")
    # After two steps what lies before the layer that begins at zero has moved as well.
    changed = moved(start, end)
    own = {p for p in start if "/adapter/" in p and not p.endswith("basis")}
    own -= {p for p in own if "/text_model/" in p} if method == "trx" else set()
    assert own and {p for p in changed if p.startswith("encoder/")} == own


def test_the_demo_trains_its_adapters():
    for adapter, expected in (("none", False), ("lora", True), ("bottleneck", True)):
        settings = demo.get_config("method=otam")
        settings.encoder.adapter = adapter
        config = from_config_dict(settings)
        params = make_run(config).trainer.abstract_state.params
        trained = flatten_dict(split_params(params, config.frozen, may_be_all=True)[0], sep="/")
        assert bool(trained) == expected
        assert all("/adapter/" in path for path in trained)
