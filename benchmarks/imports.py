"""Rooms, floors and arrows of the package: who imports whom.

    python benchmarks/imports.py                      # prints the counts
    python benchmarks/imports.py --svg docs/house.svg # and draws the house

A room is a package or a loose module at the top of mdmf_jax; `config/fields`, with which options
are declared, is a room of its own. An arrow runs from a room to one that it imports, at any level
of the code. A room stands one floor above the highest room that it imports.
"""

import argparse
import ast
import html
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "mdmf_jax"
# How an option is declared, and nothing else of `config`, is on the ground.
APART = {"config.fields": "config/fields"}
# The public names are loaded when they are asked for, and the program starts here.
DOORS = ("__init__", "__main__")


def module_name(path: Path, package: Path = PACKAGE) -> str:
    """Name of a file's module below the package, such as "data.dataset"."""
    parts = path.relative_to(package).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def room_of(module: str) -> str:
    """The room that a module below the package lies in."""
    for start, room in APART.items():
        if module == start or module.startswith(f"{start}."):
            return room
    return module.partition(".")[0]


def imports(path: Path, package: Path = PACKAGE) -> Iterator[str]:
    """Names of what a file imports of the package, below the package: "data.dataset.Dataset"."""
    inside = path.relative_to(package.parent).parent.parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = inside[: len(inside) + 1 - node.level] if node.level else ()
            base = ".".join([*start, *([node.module] if node.module else [])])
            names = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        top = f"{package.name}."
        yield from (name.removeprefix(top) for name in names if name.startswith(top))


def arrows(package: Path = PACKAGE) -> dict[tuple[str, str], list[str]]:
    """(room, imported room) -> the modules that import it."""
    found: dict[tuple[str, str], list[str]] = {}
    rooms = all_rooms(package)
    for path in sorted(package.rglob("*.py")):
        module = module_name(path, package)
        for name in imports(path, package):
            here, there = room_of(module), room_of(name)
            if here != there and here not in DOORS and there in rooms:
                found.setdefault((here, there), []).append(module)
    return found


def all_rooms(package: Path = PACKAGE) -> set[str]:
    """Names of all rooms."""
    rooms = {room_of(module_name(path, package)) for path in package.rglob("*.py")}
    return rooms - set(DOORS)


def floors(package: Path = PACKAGE) -> dict[str, int]:
    """The floor of each room, from 0.

    Raises:
      ValueError: some rooms import each other in a circle.
    """
    needs = {room: set() for room in all_rooms(package)}
    for here, there in arrows(package):
        needs[here].add(there)
    placed: dict[str, int] = {}
    while len(placed) < len(needs):
        ready = [r for r in needs if r not in placed and needs[r] <= placed.keys()]
        if not ready:
            circle = sorted(needs.keys() - placed.keys())
            raise ValueError(f"a circle among {', '.join(circle)}")
        for room in ready:
            placed[room] = 1 + max((placed[other] for other in needs[room]), default=-1)
    return placed


def by_floor(package: Path = PACKAGE) -> list[list[str]]:
    """Rooms from the ground up."""
    placed = floors(package)
    return [sorted(r for r in placed if placed[r] == n) for n in range(max(placed.values()) + 1)]


def draw(package: Path = PACKAGE) -> str:
    """The house as an SVG: a row for each floor, a line for each arrow."""
    levels, width, height = by_floor(package), 118, 64
    most = max(len(rooms) for rooms in levels)
    place = {}
    for floor, rooms in enumerate(levels):
        for number, room in enumerate(rooms):
            x = (number + (most - len(rooms)) / 2) * width + 12
            place[room] = x, (len(levels) - 1 - floor) * height + 12
    size = most * width + 24, len(levels) * height + 8
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size[0]:.0f} {size[1]:.0f}" '
        f'font-family="sans-serif" font-size="13"><title>Rooms of mdmf_jax by floor; lines run '
        "from a room down to those that it imports</title>",
        f'<rect width="{size[0]:.0f}" height="{size[1]:.0f}" fill="#ffffff"/>',
    ]
    for here, there in sorted(arrows(package)):
        (x, y), (u, v) = place[here], place[there]
        lines.append(
            f'<path d="M{x + 50:.0f} {y + 30:.0f}L{u + 50:.0f} {v:.0f}" stroke="#c3cbd6" '
            'stroke-width="1"/>'
        )
    for room, (x, y) in sorted(place.items()):
        lines.append(
            f'<rect x="{x:.0f}" y="{y:.0f}" width="100" height="30" rx="5" fill="#eef3fa" '
            f'stroke="#4a6a94"/><text x="{x + 50:.0f}" y="{y + 20:.0f}" text-anchor="middle" '
            f'fill="#1b1f24">{html.escape(room)}</text>'
        )
    return "\n".join([*lines, "</svg>", ""])


def main() -> None:
    """Prints the counts, and draws if asked to."""
    parser = argparse.ArgumentParser(description="Rooms, floors and arrows of the package.")
    parser.add_argument("--svg", type=Path, help="file to draw the house into")
    options = parser.parse_args()
    levels, found = by_floor(), arrows()
    modules = sum(1 for _ in PACKAGE.rglob("*.py"))
    print(f"{len(all_rooms())} rooms on {len(levels)} floors, {len(found)} arrows, {modules} files")
    for floor, rooms in reversed(list(enumerate(levels))):
        print(f"{floor:2}  {', '.join(rooms)}")
    if options.svg:
        options.svg.write_text(draw(), encoding="utf-8")
        print(f"wrote {options.svg}")


if __name__ == "__main__":
    main()
