"""The table of rooms in `docs/architecture.md` is that of the contract, and that of the imports."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def floors() -> dict[int, set[str]]:
    """The rooms of each floor, as the page shows them."""
    rows = re.findall(r"^\| (\d) \| ([^|]+) \|", TEXT, re.MULTILINE)
    return {int(floor): set(re.findall(r"`(\w+)`", rooms)) for floor, rooms in rows}


def room_of(path: Path) -> str:
    return path.relative_to(ROOT / "snncc").parts[0].removesuffix(".py")


def rooms() -> set[str]:
    """The packages and modules that there are."""
    return {room_of(path) for path in (ROOT / "snncc").rglob("*.py")} - {"__init__", "__main__"}


def imports() -> Iterator[tuple[Path, str]]:
    """Each file of snncc with each room that it imports from."""
    for path in (ROOT / "snncc").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names: list[str] = []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            yield from ((path, name.split(".")[1]) for name in names if name.startswith("snncc."))


def test_every_room_is_on_one_floor() -> None:
    shown = [room for found in floors().values() for room in found]
    assert len(shown) == len(set(shown))
    assert set(shown) == rooms()


def test_the_floors_are_those_of_the_contract() -> None:
    document = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (layers,) = (c["layers"] for c in document["tool"]["importlinter"]["contracts"][:1])
    wanted = [set(re.findall(r"\w+", layer)) for layer in layers if layer != "(__main__)"]
    assert [found for _, found in sorted(floors().items(), reverse=True)] == wanted


def test_imports_lead_down() -> None:
    height = {room: floor for floor, found in floors().items() for room in found}
    found = list(imports())
    assert len(found) > 500
    upwards = {
        f"{path.relative_to(ROOT)} imports {room}"
        for path, room in found
        if room in height
        and room_of(path) in height
        and room != room_of(path)
        and height[room] >= height[room_of(path)]
    }
    assert upwards == set()
