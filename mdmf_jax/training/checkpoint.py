"""Checkpoints: the newest ones and the best one, with the settings they were made with."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers as policies

from mdmf_jax.compatibility import differences
from mdmf_jax.errors import CheckpointError
from mdmf_jax.training.state import TrainState

FOLDER = "checkpoints"


class Checkpoints:
    """The checkpoints of one run, in `folder`/<step>. A context manager.

    Each holds the train state, the settings as JSON and the validation metrics. A save is whole
    or absent. Saving returns when all is written, so that the next step may consume the state.

    Args:
      keep: newest checkpoints to keep, beside the best; None opens the folder for reading only.
    """

    def __init__(self, folder: Path, keep: int | None = None):
        self.folder = Path(folder).absolute()
        kept = [policies.LatestN(keep), policies.BestN(get_metric_fn=_accuracy, n=1)]
        write = {
            "preservation_policy": policies.AnyPreservationPolicy(kept),
            "cleanup_tmp_directories": True,
        }
        read = {"read_only": True, "save_interval_steps": 0, "create": False}
        options = ocp.CheckpointManagerOptions(
            best_fn=_accuracy,
            enable_async_checkpointing=False,
            **(read if keep is None else write),
        )
        handlers = {
            "state": ocp.StandardCheckpointHandler(),
            "settings": ocp.JsonCheckpointHandler(),
        }
        self._manager = ocp.CheckpointManager(self.folder, options=options, item_handlers=handlers)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_) -> None:
        self._manager.close()

    def latest(self) -> int | None:
        """Step of the newest checkpoint; None if there is none."""
        return self._manager.latest_step()

    def best(self) -> int | None:
        """Step of the best validation accuracy, the newest of equals; None if there is none."""
        return self._manager.best_step()

    def save(
        self,
        step: int,
        state: TrainState,
        settings: Mapping[str, Any],
        metrics: Mapping[str, float],
    ) -> None:
        """Saves the state and deletes the old checkpoints that are not kept.

        Args:
          settings: as `config.to_dict` gives them.
          metrics: of the validation, among them "accuracy".
        """
        state, settings = ocp.args.StandardSave(state), ocp.args.JsonSave(dict(settings))
        args = ocp.args.Composite(state=state, settings=settings)
        self._manager.save(step, args=args, metrics=dict(metrics))

    def metrics(self, step: int) -> dict[str, float]:
        """Validation metrics of a checkpoint."""
        return dict(self._manager.metrics(step))

    def settings(self, step: int) -> dict[str, Any]:
        """Settings that a checkpoint was made with.

        Raises:
          CheckpointError: they cannot be read.
        """
        return self._restore(step, settings=ocp.args.JsonRestore())["settings"]

    def check(self, step: int, settings: Mapping[str, Any]) -> None:
        """Checks that a checkpoint was made with these settings (see compatibility.py).

        Raises:
          CheckpointError: it was not; the message lists the differences.
        """
        changed = differences(self.settings(step), settings)
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
        return self._restore(step, state=ocp.args.StandardRestore(abstract))["state"]

    def _restore(self, step: int, **items: Any) -> Any:
        try:
            return self._manager.restore(step, args=ocp.args.Composite(**items))
        except (OSError, ValueError, KeyError) as error:
            _ignore_stray_messages()
            reason = " ".join(str(error).split()) or type(error).__name__
        # Outside of the handler, so that nothing of the failed reading stays alive.
        raise CheckpointError(
            f"{self.folder / str(step)} is damaged or no checkpoint of this program: {reason[:200]}"
        )


def _ignore_stray_messages() -> None:
    """Keeps Python from printing what else fails when the reading of a checkpoint has failed.

    Orbax reads many arrays at once. After the first failure the others end in threads that
    nobody waits for, and Python would print a traceback for each, long after the one error
    that was raised and says enough.
    """
    stray = ("Event loop is closed", "Encountered error while reading array")
    others = sys.unraisablehook

    def hook(event) -> None:
        if not str(event.exc_value).startswith(stray):
            others(event)

    sys.unraisablehook = hook


def locate(path: str | Path) -> tuple[Path, int | None]:
    """The folder of checkpoints and the step that a user means.

    Args:
      path: a run's folder (its best checkpoint is meant: step None), or one checkpoint
        in it (checkpoints/<step>).

    Raises:
      CheckpointError: nothing of that kind lies there.
    """
    path = Path(path)
    if not path.is_dir():
        raise CheckpointError(f"{path}: no such folder; give a run's folder or a checkpoint in it")
    if _is_checkpoint(path):
        return path.parent, int(path.name)
    for folder in (path / FOLDER, path):
        if folder.is_dir() and any(_is_checkpoint(inner) for inner in folder.iterdir()):
            return folder, None
    raise CheckpointError(f"{path}: holds no checkpoint; give a run's folder or a checkpoint in it")


def _is_checkpoint(path: Path) -> bool:
    return path.name.isdigit() and (path / "state").is_dir()


def _accuracy(metrics: Mapping[str, float]) -> float:
    return metrics["accuracy"]
