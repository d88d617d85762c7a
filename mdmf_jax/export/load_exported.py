"""Runs a model that `mdmf_jax export --format=jax` wrote; a copy lies in every such folder.

Needs jax and numpy, and flatbuffers, a small package of pure Python with which jax reads exported
programs. Nothing of mdmf_jax or flax is imported.

    from load_exported import load_exported

    model = load_exported("exported")
    labels = model.predict(clips)  # uint8 [N, T, S, S, 3]; model.frames is T, model.size is S
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import export

MANIFEST = "manifest.json"
FORMAT = 2
UNKNOWN = "unknown"
LEAST_PROBABILITY = 0.05  # of the nearest class, between chance (0) and certainty (1)
BATCHES = (1, 8)  # clips at once: a few sizes, as each is compiled


class ExportError(ValueError):
    """An exported folder is incomplete, changed or of another version, or does not fit."""


def load_exported(folder: str | Path) -> "ExportedModel":
    """The model of an exported folder; every file's SHA-256 is compared with the manifest.

    Raises:
      ExportError: a file is missing or has changed, or flatbuffers is not installed.
    """
    folder = Path(folder)
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if manifest["format"] != FORMAT:
            raise ExportError(f"{folder}: has the format {manifest['format']!r}, not {FORMAT}")
        for name, expected in manifest["files"].items():
            if Path(name).name != name or _sha256(folder / name) != expected:
                raise ExportError(f"{folder / name} has changed since it was written; export again")
        return ExportedModel(folder, manifest)
    except (OSError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise ExportError(f"{folder}: is not a complete exported model ({error})") from error


class ExportedModel:
    """An encoder, a method and, once they are known, classes.

    Attributes:
      manifest: what manifest.json says.
      classes: names of the classes; empty before `learn` if the folder holds none.
      frames, size: T and S of the clips that it takes.
    """

    def __init__(self, folder: Path, manifest: Mapping[str, Any]):
        self.manifest = manifest
        self.frames, self.size = manifest["frames"], manifest["size"]
        self.classes: list[str] = list(manifest["classes"])
        self._calibration = manifest["calibration"]
        try:
            self._programs = {
                path.stem: jax.jit(export.deserialize(bytearray(path.read_bytes())).call)
                for path in (folder / name for name in manifest["files"])
                if path.suffix == ".jaxexport"
            }
        except ImportError as error:
            raise ExportError(f"{error}: pip install flatbuffers") from error
        self._params = jax.device_put(_params(_arrays(folder / "params.npz")))
        self._support: dict[str, Any] = {}
        if self.classes:
            arrays = _arrays(folder / "support.npz")
            leaves = tuple(arrays[f"leaf{i}"] for i in range(len(arrays) - 2))
            self._support = {"texts": arrays["texts"], "mask": arrays["mask"], "leaves": leaves}

    def encode(self, clips: Any) -> dict[str, np.ndarray]:
        """Features of clips by name, such as "frames" float32 [N, T, D].

        Args:
          clips: uint8 [N, T, S, S, 3], or a mapping of such arrays by modality. Clips
            [N, V, T, S, S, 3] are V test clips of each video, whose features are averaged.
        """
        channels = self.manifest["modalities"]
        given = clips if isinstance(clips, Mapping) else {next(iter(channels)): clips}
        if given.keys() != channels.keys():
            raise ExportError(f"clips are of {', '.join(given)}, not of {', '.join(channels)}")
        arrays = {name: np.asarray(given[name]) for name in channels}
        for name, array in arrays.items():
            shape = (self.frames, self.size, self.size, channels[name])
            if array.dtype != np.uint8 or array.ndim not in (5, 6) or array.shape[-4:] != shape:
                raise ExportError(f"clips are {array.dtype} {array.shape}, not uint8 (N, *{shape})")
        several = next(iter(arrays.values())).shape[:-4]
        flat = tuple(array.reshape(-1, *array.shape[-4:]) for array in arrays.values())
        program, params = self._programs["encode"], self._params["encoder"]
        found = _in_batches(lambda part: program(params, part), flat)
        return {
            name: x.reshape(*several, *x.shape[1:]).mean(axis=tuple(range(1, len(several))))
            for name, x in zip(self.manifest["features"], found, strict=True)
        }

    def encode_texts(self, ids: np.ndarray) -> np.ndarray:
        """Text features float32 [N, D] of token ids [N, L], if the folder has a text tower."""
        if "texts" not in self._programs:
            raise ExportError("this folder holds fitted classes and no text tower")
        params = self._params["encoder"], self._params["text"]
        return _in_batches(
            lambda part: self._programs["texts"](*params, part), np.asarray(ids, np.int32)
        )

    def learn(self, clips: Mapping[str, Any], texts: np.ndarray) -> "ExportedModel":
        """Learns classes anew.

        Args:
          clips: of each class by name, uint8 [K, T, S, S, 3]; K may differ.
          texts: features of the classes' prompts [W, D], in the same order.
        """
        texts = np.asarray(texts, np.float32)
        most = max(len(some) for some in clips.values())
        rows = []
        for text, some in zip(texts, clips.values(), strict=True):
            features = self._leaves(some)
            leaves = self._outputs("supports", features, np.repeat(text[None], len(some), 0))
            rows.append([_padded(leaf, most) for leaf in leaves])
        leaves = tuple(np.stack(leaf) for leaf in zip(*rows, strict=True))
        mask = np.array([np.arange(most) < len(some) for some in clips.values()])
        self._support = {"texts": texts, "mask": mask, "leaves": leaves}
        self.classes, self._calibration = list(clips), None
        return self

    def logits(self, clips: Any) -> np.ndarray:
        """[N, W] in the order of `classes`."""
        if not self.classes:
            raise ExportError("no classes are known yet; call learn")
        features, head, support = self._leaves(clips), self._params["head"], self._support
        width = support["texts"].shape[1:]  # of a class: [D], or [M, D] for several texts
        texts = np.zeros((len(features[0]), *width), np.float32)  # for methods that choose none
        if "scores" in self._programs:
            scores = _in_batches(
                lambda part: self._programs["scores"](head, part, support["texts"]), features
            )
            texts = support["texts"][scores.argmax(-1)]
        match, given = self._programs["match"], (support["texts"], support["mask"])
        return _in_batches(
            lambda part: match(head, support["leaves"], part, *given),
            self._outputs("queries", features, texts),
        )

    def predict_proba(self, clips: Any) -> np.ndarray:
        """Probabilities [N, W]; with the fitted temperature, if the folder has one."""
        return self._posteriors(self.logits(clips))

    def _posteriors(self, logits: np.ndarray) -> np.ndarray:
        temperature = (self._calibration or {"temperature": 1.0})["temperature"]
        # No temperature: the logits hold no information, all classes are equally probable.
        logits = logits / temperature if temperature else np.zeros_like(logits)
        shifted = np.exp(logits - logits.max(-1, keepdims=True))
        return shifted / shifted.sum(-1, keepdims=True)

    def predict(self, clips: Any) -> list[str]:
        """A label for each clip, or "unknown" where the fitted classifier says so."""
        logits = self.logits(clips)
        labels = [self.classes[i] for i in logits.argmax(-1)]
        if self._calibration is None:
            return labels
        ordered = np.sort(logits, -1)
        score = ordered[:, -1]
        if self._calibration["score"] == "margin":
            score = score - ordered[:, -2]
        known = score >= self._calibration["threshold"]
        evidence = self._calibration.get("evidence")
        if evidence is not None:
            chance = 1 / len(self.classes)
            sure = self._posteriors(logits).max(-1) > chance + LEAST_PROBABILITY * (1 - chance)
            known &= sure & evidence
        return [label if k else UNKNOWN for label, k in zip(labels, known, strict=True)]

    def _leaves(self, clips: Any) -> tuple[np.ndarray, ...]:
        """Features of clips as the programs take them."""
        return tuple(self.encode(clips).values())

    def _outputs(self, name: str, features: tuple, texts: np.ndarray) -> tuple:
        program, head = self._programs[name], self._params["head"]
        return _in_batches(lambda pair: program(head, *pair), (features, texts))


def _in_batches(function: Any, tree: Any) -> Any:
    """`function` on parts of a tree [N, ...] of a few fixed sizes, joined again."""
    count, large = len(jax.tree.leaves(tree)[0]), BATCHES[-1]
    if not count:
        raise ExportError("there are no clips")
    size, results = large if count > 1 else 1, []
    for start in range(0, count, size):
        part = jax.tree.map(lambda x: _padded(x[start : start + size], size), tree)  # noqa: B023
        kept = min(size, count - start)
        results.append(jax.tree.map(lambda x: np.asarray(x)[:kept], function(part)))  # noqa: B023
    return jax.tree.map(lambda *parts: np.concatenate(parts), *results)


def _padded(x: Any, size: int) -> np.ndarray:
    """An array with copies of its first row at the end, until it has `size`."""
    x = np.asarray(x)
    return np.concatenate([x, np.repeat(x[:1], size - len(x), 0)]) if len(x) < size else x


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _params(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Nested dictionaries from names such as "head/scale"."""
    tree: dict[str, Any] = {"encoder": {}, "head": {}}
    for name, array in arrays.items():
        *folders, leaf = name.split("/")
        place = tree
        for part in folders:
            place = place.setdefault(part, {})
        place[leaf] = array
    return tree
