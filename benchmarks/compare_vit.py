"""Is CLIP's image tower of this package as fast as plain JAX?

    python benchmarks/compare_vit.py --batch=8 --repeats=9

Runs `CLIPVision` and the hand-written `plain_vit.py` with the same random weights on the same
images in float32, checks that the features are the same, times both in turns and prints the
medians and the median of the ratios of neighbouring runs, which other programs on the machine
disturb less.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.plain_vit import image_features  # noqa: E402
from mdmf_jax import files  # noqa: E402
from mdmf_jax.bench.environment import (  # noqa: E402
    bench_content,
    heading,
    load_average,
    measurements_table,
    wide_console,
)
from mdmf_jax.bench.flops import image_flops  # noqa: E402
from mdmf_jax.bench.measurement import Measurement  # noqa: E402
from mdmf_jax.bench.models import model_config, random_encoder  # noqa: E402
from mdmf_jax.bench.timing import Program, compile_program, seconds_of, summarise  # noqa: E402

TOLERANCE = 1e-4  # of the largest feature


def programs(model: str, batch: int) -> tuple[Program, Program, tuple[Any, jax.Array]]:
    """(ours, plain, their arguments), compiled."""
    config = model_config(model)
    vision = config.vision
    module, params = random_encoder(config, "float32")
    params = with_noise(params)
    shape = (batch, vision.image_size, vision.image_size, 3)
    pixels = jax.random.normal(jax.random.key(1), shape)

    def ours(params, pixels):
        return module.apply({"params": params}, pixels)

    def plain(params, pixels):
        return image_features(
            params,
            pixels,
            patch=vision.patch_size,
            heads=vision.num_attention_heads,
            epsilon=vision.layer_norm_eps,
        )

    arguments = (params, pixels)
    return compile_program(ours, *arguments), compile_program(plain, *arguments), arguments


def with_noise(params: Any) -> Any:
    """The parameters with noise, so that a bias left at 0 or a scale left at 1 would show."""
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(2), len(leaves))
    noisy = [x + 0.02 * jax.random.normal(k, x.shape) for x, k in zip(leaves, keys, strict=True)]
    return jax.tree.unflatten(tree, noisy)


def largest_difference(ours: Program, plain: Program, arguments: tuple) -> float:
    """Largest difference of two features, as a share of the largest feature."""
    a, b = (np.asarray(p.call(*arguments)) for p in (ours, plain))
    return float(np.abs(a - b).max() / np.abs(b).max())


def times_in_turns(ours: Program, plain: Program, arguments: tuple, repeats: int) -> np.ndarray:
    """Seconds of ours and plain [repeats, 2]; who goes first changes from repeat to repeat."""
    seconds = np.zeros((repeats, 2))
    for row in range(repeats):
        order = (0, 1) if row % 2 == 0 else (1, 0)
        for column in order:
            program = (ours, plain)[column]
            call = lambda run=program.call: run(*arguments)  # noqa: E731
            seconds[row, column] = seconds_of(call, 1, warmup=0)[0]
    return seconds


def measurements(model: str, batch: int, seconds: np.ndarray, pair: tuple) -> list[Measurement]:
    """Ours and plain, the first with the ratio of the times in its settings."""
    settings = {"model": model, "batch": batch}
    ratio = {"ratio_to_plain": float(np.median(seconds[:, 0] / seconds[:, 1]))}
    flops = batch * image_flops(model_config(model))
    return [
        summarise(
            f"compare_vit/{model}/{name}",
            column.tolist(),
            items=batch,
            unit="images/s",
            settings=settings | (ratio if name == "ours" else {}),
            flops=flops,
            peak_bytes=program.peak_bytes,
        )
        for name, column, program in zip(("ours", "plain"), seconds.T, pair, strict=True)
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=("vit_b16", "vit_b32", "demo"), default="vit_b16")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--output", metavar="FILE", help="write the measurements as JSON")
    options = parser.parse_args()
    before = load_average()
    ours, plain, arguments = programs(options.model, options.batch)
    difference = largest_difference(ours, plain, arguments)
    if difference > TOLERANCE:
        print(f"error: the features differ by {difference:.1e} of the largest", file=sys.stderr)
        return 1
    seconds = times_in_turns(ours, plain, arguments, options.repeats)
    measured = measurements(options.model, options.batch, seconds, (ours, plain))
    content = bench_content(measured, (before, load_average()))
    console = wide_console()
    console.print(heading(content))
    console.print(measurements_table(measured))
    ratios = seconds[:, 0] / seconds[:, 1]
    console.print(
        f"ours / plain: {np.median(ratios):.3f} is the median of the pairs of runs "
        f"({ratios.min():.3f} to {ratios.max():.3f}); of the fastest runs "
        f"{seconds[:, 0].min() / seconds[:, 1].min():.3f}"
    )
    console.print(f"largest difference: {difference:.1e} of the largest feature")
    if options.output:
        files.write_json(options.output, content)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
