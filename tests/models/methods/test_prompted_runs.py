"""CLIP-SPM and EMP-Net from training to export."""

import io

import pytest
from rich.console import Console
from whole_life import moved, save_load_and_export, train_and_resume

from mdmf_jax.classifier.classifier import FewShotClassifier
from mdmf_jax.config.config import from_config_dict
from mdmf_jax.config.defaults import get_config
from mdmf_jax.errors import ConfigError
from mdmf_jax.evaluation.task import Task
from mdmf_jax.runs.evaluate import evaluate
from mdmf_jax.runs.train import make_run

OPTIONS = {
    "clip_spm": {"clip_spm.heads": 2, "clip_spm.inner": 16, "clip_spm.hidden": 16},
    "emp_net": {"emp_net.top_patches": 2},
}


def config_of(method, tiny, tmp_path, **changes):
    settings = get_config(f"method={method}")
    store = {"eval.feature_cache": str(tmp_path / "store"), "eval.shots": (1,)}
    own = {f"{method}.bidirectional": False} | OPTIONS[method] | changes
    settings.update_from_flattened_dict(tiny | store | {"eval.untrained": False} | own)
    return from_config_dict(settings)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["clip_spm", pytest.param("emp_net", marks=pytest.mark.slow)])
def test_from_training_to_export(method, tiny, videos, tmp_path):
    config = config_of(method, tiny, tmp_path)
    start, end = train_and_resume(config, tmp_path)
    changed = moved(start, end)
    tower = {path for path in start if path.startswith("encoder/") and "adapter" not in path}
    assert tower and (changed & tower == (set() if method == "emp_net" else tower))
    assert start.keys() - changed == (tower if method == "emp_net" else {"head/scale"})

    found = evaluate(
        Task(episodes=7), checkpoint=tmp_path / "run", console=Console(file=io.StringIO())
    )
    assert found["episodes"] == 7
    fitted = FewShotClassifier.from_pretrained(tmp_path / "run").fit(videos / "test")
    asked = sorted((videos / "test").glob("*/*.mp4"))
    save_load_and_export(fitted, asked, tmp_path)


def test_too_few_patches_get_one_line(tiny, tmp_path):
    config = config_of("emp_net", tiny, tmp_path, **{"emp_net.top_patches": 49})
    with pytest.raises(ConfigError, match="top_patches is 49, but .* 4 patches: set it to 4"):
        make_run(config)
