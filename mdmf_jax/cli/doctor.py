"""`mdmf doctor`: does everything work here, and if not, what to do."""

import argparse
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mdmf_jax.runs.doctor.check import Check

SUMMARY = "Check the installation and the machine, and say how to mend what is wrong."
DETAILS = """\
examples:

  mdmf doctor
  mdmf doctor --json

Looks at versions, devices, memory, the video decoder, the folders that are written to, and runs
a small model from pixels to labels. The exit code is 1 if there is a problem. Warnings are of
things that work without, or not as well.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("--json", action="store_true", help="print a JSON list instead")


def run(options: argparse.Namespace) -> int:
    """Checks and prints; returns 1 if there is a problem, else 0."""
    from mdmf_jax.runs.doctor.check import PROBLEM, run_checks

    found = []
    for check in run_checks(_checks()):
        found.append(check)
        if not options.json:
            _print(check)
    if options.json:
        import json

        print(json.dumps([asdict(check) for check in found], indent=2))
    else:
        _print_sum(found)
    return int(any(check.state == PROBLEM for check in found))


def _checks() -> list[tuple[str, Callable[[], "Check"], str]]:
    from mdmf_jax.runs.doctor import installation, machine

    reinstall = "install the packages again: pip install -r requirements.txt"
    cpu = "see whether JAX_PLATFORMS=cpu helps; if so, the accelerator's driver or jax is at fault"
    return [
        ("versions", installation.versions, reinstall),
        ("devices", machine.devices, cpu),
        ("memory", machine.memory, ""),
        ("decoder", installation.decoder, "pip install --force-reinstall av"),
        ("cache folder", machine.cache, "set MDMF_CACHE to another folder"),
        ("compiled programs", machine.compiled, "set MDMF_COMPILATION_CACHE to another folder"),
        ("TensorFlow", installation.tensorflow, "train with --config.data.loader=threads"),
        ("export", installation.flatbuffers, reinstall),
        ("trial", installation.trial, "mend the problems above first; then " + reinstall),
    ]


_STYLES = {"ok": "green", "warning": "yellow", "problem": "bold red"}


def _print(check: "Check") -> None:
    from rich.console import Console
    from rich.markup import escape

    style, state = _STYLES[check.state], f"{check.state:<8}"
    line = f"[{style}]{state}[/] {check.name}: {escape(check.found)}"
    if check.mend:
        line += f"\n         to mend: {escape(check.mend)}"
    Console().print(line, highlight=False, soft_wrap=True)


def _print_sum(found: list["Check"]) -> None:
    counts = {state: sum(c.state == state for c in found) for state in ("problem", "warning")}
    parts = [f"{n} {state}{'s' if n > 1 else ''}" for state, n in counts.items() if n]
    print(", ".join(parts) if parts else "everything works")
