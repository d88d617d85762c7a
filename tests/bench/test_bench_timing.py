"""Arithmetic of the measurements, with a clock that does what it is told."""

import itertools

import jax
import jax.numpy as jnp
import pytest

from mdmf_jax.bench.peaks import peak_flops
from mdmf_jax.bench.timing import compile_program, seconds_of, summarise

pytestmark = pytest.mark.optimised


def test_seconds_of_times_each_call_after_the_warmup():
    calls, readings = [], itertools.chain([10.0, 10.5, 20.0, 23.0, 30.0, 30.25])
    seconds = seconds_of(
        lambda: calls.append(len(calls)), 3, warmup=2, clock=lambda: next(readings)
    )
    assert seconds == [0.5, 3.0, 0.25]
    assert len(calls) == 5
    assert next(readings, None) is None  # the warm-up did not look at the clock


def test_summary_takes_the_median_and_the_peak():
    measured = summarise(
        "x",
        [4.0, 1.0, 2.0],
        items=50,
        unit="images/s",
        settings={"batch": 50},
        dtype="bfloat16",
        flops=197e12,
        device_kind="TPU v5 lite",
    )
    assert (measured.median_seconds, measured.value, measured.repeats) == (2.0, 25.0, 3)
    assert measured.share_of_peak == pytest.approx(0.5)
    assert measured.settings == {"batch": 50, "dtype": "bfloat16", "fastest_seconds": 1.0}


@pytest.mark.parametrize(
    ("kind", "dtype", "flops"),
    [("cpu", "bfloat16", 1e9), ("NVIDIA H200", "float32", 1e9), ("NVIDIA H200", "bfloat16", None)],
)
def test_no_share_of_an_unknown_peak(kind, dtype, flops):
    measured = summarise(
        "x", [1.0], items=1, unit="x/s", settings={}, dtype=dtype, flops=flops, device_kind=kind
    )
    assert measured.share_of_peak is None and measured.flops == flops


@pytest.mark.parametrize(
    ("kind", "tera"),
    [
        ("NVIDIA H200", 989.4),
        ("NVIDIA H100 80GB HBM3", 989.4),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA A100-SXM4-80GB", 312),
        ("TPU v4", 275),
        ("TPU v4 lite", None),  # an older chip for inference, not a v4
        ("TPU v5 lite", 197),
        ("TPU v5p", 459),
        ("TPU v6 lite", 918),
        ("cpu", None),
    ],
)
def test_published_peaks(kind, tera):
    assert peak_flops(kind, "bfloat16") == (None if tera is None else tera * 1e12)


def test_a_program_knows_its_operations_and_memory():
    a, b = jnp.ones((32, 64)), jnp.ones((64, 16))
    program = compile_program(lambda a, b: a @ b, a, b)
    assert program.flops == 2 * 32 * 64 * 16
    assert program.peak_bytes >= 4 * (32 * 64 + 64 * 16 + 32 * 16)
    assert program.call(a, b).shape == (32, 16)


def test_operations_of_a_program_with_a_loop_are_unknown():
    def power(a):
        return jax.lax.scan(lambda x, _: (x @ a, None), a, None, length=50)[0]

    assert compile_program(power, jnp.ones((32, 32))).flops is None
