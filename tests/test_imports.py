"""Imports run one way, and heavy packages are imported only where they are used."""

import ast
import subprocess
import sys

import pytest

from benchmarks import imports as house

# Every room of the package from the ground up; a room may import those before it.
HOUSE = (
    "errors", "config/fields", "files", "web", "ops", "models", "weights", "model", "data",
    "config", "training", "evaluation", "comparison", "classifier", "export", "report", "bench",
    "runs", "cli",
)  # fmt: skip
GROUND = {"errors", "config/fields", "files", "web"}
MOST_ROOMS = 25
HEAVY = {"apache_beam", "tensorflow", "tensorflow_datasets", "torch", "transformers"}
# jit and shardings belong to training and evaluation, to what measures them, and to programs
# that are exported.
MAY_COMPILE = ("training", "evaluation", "bench", "export")
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
    found = house.arrows(repository / "mdmf_jax")
    strange = {room for arrow in found for room in arrow} - set(HOUSE)
    assert not strange
    wrong = {
        arrow: modules
        for arrow, modules in found.items()
        if HOUSE.index(arrow[1]) > HOUSE.index(arrow[0])
        or (arrow[0] == "data" and arrow[1] not in GROUND)
    }
    assert not wrong


def test_the_house_has_every_room_and_no_circle(repository):
    package = repository / "mdmf_jax"
    placed = house.floors(package)  # a ValueError if there is a circle
    # On another machine's copy a room may be missing, but none may be unknown.
    assert set(placed) <= set(HOUSE)
    if package == house.PACKAGE:
        assert set(placed) == set(HOUSE)
    assert len(placed) <= MOST_ROOMS
    for here, there in house.arrows(package):
        assert placed[there] < placed[here]


def test_data_runs_without_jax(repository):
    wrong = [
        f"{path} imports {name}"
        for path, name, _ in all_imports(repository)
        if path.parts[1] == "data"
        and name.split(".")[0] in {"jax", "jaxlib", "flax", "optax", "orbax"}
    ]
    assert not wrong


def test_the_drawing_of_the_house_is_of_today(repository):
    assert (repository / "docs/house.svg").read_text(encoding="utf-8") == house.draw()


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
        if path.relative_to(repository / "mdmf_jax").parts[0] in MAY_COMPILE:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = getattr(node, "attr", getattr(node, "id", getattr(node, "name", None)))
            if name in COMPILED:
                wrong.append(f"{path.relative_to(repository)}: {name}")
    assert not wrong


def test_the_checks_above_can_fail(tmp_path):
    package = tmp_path / "mdmf_jax"
    (package / "data").mkdir(parents=True)
    (package / "models").mkdir()
    (package / "data/bad.py").write_text("import tensorflow\nfrom mdmf_jax.models import mdmf\n")
    (package / "data/worse.py").write_text("from ..models import mdmf\nimport jax\njax.jit(abs)\n")
    (package / "models/mdmf.py").write_text("from mdmf_jax.data import worse\n")
    for check in (
        test_imports_run_one_way,
        test_the_house_has_every_room_and_no_circle,
        test_data_runs_without_jax,
        test_heavy_packages_are_imported_inside_functions,
        test_jit_and_shardings_are_in_training_and_evaluation,
    ):
        with pytest.raises((AssertionError, ValueError)):
            check(tmp_path)
    (package / "models/mdmf.py").write_text("")
    assert house.floors(package) == {"models": 0, "data": 1}
    assert house.arrows(package) == {("data", "models"): ["data.bad", "data.worse"]}


def test_importing_the_package_loads_nothing_heavy(repository):
    command = [sys.executable, "-X", "importtime", "-c", "import mdmf_jax"]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True)
    loaded = {line.split("|")[-1].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert "mdmf_jax" in loaded
    assert not loaded & (HEAVY | {"jax", "numpy"})
