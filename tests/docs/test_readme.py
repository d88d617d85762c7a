"""The Python blocks of the README: they use the public interface only, and run."""

import ast
import re
from pathlib import Path

import pytest

import mdmf_jax

README = Path(__file__).resolve().parents[2] / "README.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)


def used(code: str) -> set[str]:
    """What a block takes of the package: "load" of mdmf_jax.load, "a.b" of mdmf_jax.a imports."""
    found = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "mdmf_jax":
            inner = (node.module or "").removeprefix("mdmf_jax").lstrip(".")
            found |= {f"{inner}.{alias.name}".lstrip(".") for alias in node.names}
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name.startswith("mdmf_jax.")]
            found |= {name.removeprefix("mdmf_jax.") for name in names}
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id == "mdmf_jax":
                found.add(node.attr)
    return found


@pytest.mark.parametrize("code", BLOCKS)
def test_only_public_names_are_used(code):
    assert used(code) and used(code) <= set(mdmf_jax.__all__)


def test_what_is_not_public_is_found():
    code = "import mdmf_jax.ops\nfrom mdmf_jax.model import x\nimport mdmf_jax\nmdmf_jax.y()"
    assert used(code) == {"ops", "model.x", "y"}


@pytest.mark.slow
def test_the_model_of_the_readme_answers(capsys):
    """All videos are alike, so that every query gets the same answer."""
    code = next(block for block in BLOCKS if "FewShotModel(" in block)
    exec(compile(code, str(README), "exec"), {})
    assert re.fullmatch(r"\[([01])( \1){2}\] \[[01 ]+\]\n", capsys.readouterr().out)
