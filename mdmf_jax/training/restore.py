"""The one reader of checkpoints, for all who use a trained model."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from mdmf_jax import files
from mdmf_jax.config.config import Config, from_stored, to_dict
from mdmf_jax.errors import CheckpointError
from mdmf_jax.model import FewShotModel, Params
from mdmf_jax.training.build import make_model, pinned_config
from mdmf_jax.training.checkpoint import FOLDER, TRAIN_CLASSES, Checkpoints, locate
from mdmf_jax.training.sharding import path_name
from mdmf_jax.training.state import overlaid


@dataclass(frozen=True)
class Found:
    """A checkpoint that was found, and the settings that it was made with.

    Attributes:
      folder: of the checkpoints.
      step: of this one.
      config: of its run.
      train_classes: number of classes that its model was built for.
    """

    folder: files.AnyPath
    step: int
    config: Config
    train_classes: int

    @property
    def run(self) -> files.AnyPath:
        """Folder of the run."""
        return self.folder.parent if self.folder.name == FOLDER else self.folder


@dataclass(frozen=True)
class Restored:
    """A trained model with its parameters, numpy arrays."""

    found: Found
    model: FewShotModel
    params: Params


def run_settings(config: Config, train_classes: int) -> dict[str, Any]:
    """The settings that a checkpoint keeps; `find` reads them back."""
    return to_dict(config) | {TRAIN_CLASSES: train_classes}


def find(path: files.Name, *, config: Config | None = None, encoder: str | None = None) -> Found:
    """Finds a checkpoint and reads its settings.

    Args:
      path: a run's folder (its best checkpoint) or one checkpoint.
      config: settings that must agree with its own, and are taken then.
      encoder: where the encoder's files lie, if they have moved.

    Raises:
      CheckpointError: there is none, it is damaged, or was made with other settings.
    """
    folder, step = locate(path)
    config = config and pinned_config(config)
    with Checkpoints(folder) as checkpoints:
        step = checkpoints.best() if step is None else step
        if step is None:
            raise CheckpointError(f"{path}: holds no checkpoint; give a run's folder")
        if config is not None:
            checkpoints.check(step, to_dict(config))
        values = dict(checkpoints.settings(step))
        checkpoints.verify(step)
    classes = int(values.pop(TRAIN_CLASSES, 1))
    config = config or from_stored(values)
    if encoder:
        config = pinned_config(replace(config, encoder=replace(config.encoder, path=encoder)))
    return Found(folder, step, config, classes)


def restore(
    path: files.Name, *, config: Config | None = None, encoder: str | None = None
) -> Restored:
    """Reads the model of a checkpoint; arguments and errors as of `find`.

    Raises:
      UserError: also if the encoder's files are missing, damaged or do not fit.
    """
    found = find(path, config=config, encoder=encoder)
    model = make_model(found.config, found.train_classes)
    return Restored(found, model, read_params(found, model.shapes))


def read_params(found: Found, shapes: Mapping[str, Any]) -> Params:
    """The parameters of a checkpoint to test (see `TrainState.tested`), without its other state.

    Raises:
      CheckpointError: they are of other shapes, or cannot be read.
    """
    # Orbax reads no metadata at a relative path; one on gs:// is absolute.
    folder = found.folder if files.is_cloud(found.folder) else found.folder.absolute()
    path = folder / str(found.step) / "state"
    try:
        with ocp.PyTreeCheckpointer() as checkpointer:
            saved = checkpointer.metadata(path).item_metadata.tree
            check_shapes(saved["params"], shapes, str(path))
            wanted: dict[str, Any] = {"params": dict(shapes)}
            if found.config.train.average:
                wanted["opt_state"] = {"average": saved["opt_state"]["average"]}
            read = checkpointer.restore(path, args=_parts_of_state(wanted))
            return overlaid(read["params"], read.get("opt_state", {}).get("average", {}))
    except (OSError, KeyError, ValueError) as error:
        if isinstance(error, CheckpointError):
            raise
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{path} is not a checkpoint of this program: {reason}") from error


def _parts_of_state(wanted: Any) -> Any:
    """What Orbax has to be told to read some leaves of a state as numpy arrays."""
    item = jax.tree.map(lambda x: np.zeros(0, x.dtype), wanted)
    return ocp.args.PyTreeRestore(
        item=item,
        restore_args=jax.tree.map(lambda x: ocp.RestoreArgs(restore_type=np.ndarray), item),
        partial_restore=True,
    )


def check_shapes(saved: Any, wanted: Any, origin: str) -> None:
    """Raises CheckpointError unless two trees have the same leaves of the same shapes."""
    found, needed = shapes_of(saved), shapes_of(wanted)
    for name in sorted(found.keys() | needed.keys()):
        if found.get(name) != needed.get(name):
            raise CheckpointError(
                f"{origin} is of another model: {name} is {found.get(name, 'absent')}, "
                f"{needed.get(name, 'absent')} is needed"
            )


def shapes_of(tree: Any) -> dict[str, tuple[int, ...]]:
    """Shapes of the leaves of a tree by path."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {path_name(path): tuple(leaf.shape) for path, leaf in leaves}
