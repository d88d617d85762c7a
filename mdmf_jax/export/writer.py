"""Writes a model as a folder that runs with jax and numpy alone; see `load_exported`."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax
import numpy as np

from mdmf_jax import files
from mdmf_jax.classifier.bundle import NAME, load_bundle
from mdmf_jax.classifier.calibration import Calibration
from mdmf_jax.classifier.model import Model, pretrained
from mdmf_jax.classifier.support import SupportSet
from mdmf_jax.errors import ConfigError
from mdmf_jax.evaluation.provenance import versions
from mdmf_jax.export import load_exported
from mdmf_jax.export.programs import (
    MOST_SUPPORTS,
    PLATFORMS,
    programs_of,
    text_params,
    video_params,
)
from mdmf_jax.training.sharding import path_name


def export_path(
    path: str | Path, folder: str | Path, method: str = "otam", encoder: str | None = None
) -> list[str]:
    """Exports a fitted model, a run, a checkpoint or a CLIP; returns the names of its classes.

    Args:
      path: a folder that `fit` wrote (then its classes go along), or what `pretrained` takes.
      method, encoder: see `pretrained`.

    Raises:
      UserError: the model cannot be read, or the folder exists or cannot be written.
    """
    if (Path(path) / NAME).is_file():
        saved = load_bundle(path)
        export_model(folder, saved.model, saved.support, saved.calibration)
        return list(saved.support.classes)
    export_model(folder, pretrained(path, method, encoder))
    return []


def export_model(
    folder: str | Path,
    model: Model,
    support: SupportSet | None = None,
    calibration: Calibration | None = None,
) -> None:
    """Writes the folder, whole or not at all.

    It holds NAME.jaxexport for each stage, params.npz, support.npz if there are classes (else
    the text tower, with which the loader learns some), manifest.json and the loader.

    Raises:
      UserError: the folder exists or cannot be written, or there are too many support videos.
    """
    classes = list(support.classes) if support else []
    if support and (count := len(classes) * max(support.counts)) > MOST_SUPPORTS:
        raise ConfigError(
            f"{len(classes)} classes of up to {max(support.counts)} videos are {count} in an "
            f"exported model, which takes {MOST_SUPPORTS}; fit fewer videos a class"
        )
    takes_several = model.few_shot.method.several_texts  # texts [W, M, D]
    several = support.texts.shape[1] if support and takes_several else 1
    programs = programs_of(model.few_shot, with_texts=not classes, texts=several)
    with files.whole_folder(folder, ConfigError) as temporary:
        for name, data in programs.items():
            (temporary / f"{name}.jaxexport").write_bytes(data)
        _save(temporary / "params.npz", _params(model, with_texts=not classes))
        if support:
            _save(temporary / "support.npz", _support(model, support))
        shutil.copyfile(load_exported.__file__, temporary / "load_exported.py")
        manifest = _manifest(model, classes) | {
            "calibration": asdict(calibration) if calibration else None,
            "files": {p.name: files.sha256_of(p) for p in sorted(temporary.iterdir())},
        }
        text = json.dumps(manifest, indent=2) + "\n"
        (temporary / load_exported.MANIFEST).write_text(text, encoding="utf-8")


def _save(path: Path, arrays: dict[str, Any]) -> None:
    np.savez(path, **arrays)


def _manifest(model: Model, classes: list[str]) -> dict[str, Any]:
    clips, few_shot = model.settings.clips, model.few_shot
    shapes = few_shot.encoder.example(clips.frames)
    return {
        "format": load_exported.FORMAT,
        "method": few_shot.settings.method,
        "encoder": few_shot.settings.encoder_name,
        "frames": clips.frames,
        "size": clips.crop,
        "modalities": {name: shapes[name].shape[-1] for name in sorted(shapes)},
        "features": {n: list(x.shape) for n, x in sorted(few_shot.feature_shapes.items())},
        # How clips were cut from videos, for those who cut their own.
        "resize": clips.resize,
        "pipeline": clips.pipeline,
        "sampling": clips.sampling,
        "test_clips": clips.test_clips,
        "seed": clips.seed,
        "prompt": model.settings.prompt,
        "text_length": few_shot.encoder.text_length,
        "text_width": few_shot.width,
        "platforms": list(PLATFORMS),
        "most_supports": MOST_SUPPORTS,
        "versions": versions(),
        "classes": classes,
    }


def _params(model: Model, with_texts: bool) -> dict[str, np.ndarray]:
    few_shot, params = model.few_shot, model.params
    tree = {"encoder": video_params(few_shot, params["encoder"]), "head": params["head"]}
    if with_texts and few_shot.encoder.has_texts:
        tree["text"] = text_params(few_shot, params["encoder"])
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {path_name(path): np.asarray(leaf) for path, leaf in leaves}


def _support(model: Model, support: SupportSet) -> dict[str, np.ndarray]:
    tree, mask = support.stacked(model.stages)
    leaves = {f"leaf{i}": np.asarray(x) for i, x in enumerate(jax.tree.leaves(tree))}
    return leaves | {"texts": support.texts, "mask": mask}
