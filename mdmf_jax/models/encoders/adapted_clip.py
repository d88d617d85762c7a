"""The encoder "clip": CLIP as it is, or with plain adapters in its blocks, for every method."""

from functools import partial
from typing import Any, ClassVar

from flax import linen as nn
from flax.core import FrozenDict
from flax.traverse_util import flatten_dict, unflatten_dict

from mdmf_jax.errors import ConfigError
from mdmf_jax.models.encoders.clip.config import CLIPConfig, ResNetConfig, TowerConfig
from mdmf_jax.models.encoders.clip.encoder import CLIPEncoder
from mdmf_jax.models.encoders.options import CLIPOptions
from mdmf_jax.models.layers.adapter import AdapterMaker
from mdmf_jax.models.layers.bottleneck import TemporalBottleneck
from mdmf_jax.models.layers.low_rank import LoRA
from mdmf_jax.ops.low_rank import dominant_basis

_BASIS = "/basis"  # ends the path of a leaf that is made from a pretrained one


class AdaptedCLIP(CLIPEncoder):
    """CLIP, with what `options.adapter` says in its blocks; only that is trained then.

    Raises:
      ConfigError: the adapters do not fit the towers.
    """

    Config: ClassVar[type] = CLIPOptions

    @classmethod
    def trains(cls, options: Any) -> str:
        # Not the bases, which follow from pretrained leaves.
        return "" if options.adapter == "none" else rf"/adapter/.*(?<!{_BASIS})$"

    @property
    def rngs(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Random streams of training; none without dropout, so that steps need none."""
        rates = {"lora": self.options.lora_dropout, "bottleneck": self.options.bottleneck_dropout}
        return ("dropout",) if rates.get(self.options.adapter) else ()

    def setup(self) -> None:
        check_adapters(self.options, self.sizes)
        super().setup()

    @nn.nowrap
    def adapter(self, tower: str, block: int) -> AdapterMaker | None:
        options = self.options
        if block not in _chosen_blocks(options, tower, self.sizes):
            return None
        if options.adapter == "bottleneck":
            width, kernel = options.bottleneck_width, options.bottleneck_kernel
            return partial(TemporalBottleneck, width, kernel, options.bottleneck_dropout)
        widths = _widths(_tower(self.sizes, tower))
        layers = {name: widths[name][1] for name in sorted(set(options.lora_projections))}
        scale = options.lora_alpha / options.lora_rank
        rest = (options.lora_rank, scale, options.lora_dropout, options.lora_orthogonal)
        return partial(LoRA, FrozenDict(layers), *rest)

    @nn.nowrap
    def start(self, params: dict[str, Any]) -> dict[str, Any]:
        flat: dict[str, Any] = flatten_dict(params, sep="/")
        for path in [path for path in flat if path.endswith(_BASIS)]:
            block, name = path.removesuffix(_BASIS).split("/adapter/")
            layer = ("mlp" if name in ("fc1", "fc2") else "self_attn") + f"/{name}"
            flat[path] = dominant_basis(flat[f"{block}/{layer}/kernel"].T)
        return unflatten_dict(flat, sep="/")


def check_adapters(options: CLIPOptions, sizes: CLIPConfig) -> None:
    """Raises ConfigError unless the adapters that the options describe fit CLIP's towers."""
    kind = options.adapter
    if kind == "none":
        return
    if kind == "bottleneck" and options.bottleneck_kernel % 2 == 0:
        raise ConfigError(
            f"encoder.bottleneck_kernel is {options.bottleneck_kernel}; it must be odd, so that "
            "it reaches as far back as forward"
        )
    for name in ("lora_towers", "lora_projections"):
        if kind == "lora" and not getattr(options, name):
            raise ConfigError(f"encoder.{name} is empty; name at least one, or no encoder.adapter")
    for name in _towers(options):
        tower = _tower(sizes, name)
        if isinstance(tower, ResNetConfig):
            raise ConfigError(
                f"encoder.adapter is {kind!r}, which needs a vision transformer, but the CLIP in "
                f"{options.path or 'encoder.path'} has a ResNet; take a ViT"
                + (", or set encoder.lora_towers to ('text',)" if kind == "lora" else "")
            )
        _check_blocks(kind, getattr(options, f"{kind}_blocks"), name, tower)
        if kind == "lora":
            _check_rank(options, name, tower)


def _check_blocks(kind: str, blocks: tuple[int, ...], name: str, tower: TowerConfig) -> None:
    last = tower.num_hidden_layers - 1
    beyond = [block for block in blocks if block > last]
    if beyond:
        raise ConfigError(
            f"encoder.{kind}_blocks names block {beyond[0]}, but the {name} tower of this CLIP "
            f"has the blocks 0 to {last}"
        )


def _check_rank(options: CLIPOptions, name: str, tower: TowerConfig) -> None:
    for layer in options.lora_projections:
        least = min(_widths(tower)[layer])
        if options.lora_rank > least:
            raise ConfigError(
                f"encoder.lora_rank is {options.lora_rank}, but {layer} of the {name} tower has "
                f"the width {least}; take a lower rank"
            )


def _towers(options: CLIPOptions) -> tuple[str, ...]:
    known = {"lora": options.lora_towers, "bottleneck": ("image",)}
    return known.get(options.adapter, ())


def _chosen_blocks(options: CLIPOptions, tower: str, sizes: CLIPConfig) -> tuple[int, ...]:
    """Numbers of a tower's blocks that have adapters."""
    if tower not in _towers(options):
        return ()
    chosen = getattr(options, f"{options.adapter}_blocks")
    return chosen or tuple(range(_tower(sizes, tower).num_hidden_layers))


def _tower(sizes: CLIPConfig, name: str) -> Any:
    return sizes.vision if name == "image" else sizes.text


def _widths(tower: TowerConfig) -> dict[str, tuple[int, int]]:
    """(width in, width out) of the dense layers of a block."""
    size, inner = tower.hidden_size, tower.intermediate_size
    attention = dict.fromkeys(("q_proj", "k_proj", "v_proj", "out_proj"), (size, size))
    return attention | {"fc1": (size, inner), "fc2": (inner, size)}
