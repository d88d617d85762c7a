"""Answers of an unfinished evaluation on disk, so that it goes on where it was stopped."""

import io
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from mdmf_jax import files
from mdmf_jax.errors import DataError

_SECONDS = 2.0  # between two writes


def inputs_key(*trees: Any) -> str:
    """SHA-256 over all arrays and texts of some trees: what the answers depend on."""
    return files.sha256(_pieces(trees))


def _pieces(trees: Any) -> Iterator[bytes]:
    for path, leaf in jax.tree_util.tree_flatten_with_path(trees)[0]:
        array = np.asarray(leaf)
        yield f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape} ".encode()
        yield array.tobytes()


def resumed(
    evaluate: Callable[..., dict[str, np.ndarray]],
    path: files.AnyPath,
    head_params: Any,
    features: Mapping[str, np.ndarray],
    class_texts: np.ndarray,
    episodes: Mapping[str, np.ndarray],
    key: jax.Array,
) -> dict[str, np.ndarray]:
    """What `evaluate` (see `EpisodeEvaluator`) answers, without the episodes that are in `path`.

    Until the caller deletes it, `path` holds answers, and a call with the same inputs goes on.
    """
    inputs = (head_params, dict(features), class_texts, dict(episodes), jax.random.key_data(key))
    kept = PartialAnswers(path, inputs_key(inputs))

    def joined(answers: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        if not kept.count:
            return dict(answers)
        return {n: np.concatenate([kept.answers[n], answer]) for n, answer in answers.items()}

    if kept.count == len(episodes["index"]):
        return kept.answers
    rest = {name: rows[kept.count :] for name, rows in episodes.items()}
    return joined(
        evaluate(
            head_params,
            features,
            class_texts,
            rest,
            key,
            watch=lambda answers: kept.keep(joined(answers)),
        )
    )


class PartialAnswers:
    """Answers to the first episodes of a table.

    Written now and then, whole or not at all. A file that is damaged or belongs to other inputs
    counts for nothing.

    Args:
      path: the file.
      key: see `inputs_key`.

    Attributes:
      answers: arrays [n, ...] by name, of the episodes done before; empty if there are none.
    """

    def __init__(self, path: files.Name, key: str):
        self._path, self._key = files.path(path), key
        self.answers: dict[str, np.ndarray] = self._read()
        self._written = time.monotonic()

    @property
    def count(self) -> int:
        """Episodes done before."""
        return min((len(answer) for answer in self.answers.values()), default=0)

    def keep(self, answers: Mapping[str, np.ndarray]) -> None:
        """Takes the answers to all episodes done so far; writes them if some time has passed."""
        if time.monotonic() - self._written >= _SECONDS:
            self._write(answers)
            self._written = time.monotonic()

    def _write(self, answers: Mapping[str, np.ndarray]) -> None:
        content = io.BytesIO()
        arrays: dict[str, Any] = dict(answers)
        np.savez(content, **arrays)
        data = content.getvalue()
        check = files.sha256([self._key.encode(), data])
        files.write_whole(self._path, check.encode() + data, DataError)

    def _read(self) -> dict[str, np.ndarray]:
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return {}
        check, data = content[:64], content[64:]
        if files.sha256([self._key.encode(), data]).encode() != check:
            return {}
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return dict(arrays)
