"""Time, operations and memory of a compiled program."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax

from mdmf_jax.bench.measurement import Measurement
from mdmf_jax.bench.peaks import peak_flops

# A cell of the compiled program's text that says that it has a loop.
_LOOP = " while("


@dataclass(frozen=True)
class Program:
    """A function compiled for arguments of fixed shapes.

    Attributes:
      call: runs it.
      flops: operations of one run as XLA counts them; None if the program has a loop, because
        XLA counts the body of a loop once, however often it runs.
      peak_bytes: memory that the program is given: arguments, results and temporary buffers;
        None where the compiler does not say.
    """

    call: Callable[..., Any]
    flops: float | None
    peak_bytes: int | None


def compile_program(function: Callable[..., Any], *arguments: Any) -> Program:
    """Compiles a function (already under `jax.jit`, or not) for the shapes of its arguments."""
    jitted = function if hasattr(function, "lower") else jax.jit(function)
    compiled = jitted.lower(*arguments).compile()
    costs, memory = compiled.cost_analysis() or {}, compiled.memory_analysis()
    counted = None if _LOOP in (compiled.as_text() or "") else costs.get("flops")
    return Program(compiled, counted, _peak_bytes(memory))


def _peak_bytes(memory: Any) -> int | None:
    # `peak_memory_in_bytes` would leave out the temporary buffers on a CPU (jax 0.10).
    if memory is None:
        return None
    held = memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes
    return held - memory.alias_size_in_bytes


def seconds_of(
    call: Callable[[], Any],
    repeats: int,
    *,
    warmup: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> list[float]:
    """Seconds of each of `repeats` calls, after `warmup` calls that are not timed.

    A call ends when its results are ready on the device, not when Python has them in hand.
    """
    for _ in range(warmup):
        jax.block_until_ready(call())
    seconds = []
    for _ in range(repeats):
        begin = clock()
        jax.block_until_ready(call())
        seconds.append(clock() - begin)
    return seconds


def summarise(
    name: str,
    seconds: Sequence[float],
    *,
    items: float,
    unit: str,
    settings: Mapping[str, object],
    dtype: str = "float32",
    flops: float | None = None,
    peak_bytes: int | None = None,
    device_kind: str | None = None,
) -> Measurement:
    """A measurement from the times of its repeats: items a second at the median time.

    Args:
      seconds: of each repeat, at least one.
      items: what one repeat handles, counted in `unit`'s things.
      unit: such as "images/s".
      dtype: of the computation; decides, with the device, what peak there is to compare with.
      flops: operations of one repeat.
      device_kind: of the one device that did the work; by default JAX's first.
    """
    median = statistics.median(seconds)
    kind = jax.devices()[0].device_kind if device_kind is None else device_kind
    peak = peak_flops(kind, dtype)
    share = None if flops is None or peak is None else flops / median / peak
    return Measurement(
        name=name,
        value=items / median,
        unit=unit,
        median_seconds=median,
        repeats=len(seconds),
        settings=dict(settings) | {"dtype": dtype, "fastest_seconds": min(seconds)},
        flops=flops,
        peak_bytes=peak_bytes,
        share_of_peak=share,
    )


def on_cpu() -> bool:
    """Whether JAX computes on the CPU; sizes and dtypes of the measurements depend on it."""
    return jax.default_backend() == "cpu"
