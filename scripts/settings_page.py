"""Writes docs/settings.md: every setting with its default, from the fields themselves.

python scripts/settings_page.py
"""

import sys
from collections.abc import Iterator
from dataclasses import Field
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from mdmf_jax.config.convert import BOUNDS  # noqa: E402
from mdmf_jax.config.fields import AFFECTS, SAME, effect  # noqa: E402
from mdmf_jax.config.schema import all_sections, options  # noqa: E402
from mdmf_jax.models.encoders.registry import ENCODERS  # noqa: E402
from mdmf_jax.models.methods.registry import METHODS  # noqa: E402

PAGE = ROOT / "docs" / "settings.md"
HEAD = """\
# Settings

Written by `scripts/settings_page.py` from the options' own fields; do not edit. Each setting can be
given as `--config.SECTION.SETTING=VALUE`. "Published" is the value under `variant=reference`;
methods whose published code has another value are named. A setting with a published value is None
in a config until the variant is known.

The last column says what a setting affects:

"""
COLUMNS = (
    "| setting | default | published | allowed | what | affects |\n|---|---|---|---|---|---|\n"
)


def page() -> str:
    """The whole page."""
    kinds = "".join(f"* *{name}*: {text}\n" for name, text in AFFECTS.items())
    return HEAD + kinds + "".join(_tables())


def _tables() -> Iterator[str]:
    sections = all_sections()
    yield _table("At the top", "", {})
    for encoder in ENCODERS:
        title = f"`encoder`, with `encoder.name={encoder}`"
        yield _table(title, "encoder.", {"encoder": all_sections(encoder)["encoder"]})
    for name, cls in sections.items():
        if name != "encoder":
            yield _table(f"`{name}`", f"{name}.", {name: cls}, cls.__doc__)


def _table(title: str, prefix: str, sections: dict[str, type], about: str | None = None) -> str:
    rows = [
        _row(path, field, kind)
        for path, field, kind in options(sections)
        if path.startswith(prefix) and (prefix or "." not in path)
    ]
    text = f"{about.strip().splitlines()[0]}\n\n" if about else ""
    return f"\n## {title}\n\n{text}{COLUMNS}{''.join(rows)}"


def _row(path: str, field: Field, kind: Any) -> str:
    affects = effect(field, of_encoder=path.startswith("encoder."))
    default = _code("not `data.left_right`" if path == "data.flip" else field.default)
    what = str(field.metadata.get("help", ""))
    cells = [f"`{path}`", default, _published(path, field), _allowed(field, kind), what, affects]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _published(path: str, field: Field) -> str:
    reference = field.metadata.get("reference", SAME)
    if reference is SAME:
        return ""
    others: dict[str, list[str]] = {}
    for name, method in METHODS.items():
        if method.published.get(path, reference) != reference:
            others.setdefault(_code(method.published[path]), []).append(name)
    return "; ".join([_code(reference), *(f"{v}: {', '.join(n)}" for v, n in others.items())])


def _allowed(field: Field, kind: Any) -> str:
    choices = get_args(kind) if get_origin(kind) is Literal else field.metadata.get("choices")
    if choices:
        return ", ".join(_code(choice) for choice in choices)
    item = get_args(kind)[0] if get_origin(kind) is tuple else kind
    bounds = [f"{words} {field.metadata[n]}" for n, words, _ in BOUNDS if n in field.metadata]
    several = "s" if item is not kind else ""
    return f"{item.__name__}{several} {' and '.join(bounds)}".strip()


def _code(value: Any) -> str:
    if isinstance(value, str) and "`" in value:
        return value
    return f'`"{value}"`' if isinstance(value, str) else f"`{value}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
