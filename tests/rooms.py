"""The rooms of the house, the top-level entries of stainxform/, and the imports between them, counted.

Usage: python tests/rooms.py [path of a stainxform/ folder]
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "stainxform"


@dataclass(frozen=True)
class Import:
    """An import statement of one module."""

    file: str
    module: str
    """In full: ``stainxform.maps.base``."""
    for_types: bool
    """Within ``if TYPE_CHECKING``."""
    lazy: bool
    """Within a function."""

    @property
    def arrow(self) -> tuple[str, str]:
        """From room, to room."""
        return room(self.file), room(self.module.removeprefix("stainxform.").replace(".", "/"))


def room(path: str) -> str:
    """``normalizers/base.py`` -> ``normalizers``, ``onnx.py`` -> ``onnx``."""
    return path.partition("/")[0].removesuffix(".py")


class House:
    """A package folder."""

    def __init__(self, folder: Path = PACKAGE) -> None:
        self.folder = folder

    @cached_property
    def entries(self) -> list[str]:
        """As ``ls -d stainxform/*.py stainxform/*/`` shows them."""
        found = [p.name for p in self.folder.iterdir() if p.suffix == ".py" or (p.is_dir() and p.name != "__pycache__")]
        return sorted(found)

    @cached_property
    def files(self) -> list[str]:
        """All Python files, as paths below the folder."""
        return sorted(path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*.py"))

    @cached_property
    def homes(self) -> dict[str, str]:
        """The modules that the public names come from: ``from stainxform import Macenko`` is an import of its home."""
        stub = self.folder / "__init__.pyi"
        tree = ast.parse(stub.read_text() if stub.exists() else (self.folder / "__init__.py").read_text())
        nodes = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
        return {
            alias.asname or alias.name: f"stainxform.{node.module.removeprefix('stainxform.')}"
            for node in nodes
            for alias in node.names
        }

    def imports(self, file: str) -> Iterator[Import]:
        """Every import of a file."""

        def visit(node: ast.AST, for_types: bool, lazy: bool) -> Iterator[Import]:
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{file}: imports are absolute"
                modules = {node.module or ""}
                if node.module == "stainxform":
                    modules = {self.homes.get(alias.name, f"stainxform.{alias.name}") for alias in node.names}
            elif isinstance(node, ast.Import):
                modules = {alias.name for alias in node.names}
            else:
                modules = set()
            yield from (Import(file, module, for_types, lazy) for module in sorted(modules))
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                for child in node.body:
                    yield from visit(child, True, lazy)
                children: list[ast.AST] = list(node.orelse)
            else:
                children = list(ast.iter_child_nodes(node))
            inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            for child in children:
                yield from visit(child, for_types, lazy or inside)

        yield from visit(ast.parse((self.folder / file).read_text()), False, False)

    @cached_property
    def between(self) -> list[Import]:
        """The imports from one room to another; the facade, ``__init__.py``, knows all rooms and is none."""
        found = [
            one
            for file in self.files
            if file != "__init__.py"
            for one in self.imports(file)
            if one.module.startswith("stainxform.")
        ]
        return [one for one in found if one.arrow[0] != one.arrow[1]]

    def arrows(self, for_types: bool = False) -> set[tuple[str, str]]:
        """Distinct pairs of rooms, from the one that imports to the one that is imported."""
        return {one.arrow for one in self.between if for_types or not one.for_types}


def circles(arrows: set[tuple[str, str]]) -> list[list[str]]:
    """Groups of rooms that import one another, directly or through others."""
    reach: dict[str, set[str]] = {}

    def visit(start: str) -> set[str]:
        seen, waiting = set(), [start]
        while waiting:
            here = waiting.pop()
            for above, below in arrows:
                if above == here and below not in seen:
                    seen.add(below)
                    waiting.append(below)
        return seen

    for name in {name for arrow in arrows for name in arrow}:
        reach[name] = visit(name)
    groups = {
        frozenset(other for other in reach[name] if name in reach[other]) for name in reach if name in reach[name]
    }
    return sorted(sorted(group) for group in groups)


def layers(arrows: set[tuple[str, str]]) -> list[list[str]]:
    """Rooms by the longest way down, the ground first; a circle counts as one room."""
    group = {name: "+".join(circle) for circle in circles(arrows) for name in circle}
    merged = {(group.get(a, a), group.get(b, b)) for a, b in arrows}
    names = {name for arrow in merged for name in arrow}
    height: dict[str, int] = {}

    def of(name: str) -> int:
        if name not in height:
            height[name] = max((1 + of(below) for above, below in merged if above == name and below != name), default=0)
        return height[name]

    for name in names:
        of(name)
    return [sorted(name for name in names if height[name] == level) for level in range(max(height.values()) + 1)]


def main() -> None:
    """Print the numbers."""
    house = House(Path(sys.argv[1]) if len(sys.argv) > 1 else PACKAGE)
    arrows, with_types = house.arrows(), house.arrows(for_types=True)
    print(f"{len(house.entries)} entries: {' '.join(house.entries)}")
    print(f"{len(arrows)} arrows between rooms, {len(with_types)} with imports for types only")
    found = layers(arrows)
    print(f"{len(found)} layers, from the ground:")
    for names in found:
        print("   ", " ".join(names))
    groups = circles(with_types)
    print(f"{len(groups)} circles")
    for group in groups:
        print("   ", " ".join(group))
        for one in house.between:
            if set(one.arrow) <= set(group):
                print(f"        {one.file} imports {one.module}{' (for types only)' if one.for_types else ''}")


if __name__ == "__main__":
    main()
