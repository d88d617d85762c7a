"""One line of `doctor`: what was looked at, how it is, and how to mend it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

OK, WARNING, PROBLEM = "ok", "warning", "problem"


@dataclass(frozen=True)
class Check:
    """One finding.

    Attributes:
      name: what was looked at.
      state: "ok"; "warning": something will not work or not well; "problem": nothing will.
      found: how it is.
      mend: what to do; "" if it is well.
    """

    name: str
    state: str
    found: str
    mend: str = ""


def run_checks(
    checks: Iterable[tuple[str, Callable[[], Check], str]],
) -> Iterable[Check]:
    """The findings, as they are made.

    Args:
      checks: name, function and what to do if the function itself fails.
    """
    for name, function, mend in checks:
        try:
            yield function()
        # RuntimeError: what jax raises where a device does not work. ValueError: a UserError.
        except (ImportError, OSError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            yield Check(name, PROBLEM, reason, mend)
