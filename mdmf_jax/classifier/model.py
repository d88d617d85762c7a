"""A pretrained model: a CLIP, a method and its parameters, from a run or from a CLIP alone."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from flax import linen as nn

from mdmf_jax.classifier.settings import Settings, settings_of_clip, settings_of_run
from mdmf_jax.errors import CheckpointError, ConfigError
from mdmf_jax.evaluation.compiled_method import CompiledMethod
from mdmf_jax.models.methods import registry as methods
from mdmf_jax.training.checkpoint import Checkpoints, locate
from mdmf_jax.training.sharding import path_name
from mdmf_jax.weights.huggingface import LoadedCLIP, demo_clip_path, load_clip

DEMO = "packaged:demo"  # the small CLIP that comes with the package
_DEMO_PROMPT = "a video of {}"  # what it was trained with
VISION = ("vision_model", "visual_projection")


@dataclass(frozen=True)
class Model:
    """Everything that does not depend on the classes to tell apart.

    Attributes:
      clip: its parameters are those in use, also where the run trained the image tower.
      head: parameters of the method; {} if it has none.
    """

    settings: Settings
    clip: LoadedCLIP
    head: Any

    @cached_property
    def stages(self) -> CompiledMethod:
        """The model's stages, ready to run."""
        method = method_of(self.settings, self.clip)
        return CompiledMethod(self.clip, method, self.head, self.settings.normalise)


def method_of(settings: Settings, clip: LoadedCLIP) -> nn.Module:
    """The method's module."""
    width = clip.config.projection_dim
    return methods.build_method(settings.method, settings.head, settings.sections, width)


def head_shapes(settings: Settings, clip: LoadedCLIP) -> Any:
    """Parameter tree of the method as shapes; allocates nothing."""
    method = method_of(settings, clip)
    support = jnp.zeros((2, 1, settings.frames, clip.config.projection_dim))
    query, prompts = support[:, 0], support[:, 0, 0]
    shapes = jax.eval_shape(method.init, jax.random.key(0), support, query, prompts)
    return shapes.get("params", {})


def pretrained(path: str | Path, method: str = "otam", clip: str | Path | None = None) -> Model:
    """A model from a run's folder, a checkpoint, a CLIP's folder, or "packaged:demo".

    Args:
      method: for a CLIP without a run; it must be one that has nothing to train.
      clip: for a run, where its CLIP lies, if it has moved.

    Raises:
      UserError: files are missing, damaged or do not fit each other.
    """
    if str(path) == DEMO or (Path(path) / "config.json").is_file():
        return _from_clip(path, method)
    return _from_run(path, clip)


def _from_clip(path: str | Path, method: str) -> Model:
    demo = str(path) == DEMO
    clip = _load_clip(path)
    prompt = {"prompt": _DEMO_PROMPT} if demo else {}
    settings = settings_of_clip(clip.config, method, **prompt)
    if jax.tree.leaves(head_shapes(settings, clip)):
        raise ConfigError(
            f"{method} has parameters to train; give the folder of a run of train.py, or one of "
            "the methods mean_pool, otam and zero_shot, which need no training"
        )
    return Model(settings, clip, {})


def _from_run(path: str | Path, clip_path: str | Path | None) -> Model:
    folder, step = locate(path)
    with Checkpoints(folder) as checkpoints:
        step = checkpoints.best() if step is None else step
        values = checkpoints.settings(step)
        checkpoints.verify(step)
    settings = settings_of_run(values)
    clip = _load_clip(clip_path or values["encoder"].get("path", ""))
    if clip.config.vision.image_size != settings.crop:
        raise ConfigError(
            f"{path} was trained on images of {settings.crop} pixels, but its CLIP takes "
            f"{clip.config.vision.image_size}; give the CLIP it was trained with"
        )
    encoder = jax.eval_shape(lambda: {name: clip.params[name] for name in VISION})
    wanted = {"encoder": encoder, "head": head_shapes(settings, clip)}
    # Orbax reads no metadata at a relative path.
    params = _restore_params((folder / str(step) / "state").absolute(), wanted)
    params = jax.tree.map(jax.device_get, params)
    return Model(settings, clip._replace(params=clip.params | params["encoder"]), params["head"])


def _load_clip(path: str | Path) -> LoadedCLIP:
    return load_clip(demo_clip_path() if str(path) == DEMO else Path(path))


def _restore_params(path: Path, wanted: Any) -> Any:
    """The parameters in a checkpoint's train state, and nothing else of it.

    Raises:
      CheckpointError: they are of other shapes, or cannot be read.
    """
    device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    item = {"params": _abstract(wanted, device)}
    try:
        with ocp.PyTreeCheckpointer() as checkpointer:
            saved = checkpointer.metadata(path).item_metadata.tree["params"]
            _check_shapes(path, saved, wanted)
            arguments = ocp.args.PyTreeRestore(
                item=item,
                restore_args=ocp.checkpoint_utils.construct_restore_args(item),
                partial_restore=True,
            )
            return checkpointer.restore(path, args=arguments)["params"]
    except (OSError, KeyError, ValueError) as error:
        if isinstance(error, CheckpointError):
            raise
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{path} is no checkpoint of this program: {reason}") from error


def _abstract(shapes: Any, device: Any) -> Any:
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device), shapes)


def _check_shapes(path: Path, saved: Any, wanted: Any) -> None:
    found, needed = _shapes(saved), _shapes(wanted)
    for name in sorted(found.keys() | needed.keys()):
        if found.get(name) != needed.get(name):
            raise CheckpointError(
                f"{path} is of another model: {name} is {found.get(name, 'absent')}, "
                f"{needed.get(name, 'absent')} is needed"
            )


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {path_name(path): tuple(leaf.shape) for path, leaf in leaves}
