"""`mdmf bench`: how fast this machine encodes, trains, evaluates and reads."""

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mdmf_jax.bench.names import ATTENTIONS, DTYPES, MODELS, TARGETS
from mdmf_jax.cli.numbers import several_whole, whole
from mdmf_jax.errors import ConfigError, UserError
from mdmf_jax.files import write_json

if TYPE_CHECKING:
    from mdmf_jax.bench.measurement import Measurement

SUMMARY = "Measure speed and memory on this machine, with random parameters and data."
DETAILS = """\
examples:
  mdmf bench encoder --model=vit_b16 --batch=256 --dtype=bfloat16
  mdmf bench all --output=bench.json

Times are medians of the repeats after a run to warm up. One device is used, whatever there is.
What each measurement counts: benchmarks/README.md; figures: docs/performance.md.
"""


_OPTIONS: dict[str, dict[str, Any]] = {
    "model": {"choices": MODELS, "help": "sizes of the image tower"},
    "batch": {"type": whole(1), "help": "images at once"},
    "dtype": {"choices": DTYPES, "help": "of the encoder (CPU: float32, others: bfloat16)"},
    "attention": {"choices": ATTENTIONS, "help": "what computes the encoder's attention (auto)"},
    "remat": {"action": "store_true", "default": None, "help": "recompute the encoder's blocks"},
    "method": {"help": "few-shot method, with its default options (mdmf)"},
    "shots": {"type": several_whole, "help": "support videos of a class, such as 1,5"},
    "shot": {"type": whole(1), "help": "support videos of a class (1)"},
    "queries": {"type": whole(1), "help": "query videos of a class"},
    "episodes": {"type": whole(1), "help": "number of episodes"},
    "micro_batch": {"type": whole(1), "help": "episodes of a step at once (all)"},
    "pairs": {"type": whole(1), "help": "pairs of videos (1000000)"},
    "repeats": {"type": whole(1), "help": "timed runs"},
    "root": {"metavar": "DIR", "help": "data set to read (by default, videos are made)"},
    "seconds": {"type": whole(1), "help": "time for each source and loader (5)"},
    "videos": {"type": whole(1), "help": "how many videos are made (20)"},
}
# Each target's options are parameters of its function.
_TAKES = {
    "encoder": ("model", "batch", "dtype", "attention", "repeats"),
    "head": ("method", "shots", "queries", "episodes", "micro_batch", "repeats"),
    "otam": ("pairs", "repeats"),
    "train": (
        *("model", "method", "shot", "queries", "episodes"),
        *("dtype", "attention", "remat", "micro_batch", "repeats"),
    ),
    "eval": ("method", "shots", "queries", "episodes"),
    "input": ("root", "seconds", "videos"),
    "all": ("method", "repeats"),
}
# What `all` measures of a target, where it is not the default alone.
_ALL: dict[str, tuple[dict[str, Any], ...]] = {
    "encoder": ({"model": "vit_b16"}, {"model": "rn50"}),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments; each target has options of its own."""
    targets = parser.add_subparsers(metavar="TARGET", dest="target", required=True)
    for name, text in TARGETS.items():
        target = targets.add_parser(name, help=text, description=text)
        for option in _TAKES[name]:
            flag = f"--{option.replace('_', '-')}"
            target.add_argument(flag, **_OPTIONS[option])
        target.add_argument("--json", action="store_true", help="print JSON, not a table")
        target.add_argument("--output", metavar="FILE", help="write the JSON to a file, too")


def run(options: argparse.Namespace) -> None:
    """Measures, and prints a table or JSON.

    Raises:
      UserError: an unknown method or data set, or a file that cannot be written.
    """
    import jax

    from mdmf_jax.bench import environment

    # Otherwise a first call might find its program compiled by an earlier run.
    jax.config.update("jax_enable_compilation_cache", False)
    before = environment.load_average()
    given = {name: getattr(options, name) for name in _TAKES[options.target]}
    measurements = _measure(options.target, {k: v for k, v in given.items() if v is not None})
    content = environment.bench_content(measurements, (before, environment.load_average()))
    _report(options, content, measurements)


def _measure(target: str, given: dict[str, Any]) -> "list[Measurement]":
    functions = _functions()
    if target != "all":
        return functions[target](**given)
    measured = []
    for name, function in functions.items():
        fitting = {option: value for option, value in given.items() if option in _TAKES[name]}
        for chosen in _ALL.get(name, ({},)):
            measured += function(**chosen, **fitting)
    return measured


def _functions() -> "dict[str, Callable[..., list[Measurement]]]":
    from mdmf_jax.bench import encoder, evaluate, head, otam, train
    from mdmf_jax.bench import input as input_speed

    return {
        "encoder": encoder.measure,
        "head": head.measure,
        "otam": otam.measure,
        "train": train.measure,
        "eval": evaluate.measure,
        "input": input_speed.measure,
    }


def _report(
    options: argparse.Namespace, content: dict[str, Any], measured: "list[Measurement]"
) -> None:
    import json

    from mdmf_jax.bench.environment import heading, measurements_table, wide_console

    if options.output:
        try:
            write_json(options.output, content)
        except UserError as error:
            raise ConfigError(f"--output={error}") from error
    if options.json:
        print(json.dumps(content, indent=2))
        return
    console = wide_console()
    console.print(heading(content), markup=False)
    console.print(measurements_table(measured))
