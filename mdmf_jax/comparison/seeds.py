"""Methods trained with several seeds: mean, spread over the seeds, differences seed by seed."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mdmf_jax.evaluation.tables import percent

NOTE = (
    "Each method was trained with every seed and tested on the same episodes. Spread is the "
    "standard deviation over the seeds; differences are taken seed by seed, and in brackets is the "
    "least and the greatest of them."
)


def over_seeds(entries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One summary for each method, in the order of the entries.

    Args:
      entries: of compare.json; those of one method have the same "group" and different seeds.

    Returns:
      name, seeds, accuracy (mean), spread (standard deviation with ddof 1; None for one seed),
      differences (to the first method with the same seed, one a seed), pairs (mean accuracy on
      order pairs; None without) and parameters.
    """
    groups: dict[str, dict[int, Mapping[str, Any]]] = {}
    for entry in entries:
        groups.setdefault(entry["group"], {})[entry["settings"]["seed"]] = entry
    base = next(iter(groups.values()))
    return [_summary(name, found, base) for name, found in groups.items()]


def seed_rows(entries: Sequence[Mapping[str, Any]], chance: float):
    """Headers and rows of a table, one row for each method."""
    found = over_seeds(entries)
    first, with_pairs = found[0]["name"], found[0]["pairs"] is not None
    headers = ["method", f"accuracy (chance {percent(chance)})", "spread"]
    headers += [f"difference to {first}"]
    headers += ["order pairs (chance 50.0%)"] if with_pairs else []
    headers += ["seeds", "parameters trained"]
    rows = []
    for one in found:
        spread = "-" if one["spread"] is None else f"{100 * one['spread']:.1f}"
        row = [one["name"], percent(one["accuracy"]), spread]
        row += ["-" if one is found[0] else _range(one["differences"])]
        row += [percent(one["pairs"])] if with_pairs else []
        rows.append([*row, str(len(one["seeds"])), f"{one['parameters']:,}"])
    return headers, rows


def _summary(name: str, found: Mapping[int, Mapping], base: Mapping[int, Mapping]):
    accuracies = [entry["accuracy"] for entry in found.values()]
    pairs = [entry["pairs"]["accuracy"] for entry in found.values() if entry["pairs"]]
    both = [seed for seed in found if seed in base]
    return {
        "name": name,
        "seeds": list(found),
        "accuracy": float(np.mean(accuracies)),
        "spread": float(np.std(accuracies, ddof=1)) if len(found) > 1 else None,
        "differences": [found[seed]["accuracy"] - base[seed]["accuracy"] for seed in both],
        "pairs": float(np.mean(pairs)) if pairs else None,
        "parameters": next(iter(found.values()))["parameters"],
    }


def _range(differences: Sequence[float]) -> str:
    low, high = min(differences), max(differences)
    return f"{100 * np.mean(differences):+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"
