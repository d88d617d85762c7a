"""Imports run one way, and heavy packages are imported only where they are used."""

import ast
import subprocess
import sys

import pytest

# What the modules of a folder may import of this package, at any level of the code.
ALLOWED = {
    "ops": {"errors", "files", "ops"},
    "models": {"errors", "files", "config.fields", "ops", "models"},
    "weights": {"errors", "files", "config.fields", "ops", "models", "weights"},
    "data": {"errors", "files", "config.fields", "data"},
    "training": {"errors", "files", "compatibility", "ops", "models", "data", "training"},
    "evaluation": {"errors", "files", "ops", "models", "weights", "data", "evaluation"},
}
HEAVY = {"apache_beam", "tensorflow", "tensorflow_datasets", "torch", "transformers"}
# jit and shardings belong to training and evaluation, to what measures them, and to programs
# that are exported.
COMPILED = {"jit", "NamedSharding", "PartitionSpec", "make_mesh", "Mesh", "pmap"}


def modules(repository):
    return sorted((repository / "mdmf_jax").rglob("*.py"))


def imported(tree, package):
    """Pairs (name of the module, at module level) of all imports."""
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = ".".join(package[: len(package) + 1 - node.level]) if node.level else ""
            base = ".".join(filter(None, [start, node.module]))
            names = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            yield name, id(node) not in inside


def all_imports(repository):
    for path in modules(repository):
        package = path.relative_to(repository).parent.parts
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for name, top in imported(tree, package):
            yield path.relative_to(repository), name, top


def test_imports_run_one_way(repository):
    wrong = []
    for path, name, _ in all_imports(repository):
        folder = path.parts[1]
        parts = name.split(".")
        if folder in ALLOWED and parts[0] == "mdmf_jax" and len(parts) > 1:
            # `import mdmf_jax` for its version reads no other module.
            if not {parts[1], ".".join(parts[1:3])} & ALLOWED[folder]:
                wrong.append(f"{path} imports {name}")
        if folder == "data" and parts[0] in {"jax", "jaxlib", "flax", "optax", "orbax"}:
            wrong.append(f"{path} imports {name}")
    assert not wrong


def test_heavy_packages_are_imported_inside_functions(repository):
    wrong = [
        f"{path} imports {name}"
        for path, name, top in all_imports(repository)
        if top and name.split(".")[0] in HEAVY
    ]
    assert not wrong


def test_jit_and_shardings_are_in_training_and_evaluation(repository):
    wrong = []
    for path in modules(repository):
        if path.parent.name in ("training", "evaluation", "bench", "export"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = getattr(node, "attr", getattr(node, "id", getattr(node, "name", None)))
            if name in COMPILED:
                wrong.append(f"{path.relative_to(repository)}: {name}")
    assert not wrong


def test_the_checks_above_can_fail(tmp_path):
    package = tmp_path / "mdmf_jax" / "data"
    package.mkdir(parents=True)
    (package / "bad.py").write_text("import tensorflow as tf\nfrom mdmf_jax.ops import losses\n")
    (package / "worse.py").write_text("from ..models import mdmf\nimport jax\nf = jax.jit(abs)\n")
    for check in (
        test_imports_run_one_way,
        test_heavy_packages_are_imported_inside_functions,
        test_jit_and_shardings_are_in_training_and_evaluation,
    ):
        with pytest.raises(AssertionError):
            check(tmp_path)


def test_importing_the_package_loads_nothing_heavy(repository):
    command = [sys.executable, "-X", "importtime", "-c", "import mdmf_jax"]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True)
    loaded = {line.split("|")[-1].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert "mdmf_jax" in loaded
    assert not loaded & (HEAVY | {"jax", "numpy"})
