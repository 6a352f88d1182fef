"""The direction of imports: a module imports from lower layers or from its own room only."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import batchai

PACKAGE = Path(batchai.__file__).parent
LAYERS: tuple[frozenset[str], ...] = (
    frozenset({"errors"}),
    frozenset({"domain", "clock", "secrets"}),
    frozenset({"templates", "documents"}),  # the job file's templates are compiled when it is read
    frozenset({"spec"}),
    frozenset({"sources", "prompts", "schemas", "limits", "pricing", "forecast"}),
    frozenset({"providers", "store"}),
    frozenset({"engine", "reports", "exports"}),
    frozenset({"operations"}),
    frozenset({"cli"}),
)
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}
FRONT_DOORS = {"__init__", "__main__"}  # of the package: they may open any room
SIMULATOR_MAY = LAYERS[0] | LAYERS[1]
MAY_SIMULATE = {"operations", "cli"}  # what is judged by the simulator must not know it


def _modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if _room(path) not in FRONT_DOORS)


def _room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _imported_rooms(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [node.module]
            if node.module == "batchai":
                names = [f"batchai.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "batchai" and len(parts) > 1 and parts[1] != "__version__":
                yield parts[1]


def test_every_room_has_its_layer() -> None:
    rooms = {_room(path) for path in _modules()}
    assert rooms - {"simulator"} == set(LEVEL)


@pytest.mark.parametrize("path", _modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_downwards(path: Path) -> None:
    room = _room(path)
    imported = {other for other in _imported_rooms(path) if other != room}
    if room == "simulator":
        assert imported <= SIMULATOR_MAY
    else:
        if room in MAY_SIMULATE:
            imported -= {"simulator"}
        upward = {other for other in imported if LEVEL.get(other, 99) >= LEVEL[room]}
        assert not upward
