"""Windows, heads and groups of D2ST-Adapter's two attentions: as published, or as set.

The published code has one table for its vision transformer (patches 14 x 14) and one for the
stages of its ResNet, both for 8 frames and images of 224 pixels. They are the default wherever
they fit. Along an axis where a published kernel does not fit, the windows lie side by side and
divide the axis as the published ones do: into 2 parts in time and 4 in space for the attention
that is dense in space, every frame by itself and into 2 parts in space for the other.
"""

from dataclasses import dataclass
from typing import Any, Literal

from mdmf_jax.config.fields import setting
from mdmf_jax.errors import ConfigError
from mdmf_jax.models.layers.deformable import D2STBottleneck, Deformable
from mdmf_jax.ops.deformable import Sizes, Window

Part = Literal["space", "time"]
PARTS: tuple[Part, Part] = ("space", "time")
_DIVISION = {"space": (2, 4, 4), "time": (None, 2, 2)}  # None: one cell is a part


@dataclass(frozen=True)
class D2STOptions:
    """Options of the adapters. Three numbers are frames, rows and columns; of a ResNet four
    times three may be given, stage after stage."""

    adapter_scale: float = setting(
        0.25, "inner width of the adapters, as a share of the tower's", above=0, max=1
    )
    space_kernel: tuple[int, ...] = setting(
        (), "kernel of the attention dense in space (3 numbers); () is published or fits", min=1
    )
    space_stride: tuple[int, ...] = setting((), "its stride; () is the kernel", min=1)
    space_padding: tuple[int, ...] = setting((), "its padding; () is none", min=0)
    space_heads: tuple[int, ...] = setting((4,), "its heads, one number or one a stage", min=1)
    space_groups: tuple[int, ...] = setting((4,), "groups of channels it samples apart", min=1)
    time_kernel: tuple[int, ...] = setting(
        (), "kernel of the attention dense in time (3 numbers); () is published or fits", min=1
    )
    time_stride: tuple[int, ...] = setting((), "its stride; () is the kernel", min=1)
    time_padding: tuple[int, ...] = setting((), "its padding; () is none", min=0)
    time_heads: tuple[int, ...] = setting((4,), "its heads, one number or one a stage", min=1)
    time_groups: tuple[int, ...] = setting((4,), "groups of channels it samples apart", min=1)


# Published windows by attention: of the vision transformer, and of the ResNet's four stages.
VIT_WINDOWS = {
    "space": (Window((4, 5, 5), (4, 3, 3)),),
    "time": (Window((1, 7, 7), (1, 7, 7)),),
}
RESNET_WINDOWS = {
    "space": (
        Window((4, 7, 7), (4, 7, 7)),
        Window((4, 7, 7), (4, 7, 7)),
        Window((4, 5, 5), (4, 3, 3)),
        Window((4, 4, 4), (4, 3, 3)),
    ),
    "time": (
        Window((1, 14, 14), (1, 14, 14)),
        Window((1, 14, 14), (1, 14, 14)),
        Window((1, 7, 7), (1, 7, 7)),
        Window((1, 7, 7), (1, 7, 7)),
    ),
}


def make_bottleneck(
    options: D2STOptions,
    published: dict[str, tuple[Window, ...]],
    width: int,
    sizes: Sizes,
    stage: int = 0,
    **attributes: Any,
) -> D2STBottleneck:
    """The adapter of a block or stage.

    Args:
      published: windows that apply where none are set.
      width: channels of the tower there.
      sizes: frames, rows and columns of its patches or cells.
      stage: its number from 0, where stages differ.
      attributes: further ones of `D2STBottleneck`.

    Raises:
      ConfigError: a window does not fit, or heads or groups do not divide the channels.
    """
    inner = int(width * options.adapter_scale)
    if inner < 1:
        raise ConfigError(
            f"encoder.adapter_scale is {options.adapter_scale}, which leaves no channel of {width}"
        )
    stages = len(published["space"])
    space, time = (
        Deformable(
            _window(options, part, published[part], sizes, stage),
            _divisor(options, f"{part}_heads", inner, width, stage, stages),
            _divisor(options, f"{part}_groups", inner, width, stage, stages),
        )
        for part in PARTS
    )
    return D2STBottleneck(inner, space, time, sizes[1:], **attributes)


def fitted_window(published: Window, part: Part, sizes: Sizes) -> Window:
    """The published window; side by side along the axes where its kernel does not fit."""
    kernel, stride = [], []
    for axis, (size, parts) in enumerate(zip(sizes, _DIVISION[part], strict=True)):
        own = 1 if parts is None else max(1, size // parts)
        fits = published.kernel[axis] <= size
        kernel.append(published.kernel[axis] if fits else own)
        stride.append(published.stride[axis] if fits else own)
    return Window(_three(kernel), _three(stride))


def _window(
    options: D2STOptions, part: Part, published: tuple[Window, ...], sizes: Sizes, stage: int
) -> Window:
    stages = len(published)
    kernel = _of_stage(options, f"{part}_kernel", 3, stage, stages)
    stride = _of_stage(options, f"{part}_stride", 3, stage, stages)
    padding = _of_stage(options, f"{part}_padding", 3, stage, stages)
    if not kernel:
        if stride or padding:
            raise ConfigError(
                f"encoder.{part}_stride and {part}_padding are for a kernel of your own: set "
                f"encoder.{part}_kernel as well"
            )
        return fitted_window(published[stage], part, sizes)
    window = Window(_three(kernel), _three(stride or kernel), _three(padding or (0, 0, 0)))
    if not all(window.grid(sizes)):
        t, rows, columns = sizes
        raise ConfigError(
            f"encoder.{part}_kernel is {kernel} with padding {window.padding}, which does not fit "
            f"{t} frames of {rows} x {columns} patches: take a smaller one, or () to have it chosen"
        )
    return window


def _of_stage(
    options: D2STOptions, name: str, count: int, stage: int, stages: int
) -> tuple[int, ...]:
    """The `count` numbers that an option has for a stage; () if it is ()."""
    given = tuple(getattr(options, name))
    if len(given) in (0, count):
        return given
    if len(given) != count * stages:
        several = f" or {count * stages}" if stages > 1 else ""
        raise ConfigError(f"encoder.{name} is {given}: it takes {count}{several} numbers")
    return given[count * stage : count * (stage + 1)]


def _divisor(
    options: D2STOptions, name: str, inner: int, width: int, stage: int, stages: int
) -> int:
    found = _of_stage(options, name, 1, stage, stages)
    if not found:
        raise ConfigError(f"encoder.{name} is (): it needs a number")
    if inner % found[0]:
        raise ConfigError(
            f"encoder.{name} is {found[0]}, which does not divide the adapters' {inner} channels "
            f"(encoder.adapter_scale {options.adapter_scale} of {width})"
        )
    return found[0]


def _three(numbers: Any) -> Sizes:
    first, second, third = numbers
    return first, second, third
