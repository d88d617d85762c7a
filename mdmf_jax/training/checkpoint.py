"""Checkpoints: the newest ones and the best one, with the settings they were made with."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils

from mdmf_jax import files
from mdmf_jax.errors import CheckpointError
from mdmf_jax.training.compatibility import differences
from mdmf_jax.training.manifest import NAME, check_manifest, write_manifest
from mdmf_jax.training.sharding import path_name
from mdmf_jax.training.state import TrainState

FOLDER = "checkpoints"
# Kept beside the settings of a run: what its model was built for and its config does not say.
TRAIN_CLASSES = "train_classes"


class Checkpoints:
    """The checkpoints of one run, in `folder`/<step>. A context manager.

    Each holds the train state, the settings and the validation metrics as JSON, and a manifest
    (see manifest.py). A save is whole or absent: what an interrupted one left is removed when
    the folder is next opened for writing, and never read. Saving returns when all is written,
    so that the next step may consume the state.

    Args:
      keep: newest checkpoints to keep, beside the best; None opens the folder for reading only.
    """

    def __init__(self, folder: files.Name, keep: int | None = None):
        folder = files.path(folder)
        # Orbax wants an absolute path; one on gs:// is.
        self.folder = folder if files.is_cloud(folder) else folder.absolute()
        self._keep = keep
        self._checked: set[int] = set()
        if keep is not None and jax.process_index() == 0:
            self._remove_interrupted()
        write = {"cleanup_tmp_directories": True}
        read = {"read_only": True, "save_interval_steps": 0, "create": False}
        options = ocp.CheckpointManagerOptions(
            enable_async_checkpointing=False, **(read if keep is None else write)
        )
        handlers = {
            "state": ocp.StandardCheckpointHandler(),
            "settings": ocp.JsonCheckpointHandler(),
            "validation": ocp.JsonCheckpointHandler(),
        }
        self._manager = ocp.CheckpointManager(self.folder, options=options, item_handlers=handlers)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_) -> None:
        self._manager.close()

    def steps(self) -> list[int]:
        """Steps of all checkpoints, ascending."""
        return sorted(s for s in self._manager.all_steps() if not self._interrupted(s))

    def latest(self) -> int | None:
        """Step of the newest checkpoint; None if there is none."""
        return max(self.steps(), default=None)

    def best(self) -> int | None:
        """Step of the best validation accuracy, the newest of equals; None without checkpoints.

        Checkpoints without a validation come last.

        Raises:
          CheckpointError: a checkpoint is damaged.
        """
        scored = [(self.metrics(step).get("accuracy", -1.0), step) for step in self.steps()]
        return max(scored)[1] if scored else None

    def save(
        self,
        step: int,
        state: TrainState,
        settings: Mapping[str, Any],
        metrics: Mapping[str, float],
    ) -> None:
        """Saves the state and then deletes the old checkpoints that are not kept.

        Args:
          settings: as `config.to_dict` gives them.
          metrics: of the validation, among them "accuracy"; empty if there was none.

        Raises:
          CheckpointError: it cannot be written; the earlier checkpoints are unharmed.
        """
        args = ocp.args.Composite(
            state=ocp.args.StandardSave(state),
            settings=ocp.args.JsonSave(dict(settings)),
            validation=ocp.args.JsonSave(dict(metrics)),
        )
        first = jax.process_index() == 0
        try:
            if first:
                self._marker(step).touch()
            self._manager.save(step, args=args, force=True)
            if first:
                write_manifest(self.folder / str(step))
                self._marker(step).unlink()
            if jax.process_count() > 1:
                multihost_utils.sync_global_devices(f"checkpoint {step}")
        except (OSError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise CheckpointError(
                f"{self.folder}: the checkpoint of step {step} cannot be written ({reason}); make "
                "room or mend the folder and start again; the earlier checkpoints are unharmed"
            ) from error
        self._checked.add(step)
        self._delete_old()

    def metrics(self, step: int) -> dict[str, float]:
        """Validation metrics of a checkpoint; empty if it was saved without a validation.

        Raises:
          CheckpointError: the checkpoint is damaged.
        """
        return dict(self._restore(step, validation=ocp.args.JsonRestore())["validation"])

    def settings(self, step: int) -> dict[str, Any]:
        """Settings that a checkpoint was made with.

        Raises:
          CheckpointError: they cannot be read.
        """
        return self._restore(step, settings=ocp.args.JsonRestore())["settings"]

    def verify(self, step: int) -> None:
        """Compares all files of a checkpoint with its manifest.

        Raises:
          CheckpointError: one is damaged.
        """
        if step not in self._checked:
            check_manifest(self.folder / str(step))
            self._checked.add(step)

    def check(self, step: int, settings: Mapping[str, Any]) -> None:
        """Checks that a checkpoint was made with these settings (see compatibility.py).

        Raises:
          CheckpointError: it was not; the message lists the differences.
        """
        saved = {k: v for k, v in self.settings(step).items() if k != TRAIN_CLASSES}
        changed = differences(saved, settings)
        if changed:
            raise CheckpointError(
                f"{self.folder / str(step)} was made with other settings ({'; '.join(changed)}); "
                "take the same settings or another folder"
            )

    def restore(self, step: int, abstract: TrainState) -> TrainState:
        """The train state of a checkpoint, on the devices that `abstract` says.

        Args:
          abstract: shapes and shardings of the state.

        Raises:
          CheckpointError: the checkpoint is damaged, or its state is of other shapes.
        """
        self.verify(step)
        saved = self._manager.item_metadata(step)["state"].tree
        found, wanted = _shapes(saved), _shapes(abstract)
        for name in sorted(found.keys() | wanted.keys()):
            if found.get(name) != wanted.get(name):
                raise CheckpointError(
                    f"{self.folder / str(step)} is of another model: {name} is "
                    f"{found.get(name, 'absent')}, {wanted.get(name, 'absent')} is needed"
                )
        return self._restore(step, state=ocp.args.StandardRestore(abstract))["state"]

    def set_aside(self, step: int) -> files.AnyPath:
        """Renames a checkpoint, so that it no longer counts as one; returns the new folder."""
        aside = self.folder / f"damaged-{step}"
        if jax.process_index() == 0:
            _remove(aside)
            (self.folder / str(step)).rename(aside)
        self._manager.reload()
        return aside

    def _restore(self, step: int, **items: Any) -> Any:
        self.verify(step)
        try:
            return self._manager.restore(step, args=ocp.args.Composite(**items))
        except (OSError, ValueError, KeyError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise CheckpointError(
                f"{self.folder / str(step)} is no checkpoint of this program: {reason[:200]}"
            ) from error

    def _marker(self, step: int) -> files.AnyPath:
        return self.folder / f".saving-{step}"

    def _interrupted(self, step: int) -> bool:
        return self._marker(step).exists() and not (self.folder / str(step) / NAME).exists()

    def _remove_interrupted(self) -> None:
        for marker in self.folder.glob(".saving-*"):
            step = int(marker.name.rpartition("-")[2])
            if self._interrupted(step):
                _remove(self.folder / str(step))
            marker.unlink()

    def _delete_old(self) -> None:
        steps, best = self.steps(), self.best()
        for step in steps[: -self._keep]:
            if step != best:
                self._manager.delete(step)


def locate(path: files.Name) -> tuple[files.AnyPath, int | None]:
    """The folder of checkpoints and the step that a user means.

    Args:
      path: a run's folder (its best checkpoint is meant: step None), or one checkpoint
        in it (checkpoints/<step>).

    Raises:
      CheckpointError: nothing of that kind lies there.
    """
    path = files.path(path)
    if not path.is_dir():
        raise CheckpointError(f"{path}: no such folder; give a run's folder or a checkpoint in it")
    if _is_checkpoint(path):
        return path.parent, int(path.name)
    for folder in (path / FOLDER, path):
        if folder.is_dir() and any(_is_checkpoint(inner) for inner in folder.iterdir()):
            return folder, None
    raise CheckpointError(f"{path}: holds no checkpoint; give a run's folder or a checkpoint in it")


def _remove(folder: files.AnyPath) -> None:
    if isinstance(folder, Path):
        shutil.rmtree(folder, ignore_errors=True)
    elif folder.exists():
        folder.rmtree()


def _is_checkpoint(path: files.AnyPath) -> bool:
    return path.name.isdigit() and (path / "state").is_dir()


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    """Shapes of the leaves of a train state by path."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {path_name(path): tuple(leaf.shape) for path, leaf in leaves}
