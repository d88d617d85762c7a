"""Compares this package with numbers computed by the published PyTorch code.

    python tests/parity/check.py [DIR ...]

A case is a pair NAME.json (settings) and NAME.npz (expected arrays). Prints a table with the
largest relative error of every quantity, max|ours - expected| / max|expected|, and exits with
code 1 if one exceeds its tolerance (ten times as large for a ResNet). Without DIR it runs the
cases in this folder.
"""

import importlib
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

HERE = Path(__file__).parent
RESNET_FACTOR = 10  # of the tolerance: a ResNet's activations span several orders of magnitude
EXACT = ("pps_argmax_class", "pps_class")
_ATTENTION_BIAS = re.compile(r"[qkv](?=_proj\.bias$)|(?<=proj_)[qkv](?=\.bias$)")
Tolerances = Sequence[tuple[str, float]]
TOLERANCES: Tolerances = (  # first matching prefix
    ("grad", 1e-4),
    ("pps_probability", 5e-5),
    ("query_ce_sum", 5e-5),
    ("class_ce_sum", 5e-5),
    ("distill_loss", 5e-5),
    ("total_loss", 5e-5),
    ("", 1e-5),
)


class Row(NamedTuple):
    """One compared quantity."""

    case: str
    quantity: str
    error: float
    tolerance: float
    rounding: float = 0.0  # bound where float32 does not determine the value; 0: it does

    @property
    def passed(self) -> bool:
        return self.error <= max(self.tolerance, self.rounding)

    @property
    def verdict(self) -> str:
        if self.error <= self.tolerance:
            return "ok"
        return "rounding" if self.passed else "FAILED"


def tolerance(quantity: str, own: Tolerances = ()) -> float:
    """Largest relative error that counts as equal.

    Args:
      own: (prefix, tolerance) pairs of this kind of case, which come before the usual ones.
    """
    if quantity in EXACT:
        return 0.0
    return next(value for prefix, value in (*own, *TOLERANCES) if quantity.startswith(prefix))


def tolerance_factor(settings: dict) -> int:
    """How much further than usual a case may be off: more if its image tower is a ResNet."""
    tower = settings.get("case", settings).get("backbone", settings.get("kind", ""))
    return RESNET_FACTOR if tower.lower().startswith("rn") else 1


def relative_error(ours, expected, unit: float | None = None) -> float:
    """max|ours - expected| / unit; infinite where shapes differ or ours is not finite.

    The unit is max|expected| if none is given.
    """
    ours, expected = np.asarray(ours, np.float64), np.asarray(expected, np.float64)
    if ours.shape != expected.shape or not np.isfinite(ours).all():
        return float("inf")
    difference = np.abs(ours - expected).max()
    return float(difference / (unit or np.abs(expected).max() or 1.0))


def scale(quantity: str, expected: Mapping[str, np.ndarray]) -> float:
    """What the error of a quantity is relative to: its own largest value.

    An attention's three biases share a scale, as they do where one tensor holds them: all keys
    shifted alike change no attention weight, so that the gradient of the key's bias is zero,
    and what both sides have for it is rounding error.
    """
    names = [quantity]
    if _ATTENTION_BIAS.search(quantity):
        names = [_ATTENTION_BIAS.sub(letter, quantity) for letter in "qkv"]
    return max(float(np.abs(expected[name]).max()) for name in names if name in expected)


def check(settings: Path) -> Iterator[Row]:
    """Rows of one case; a kind of case that nobody runs here is a failed row."""
    content = json.loads(settings.read_text())
    kind = case_module(content)
    if kind is None:
        yield Row(settings.stem, "no runner for this kind of case", float("inf"), 0.0)
        return
    runner = importlib.import_module(kind)
    own = getattr(runner, "TOLERANCES", ())
    if hasattr(runner, "tolerances"):
        own = runner.tolerances(content)
    ours, expected = runner.run(settings)
    factor = tolerance_factor(content)
    for quantity in sorted(expected):
        if not quantity.startswith("in/"):
            unit = scale(quantity, expected)
            error = relative_error(ours[quantity], expected[quantity], unit)
            bound = factor * tolerance(quantity, own)
            yield Row(settings.stem, quantity, error, bound, rounding(settings, runner, quantity))
    if "logits" in expected and expected["logits"].ndim == 2:
        wrong = np.argmax(ours["logits"], -1) != np.argmax(expected["logits"], -1)
        yield Row(settings.stem, "predictions", float(wrong.sum()), 0.0)


def rounding(settings: Path, runner: Any, quantity: str) -> float:
    """Bound of a quantity that float32 does not determine to its tolerance; 0 for others.

    The module of a case may name such in UNDETERMINED: name of a case -> (prefix, bound), with
    the measurement that shows it. They are counted apart.
    """
    prefix, bound = getattr(runner, "UNDETERMINED", {}).get(settings.stem, ("", 0.0))
    return bound if quantity.startswith(prefix) else 0.0


def find_cases(folders: list[Path]) -> list[Path]:
    """Settings files that have expected arrays beside them."""
    found = [path for folder in folders for path in sorted(folder.rglob("*.json"))]
    return [path for path in found if path.with_suffix(".npz").exists()]


def case_module(content: Mapping) -> str | None:
    """Name of the module in this folder that runs a case: `run(settings)` -> (ours, expected).

    It may have TOLERANCES of its own, or `tolerances(content)` for the case; a ResNet's are ten
    times as large.
    """
    keys = content.keys()
    if "method" in keys:
        name = f"{content['method']}_case"
        return name if (HERE / f"{name}.py").exists() else None
    kinds = (
        ({"case"}, "mdmf_case"),
        ({"layout"}, "clip_case"),
        ({"mode", "options"}, "clip_fsar_case"),  # the other heads have neither
        ({"tuples_per_level"}, "tuple_case"),
        ({"num_classes", "params", "shot"}, "baseline_case"),
        ({"smoothing"}, "otam_case"),
    )
    return next((name for needed, name in kinds if needed <= keys), None)


def main(arguments: list[str]) -> int:
    cases = find_cases([Path(argument) for argument in arguments] or [HERE])
    if not cases:
        print(f"error: no cases (NAME.json and NAME.npz) in {' '.join(arguments)}")
        return 2
    rows = []
    for case in cases:
        for row in check(case):
            numbers = f"{row.error:9.1e} {row.tolerance:7.0e}"
            print(f"{row.case:44} {row.quantity:58} {numbers} {row.verdict}")
            rows.append(row)
    failed = sum(not row.passed for row in rows)
    beyond = sum(row.verdict == "rounding" for row in rows)
    more = (
        f", {beyond} beyond the tolerance where float32 does not determine them" if beyond else ""
    )
    print(f"{len(cases)} cases, {len(rows)} quantities, {failed} failed{more}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.path[:0] = [str(HERE), str(HERE.parents[1])]
    sys.exit(main(sys.argv[1:]))
