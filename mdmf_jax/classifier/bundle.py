"""A fitted classifier as a folder: model.json, the encoder's files, and arrays.

The encoder's pretrained leaves, trained or not, lie in the layout of their kind (clip/), other
leaves of the encoder in encoder.safetensors, the method's in head.safetensors, the classes in
support.safetensors. Nothing in it is ever unpickled, and no checkpoint is needed beside it.
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from safetensors.numpy import save

from mdmf_jax import files
from mdmf_jax.classifier.calibration import SCORES, Calibration
from mdmf_jax.classifier.model import Model
from mdmf_jax.classifier.old_bundle import read_format_1
from mdmf_jax.classifier.settings import settings_from_dict, settings_to_dict
from mdmf_jax.classifier.support import SupportClass, SupportSet
from mdmf_jax.classifier.verdict import Verdict, verdict_from_dict
from mdmf_jax.errors import CheckpointError, UserError
from mdmf_jax.evaluation.provenance import versions
from mdmf_jax.model import FewShotModel, Params
from mdmf_jax.models.encoders.registry import encoder_class
from mdmf_jax.training.restore import check_shapes
from mdmf_jax.weights.files import read_safetensors
from mdmf_jax.weights.overlay import divide, merged
from mdmf_jax.weights.pretrained import load_pretrained, save_pretrained

FORMAT = 2
NAME = "model.json"
HEAD, ENCODER, SUPPORT = "head.safetensors", "encoder.safetensors", "support.safetensors"
_AGAIN = "fit the model again"


class Saved(NamedTuple):
    """What a folder holds; no verdict if an older version wrote it."""

    model: Model
    support: SupportSet
    calibration: Calibration
    verdict: Verdict | None


def save_bundle(folder: files.Name, saved: Saved) -> None:
    """Writes the folder whole or not at all; it may replace an older model.

    Raises:
      CheckpointError: something else lies there, or it cannot be written.
    """
    place = files.path(folder)
    if place.exists() and not (place / NAME).is_file() and not files.is_empty(place):
        raise CheckpointError(f"{folder} exists and is not a saved model; give another folder")
    with files.whole_folder(folder, CheckpointError, replace=True) as temporary:
        _write(temporary, saved)


def load_bundle(folder: files.Name) -> Saved:
    """Reads and checks what `save_bundle` wrote, also what version 0.1.0 wrote.

    Raises:
      UserError: a file is missing, changed or does not fit the others; one line.
    """
    folder = Path(folder)
    if not (folder / NAME).is_file():
        raise CheckpointError(f"{folder}: holds no {NAME}; give the folder of a saved model")
    content = files.read_json(folder / NAME, CheckpointError, _AGAIN)
    _check_format(folder, content)
    _check_files(folder, content)
    try:
        settings_values, read_arrays = content["settings"], _class_arrays
        if content["format"] == 1:
            settings_values, read_arrays = read_format_1(content["settings"])
        settings = settings_from_dict(settings_values)
        kind = encoder_class(settings.model.encoder_name).reads
        few_shot = FewShotModel(
            settings.model, load_pretrained(kind, folder / kind) if kind else None
        )
        params = _params(folder, few_shot)
        arrays = read_safetensors(folder / SUPPORT)
        support = SupportSet(_classes(content["classes"], arrays, few_shot, read_arrays))
        calibration = _calibration(content["calibration"])
        judged = content.get("verdict")
        verdict = None if judged is None else verdict_from_dict(judged)
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{folder / NAME} is not as this program writes it: {error}"
        ) from None
    except UserError as error:
        raise type(error)(f"{folder}: {error}") from error
    return Saved(Model(settings, few_shot, params), support, calibration, verdict)


def _write(folder: Path, saved: Saved) -> None:
    model, support = saved.model, saved.support
    few_shot, params = model.few_shot, jax.tree.map(np.asarray, model.params)
    own = flatten_dict(few_shot.start, sep="/")
    old, new = divide(params["encoder"], lambda path: path in own)
    if few_shot.pretrained:
        # The pretrained leaves in use, those of the text tower and those that are never used.
        whole = flatten_dict(few_shot.pretrained.params, sep="/")
        whole |= flatten_dict(old, sep="/")
        pretrained = few_shot.pretrained._replace(params=unflatten_dict(whole, sep="/"))
        save_pretrained(few_shot.encoder.reads, folder / few_shot.encoder.reads, pretrained)
    for name, tree in ((ENCODER, new), (HEAD, params["head"])):
        (folder / name).write_bytes(save(_contiguous(flatten_dict(tree, sep="/"))))
    (folder / SUPPORT).write_bytes(save(_contiguous(_support_arrays(support))))
    content = {
        "format": FORMAT,
        "settings": settings_to_dict(model.settings),
        "classes": [
            {"name": name, "prompt": c.prompt, "videos": c.sources}
            | {"digests": c.digests, "groups": c.groups}
            for name, c in support.classes.items()
        ],
        "calibration": asdict(saved.calibration),
        "verdict": saved.verdict.to_dict() if saved.verdict else None,
        "versions": versions(),
        "files": {
            path.relative_to(folder).as_posix(): files.sha256_of(path)
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        },
    }
    files.write_json(folder / NAME, content)


def _contiguous(arrays: Mapping[str, Any]) -> dict[str, np.ndarray]:
    return {name: np.asarray(x, order="C") for name, x in arrays.items()}  # scalars stay scalars


def _support_arrays(support: SupportSet) -> dict[str, np.ndarray]:
    arrays = {}
    for number, class_ in enumerate(support.classes.values()):
        arrays |= {f"{number}.text": class_.text, f"{number}.pictures": class_.pictures}
        arrays |= {f"{number}.features.{name}": x for name, x in class_.features.items()}
        arrays |= {f"{number}.clips.{name}": x for name, x in (class_.clips or {}).items()}
    return arrays


def _class_arrays(arrays: Mapping[str, np.ndarray], number: int):
    """(text, features by name, pictures) of a class."""
    features = _below(f"{number}.features.", arrays)
    return arrays[f"{number}.text"], features, arrays[f"{number}.pictures"]


def _below(start: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {n.removeprefix(start): x for n, x in arrays.items() if n.startswith(start)}


def _clips_fit(clips: Mapping[str, np.ndarray], count: int, few_shot: FewShotModel) -> bool:
    """Whether clips [K, V, T, H, W, C] are what the encoder takes of so many videos."""
    encoder = few_shot.encoder
    if encoder.unit == "video":
        return not clips
    shapes = {n: x.shape[1:] for n, x in encoder.example(few_shot.settings.frames).items()}
    return {n: x.shape[2:] for n, x in clips.items()} == shapes and all(
        len(x) == count and x.dtype == np.uint8 for x in clips.values()
    )


def _params(folder: Path, few_shot: FewShotModel) -> Params:
    """The parameters, checked against the model."""
    new = read_safetensors(folder / ENCODER) if (folder / ENCODER).is_file() else {}
    encoder = merged(few_shot.start, unflatten_dict(new, sep="/"))
    head = unflatten_dict(read_safetensors(folder / HEAD), sep="/")
    for name, tree, origin in (("encoder", encoder, ENCODER), ("head", head, HEAD)):
        check_shapes(tree, few_shot.shapes[name], origin)
    return {"encoder": encoder, "head": head}


def _check_format(folder: Path, content: dict[str, Any]) -> None:
    found = content.get("format")
    if found not in (1, FORMAT):
        raise CheckpointError(
            f"{folder / NAME} has the format {found!r}, this program reads {FORMAT}; fit the model "
            "again, or use the version that wrote it"
        )


def _check_files(folder: Path, content: dict[str, Any]) -> None:
    listed = content.get("files")
    if not isinstance(listed, dict) or not {HEAD, SUPPORT} <= listed.keys():
        raise CheckpointError(f"{folder / NAME}: its list of files is incomplete; {_AGAIN}")
    for name, expected in listed.items():
        path = folder / name
        if ".." in Path(name).parts or not path.is_file():
            raise CheckpointError(f"{path} is missing; {_AGAIN}")
        if files.sha256_of(path, CheckpointError) != expected:
            raise CheckpointError(f"{path} has changed since it was saved; {_AGAIN}")


def _classes(entries, arrays, few_shot: FewShotModel, read_arrays) -> dict[str, SupportClass]:
    classes = {}
    shapes = {name: x.shape for name, x in few_shot.feature_shapes.items()}
    width = few_shot.width
    for number, entry in enumerate(entries):
        text, features, pictures = read_arrays(arrays, number)
        name, prompt, videos = entry["name"], entry["prompt"], entry["videos"]
        clips = _below(f"{number}.clips.", arrays)
        fits = (
            {n: x.shape[1:] for n, x in features.items()} == shapes
            and {len(x) for x in features.values()} == {len(videos)}
            and all(np.isfinite(x).all() for x in features.values())
            and text.shape[-1] == width
            and pictures.shape[:2] == (len(videos), few_shot.settings.frames)
            and pictures.dtype == np.uint8
            and _clips_fit(clips, len(videos), few_shot)
            and len(videos) > 0
            and isinstance(name, str)
            and isinstance(prompt, str)
            and name not in classes
        )
        if not fits:
            raise CheckpointError(f"the arrays of class {number} do not fit {NAME}")
        sources = [str(video) for video in videos]
        more = [_names(entry.get(key), len(videos)) for key in ("digests", "groups")]
        classes[name] = SupportClass(
            prompt, text, features, sources, pictures, *more, clips=clips or None
        )
    return classes


def _names(values: Any, count: int) -> list[str] | None:
    """One text for each video, or None: older models have none."""
    if values is None:
        return None
    if len(values) != count or not all(isinstance(value, str) for value in values):
        raise TypeError(f"{len(values)} digests or groups for {count} videos")
    return list(values)


def _calibration(values: dict[str, Any]) -> Calibration:
    numbers = {name: (int, float) for name in ("temperature", "threshold", "target")}
    kinds = numbers | {"score": str, "origin": str, "known": int, "foreign": int}
    kinds["auroc"] = kinds["temperature"] = (int, float, type(None))
    kinds["evidence"] = (bool, type(None))
    values = {"evidence": None} | values  # older models were not judged
    fits = values.keys() == kinds.keys() and all(isinstance(values[k], kinds[k]) for k in kinds)
    temperature = values.get("temperature")
    if not fits or values["score"] not in SCORES or not (temperature is None or temperature > 0):
        raise CheckpointError("its calibration is incomplete or of another version; fit again")
    return Calibration(**values)
