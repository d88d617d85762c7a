"""Feeds the parsers with damaged and hostile inputs for some minutes, and counts them.

    python tests/fuzz/fuzz.py [--minutes 10] [--seed 0]

Ends with a table of the inputs tried. A crash, that is anything but success or one of the
package's own errors, ends the run with exit code 1, the smallest input that does it, and the
trace.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]

from fuzz_targets import TARGETS, Target  # noqa: E402
from hypothesis import HealthCheck, given, seed, settings  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

ROUND = 1000  # inputs of one parser before the next one has its turn


def fuzz(target: Target, examples: int, number: int, counts: Counter) -> None:
    """Tries `examples` inputs; raises what the parser raises. `number` seeds the inputs."""
    with tempfile.TemporaryDirectory() as folder:

        @seed(number)
        @settings(
            max_examples=examples,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(target.inputs)
        def trial(value: Any) -> None:
            counts["accepted" if target.accepts(value, Path(folder)) else "refused"] += 1

        trial()


def report(counts: dict[str, Counter], seconds: float, console: Console) -> None:
    """Prints how many inputs each parser took and refused."""
    table = Table(title=f"Inputs tried in {seconds:.0f} s")
    for name in ("parser", "inputs", "accepted", "refused"):
        table.add_column(name, justify="left" if name == "parser" else "right")
    for name, count in counts.items():
        numbers = (count.total(), count["accepted"], count["refused"])
        table.add_row(name, *(f"{number:,}" for number in numbers))
    console.print(table)
    console.print(f"{sum(c.total() for c in counts.values()):,} inputs in all, no crash")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    begin, number = time.monotonic(), options.seed
    counts = {name: Counter() for name in TARGETS}
    while time.monotonic() - begin < 60 * options.minutes:
        for name, target in TARGETS.items():
            fuzz(target, ROUND, number, counts[name])
        number += 1
    report(counts, time.monotonic() - begin, Console())


if __name__ == "__main__":
    main()
