"""A fitted classifier as a folder: model.json, clip/, head.safetensors, support.safetensors.

Nothing in it is ever unpickled, and no checkpoint is needed beside it.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax
import numpy as np
from safetensors.numpy import save

from mdmf_jax import files
from mdmf_jax.classifier.calibration import SCORES, Calibration
from mdmf_jax.classifier.model import Model, head_shapes
from mdmf_jax.classifier.settings import settings_from_dict, settings_to_dict
from mdmf_jax.classifier.support import SupportClass, SupportSet
from mdmf_jax.errors import CheckpointError, UserError
from mdmf_jax.evaluation.provenance import versions
from mdmf_jax.training.sharding import path_name
from mdmf_jax.weights.files import read_safetensors
from mdmf_jax.weights.huggingface import load_clip, save_clip

FORMAT = 1
NAME = "model.json"
_FILES = ("head.safetensors", "support.safetensors")
_ARRAYS = ("text", "features", "frames")


def save_bundle(
    folder: str | Path, model: Model, support: SupportSet, calibration: Calibration
) -> None:
    """Writes the folder whole or not at all; it may replace an older model.

    Raises:
      CheckpointError: something else lies there, or it cannot be written.
    """
    folder = Path(folder).absolute()
    if folder.exists() and not (folder / NAME).is_file() and not files.is_empty(folder):
        raise CheckpointError(f"{folder} exists and is no saved model; give another folder")
    with files.whole_folder(folder, CheckpointError, replace=True) as temporary:
        _write(temporary, model, support, calibration)


def load_bundle(folder: str | Path) -> tuple[Model, SupportSet, Calibration]:
    """Reads and checks what `save_bundle` wrote.

    Raises:
      UserError: a file is missing, changed or does not fit the others; one line.
    """
    folder = Path(folder)
    if not (folder / NAME).is_file():
        raise CheckpointError(f"{folder}: holds no {NAME}; give the folder of a saved model")
    content = files.read_json(folder / NAME, CheckpointError)
    _check_format(folder, content)
    _check_files(folder, content)
    try:
        settings = settings_from_dict(content["settings"])
        clip = load_clip(folder / "clip")
        head = _tree(read_safetensors(folder / _FILES[0]))
        _check_head(head, head_shapes(settings, clip))
        arrays = read_safetensors(folder / _FILES[1])
        sizes = settings.frames, clip.config.projection_dim
        support = SupportSet(_classes(content["classes"], arrays, sizes))
        calibration = _calibration(content["calibration"])
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{folder / NAME} is not as this program writes it: {error}"
        ) from None
    except UserError as error:
        raise type(error)(f"{folder}: {error}") from error
    return Model(settings, clip, head), support, calibration


def _write(folder: Path, model: Model, support: SupportSet, calibration: Calibration) -> None:
    params = jax.tree.map(np.asarray, model.clip.params)
    save_clip(folder / "clip", model.clip.config, params, model.clip.tokenizer)
    leaves = jax.tree_util.tree_leaves_with_path(model.head)
    head = {path_name(path): np.ascontiguousarray(leaf) for path, leaf in leaves}
    files.write_whole(folder / _FILES[0], save(head), CheckpointError)
    arrays = {
        f"{number}.{name}": np.ascontiguousarray(getattr(class_, name))
        for number, class_ in enumerate(support.classes.values())
        for name in _ARRAYS
    }
    files.write_whole(folder / _FILES[1], save(arrays), CheckpointError)
    content = {
        "format": FORMAT,
        "settings": settings_to_dict(model.settings),
        "classes": [
            {"name": name, "prompt": c.prompt, "videos": c.sources}
            for name, c in support.classes.items()
        ],
        "calibration": asdict(calibration),
        "versions": versions(),
        "files": {
            path.relative_to(folder).as_posix(): files.sha256_of(path, CheckpointError)
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        },
    }
    files.write_json(folder / NAME, content, CheckpointError)


def _check_format(folder: Path, content: dict[str, Any]) -> None:
    found = content.get("format")
    if found != FORMAT:
        raise CheckpointError(
            f"{folder / NAME} has the format {found!r}, this program reads {FORMAT}; fit the model "
            "again, or use the version that wrote it"
        )


def _check_files(folder: Path, content: dict[str, Any]) -> None:
    listed = content.get("files")
    if not isinstance(listed, dict) or not set(_FILES) <= listed.keys():
        raise CheckpointError(f"{folder / NAME}: its list of files is incomplete; fit again")
    for name, expected in listed.items():
        path = folder / name
        if ".." in Path(name).parts or not path.is_file():
            raise CheckpointError(f"{path} is missing; fit the model again")
        if files.sha256_of(path, CheckpointError) != expected:
            raise CheckpointError(f"{path} has changed since it was saved; fit the model again")


def _check_head(head: Any, wanted: Any) -> None:
    found, needed = _shapes(head), _shapes(wanted)
    for name in sorted(found.keys() | needed.keys()):
        if found.get(name) != needed.get(name):
            raise CheckpointError(
                f"{_FILES[0]} is of another method: {name} is {found.get(name, 'absent')}, "
                f"{needed.get(name, 'absent')} is needed"
            )


def _classes(entries, arrays, sizes) -> dict[str, SupportClass]:
    classes = {}
    for number, entry in enumerate(entries):
        text, features, frames = (arrays[f"{number}.{name}"] for name in _ARRAYS)
        name, prompt, videos = entry["name"], entry["prompt"], entry["videos"]
        fits = (
            features.shape[1:] == sizes
            and text.shape == sizes[1:]
            and frames.shape[:2] == features.shape[:2]
            and frames.dtype == np.uint8
            and len(features) == len(videos) > 0
            and np.isfinite(features).all()
            and isinstance(name, str)
            and isinstance(prompt, str)
            and name not in classes
        )
        if not fits:
            raise CheckpointError(f"the arrays of class {number} do not fit {NAME}")
        classes[name] = SupportClass(prompt, text, features, [str(v) for v in videos], frames)
    return classes


def _calibration(values: dict[str, Any]) -> Calibration:
    numbers = {name: (int, float) for name in ("temperature", "threshold", "target")}
    kinds = numbers | {"score": str, "origin": str, "known": int, "foreign": int}
    kinds["auroc"] = (int, float, type(None))
    fits = values.keys() == kinds.keys() and all(isinstance(values[k], kinds[k]) for k in kinds)
    if not fits or values["score"] not in SCORES or not values["temperature"] > 0:
        raise CheckpointError("its calibration is incomplete or of another version; fit again")
    return Calibration(**values)


def _tree(flat: dict[str, np.ndarray]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, array in flat.items():
        *folders, leaf = name.split("/")
        place = tree
        for part in folders:
            place = place.setdefault(part, {})
        place[leaf] = array
    return tree


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {path_name(path): tuple(leaf.shape) for path, leaf in leaves}
