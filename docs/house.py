"""Count the house: rooms, floors, import arrows between rooms, cycles. Run: `python docs/house.py [FOLDER]`.

A room is a folder of the package or a module of its root; an arrow is an import of one room by another, those inside
functions included and those for type checkers alone left out. A floor is the length of the longest way down.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1] / "ddbench"


def room_of(path: Path, root: Path) -> str:
    """Return the room of a file: its folder below the root, or its own name."""
    parts = path.relative_to(root).with_suffix("").parts
    return "/".join(parts[:-1]) or parts[0]


def imported(tree: ast.AST) -> Iterator[str]:
    """Yield the dotted names that a file imports."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
            yield from (module + alias.name for alias in node.names)
        yield from imported(node)


def arrows_of(root: Path = ROOT) -> dict[str, set[str]]:
    """Return for each room the rooms that it imports."""
    files = {".".join((root.name, *p.relative_to(root).with_suffix("").parts)): p for p in root.rglob("*.py")}
    files |= {name.removesuffix(".__init__"): path for name, path in files.items()}
    found: dict[str, set[str]] = {room_of(path, root): set() for path in files.values()}
    for path in set(files.values()):
        for name in imported(ast.parse(path.read_text(encoding="utf-8"))):
            target = files.get(name) or files.get(name.rpartition(".")[0]) or path
            found[room_of(path, root)].add(room_of(target, root))
    return {room: {to for to in found[room] if to != room} for room in found}


if __name__ == "__main__":
    arrows = arrows_of(Path(sys.argv[1]) / "ddbench" if len(sys.argv) > 1 else ROOT)
    print(f"{len(arrows)} rooms, {sum(map(len, arrows.values()))} arrows")
    try:
        floors: dict[str, int] = {}
        for room in TopologicalSorter(arrows).static_order():
            floors[room] = 1 + max((floors[below] for below in arrows[room]), default=0)
        print(f"{max(floors.values())} floors, no cycle")
        for floor in range(max(floors.values()), 0, -1):
            print(floor, ", ".join(sorted(room for room, found in floors.items() if found == floor)))
    except CycleError as error:
        print("cycle:", " -> ".join(error.args[1]))
