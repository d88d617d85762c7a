"""The results file and the tables."""

import io
import platform

import jax
import numpy
from rich.console import Console

import mdmf_jax
from mdmf_jax.evaluation import provenance as report
from mdmf_jax.evaluation import tables

METRICS = {
    "accuracy": 0.625,
    "interval95": 0.0125,
    "prompt_accuracy": 0.4,
    "per_class": {"a [b]": 0.25, "c": 0.75},
    "episodes": 1000,
    "way": 5,
    "shot": 1,
    "queries": 1,
}


def printed(table):
    out = io.StringIO()
    Console(file=out, width=120).print(table)
    return out.getvalue()


def test_versions_and_hardware():
    versions = report.versions()
    assert versions["jax"] == jax.__version__
    assert versions["numpy"] == numpy.__version__
    assert versions["python"] == platform.python_version()
    assert versions["mdmf_jax"] == mdmf_jax.__version__
    assert {"jaxlib", "flax", "optax", "orbax"} <= set(versions)
    assert report.hardware()["devices"] == jax.device_count()


def test_results_table():
    untrained = METRICS | {"accuracy": 0.2, "prompt_accuracy": None}
    results = {"test": {"5way_1shot": METRICS}, "untrained": {"5way_1shot": untrained}}
    text = printed(tables.results_table(results))
    for part in ("5-way 1-shot", "62.5% ± 1.2", "20.0% ± 1.2", "40.0%", "1,000 episodes"):
        assert part in text
    assert "-" in printed(tables.results_table({"test": {"5way_1shot": METRICS}}))


def test_class_table_shows_names_as_they_are_best_first():
    lines = printed(tables.class_table(METRICS)).splitlines()
    c, a = (next(i for i, line in enumerate(lines) if name in line) for name in ("75.0%", "a [b]"))
    assert c < a
