"""The measurements of a run with what it takes to judge them, as JSON and as a table."""

import dataclasses
import datetime
import os
import platform
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mdmf_jax.bench.measurement import Measurement
from mdmf_jax.evaluation.provenance import hardware, versions

_CPUINFO = Path("/proc/cpuinfo")


def load_average() -> list[float] | None:
    """The machine's load average over 1, 5 and 15 minutes; None where there is none."""
    return [round(x, 2) for x in os.getloadavg()] if hasattr(os, "getloadavg") else None


def bench_content(
    measurements: Sequence[Measurement], loads: Iterable[list[float] | None]
) -> dict[str, Any]:
    """What `bench --json` writes.

    Args:
      loads: load averages before and after the measurements.
    """
    before, after = loads
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": versions(),
        "hardware": hardware() | {"cpu": cpu_name()},
        "load_average": {"before": before, "after": after},
        "measurements": [dataclasses.asdict(m) for m in measurements],
    }


def heading(content: dict[str, Any]) -> str:
    """One line about where and when: content as `bench_content` gives it."""
    hardware, load = content["hardware"], content["load_average"]
    device = hardware["cpu"] if hardware["platform"] == "cpu" else hardware["device"]
    parts = [
        f"{device}, {hardware['cpu_cores']} cores",
        f"jax {content['versions']['jax']}",
        content["date"],
    ]
    if load["before"]:
        parts.append(f"load average {load['before'][0]} before, {load['after'][0]} after")
    return "; ".join(parts)


def cpu_name() -> str:
    """The processor's name as the system gives it."""
    if _CPUINFO.exists():
        for line in _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def measurements_table(measurements: Sequence[Measurement]) -> Table:
    """One row for each measurement; the last columns only where something is known."""
    rows = [_row(m) for m in measurements]
    titles = ("what", "rate", "of one", "a run", "GFLOP/s", "of peak", "memory")
    table = Table()
    kept = [i for i in range(len(titles)) if i < 4 or any(row[i] for row in rows)]
    for i in kept:
        table.add_column(titles[i], justify="left" if i == 0 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(escape(row[i]) for i in kept))
    return table


def wide_console() -> Console:
    """A console for the table: as wide as the terminal, or wide enough where there is none."""
    console = Console(highlight=False, soft_wrap=True)
    return console if console.is_terminal else Console(highlight=False, soft_wrap=True, width=130)


def duration(seconds: float) -> str:
    """Seconds as text with three digits and a fitting unit, such as "1.87 s" or "26.3 us"."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{three_digits(seconds / size)} {unit}"
    return f"{three_digits(seconds / 1e-9)} ns"


def three_digits(number: float) -> str:
    """A number with at least three digits, rounded to them, no exponent: 5,360,000 or 0.543."""
    if not number:
        return "0"
    decimals = 0
    while decimals < 6 and abs(number) * 10**decimals < 100:
        decimals += 1
    if decimals:
        return f"{number:.{decimals}f}"
    size = 10 ** (len(str(int(abs(number)))) - 3)
    return f"{round(number / size) * size:,}"


def _row(m: Measurement) -> tuple[str, ...]:
    speed = "" if m.flops is None else three_digits(m.flops / m.median_seconds / 1e9)
    share = "" if m.share_of_peak is None else f"{100 * m.share_of_peak:.1f}%"
    memory = "" if m.peak_bytes is None else f"{three_digits(m.peak_bytes / 2**20)} MiB"
    of_one = duration(1 / m.value) if m.value > 0 else ""
    return (
        m.name,
        f"{three_digits(m.value)} {m.unit}",
        of_one,
        duration(m.median_seconds),
        speed,
        share,
        memory,
    )
