"""The rules of the house, as tests: who may import whom, and that the core has no clock."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import asyncsctp

PACKAGE = Path(asyncsctp.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

# Rooms from the ground up: a room may import those of a lower floor, and itself.
FLOORS: dict[str, int] = {
    "errors": -1,
    "events": 0,
    "plugins": 0,
    "timers": 0,
    "config": 0,
    "statistics": 0,
    "tables": 0,
    "wire": 1,
    "schedulers": 1,
    "congestion": 1,
    "inbound": 2,
    "outbound": 2,
    "paths": 2,
    "handlers": 3,
    "outbox": 3,
    "packetizer": 4,
    "rooms": 5,
    "lifecycle": 6,
    "dispatch": 6,
    "overview": 6,
    "association": 7,
    "invariants": 8,
    "out_of_the_blue": 7,
    "sharing": 8,
    "directory": 8,
    "strangers": 9,
    "endpoint": 10,
    "aio": 11,
    "testing": 12,
    "cli": 13,
    "__main__": 14,
    "__init__": 14,
    "_source": -1,
}
LEAVES = {"inbound", "outbound", "paths", "schedulers", "congestion"}
MAY_TOUCH_THE_WORLD = {"aio", "testing", "cli", "__main__", "__init__"}
THE_WORLD = {"asyncio", "random", "select", "selectors", "socket", "threading", "time", "uvloop"}


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def name(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def runtime_imports(path: Path) -> list[tuple[str, bool]]:
    """What a module imports when it runs: (name, whether it is one of ours); `if TYPE_CHECKING` is left out."""
    depth = len(path.relative_to(PACKAGE).parts) - 1
    found: list[tuple[str, bool]] = []

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return
        if isinstance(node, ast.Import):
            found.extend((alias.name.split(".")[0], False) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level == 0:
                found.append(((node.module or "").split(".")[0], False))
            else:
                base = list(path.relative_to(PACKAGE).parts[: depth + 1 - node.level])
                target = base + (node.module.split(".") if node.module else [])
                if target:
                    found.append((target[0], True))
                else:
                    found.extend((alias.name, True) for alias in node.names)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(tree(path))
    return found


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_imports_go_down(path: Path) -> None:
    here = room(path)
    for target, ours in runtime_imports(path):
        if not ours or target == here or here == "__init__":
            continue
        if target not in FLOORS:
            continue  # a name of the package's own __init__, checked below
        constants_only = here == "config" and target == "wire"
        assert FLOORS[target] < FLOORS[here] or constants_only, f"{name(path)} imports {target}, which is not below it"


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_the_core_has_no_clock_and_no_socket(path: Path) -> None:
    if room(path) in MAY_TOUCH_THE_WORLD:
        return
    outside = {target for target, ours in runtime_imports(path) if not ours}
    assert not outside & THE_WORLD


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_leaf_rooms_know_nothing_of_one_another(path: Path) -> None:
    if room(path) not in LEAVES:
        return
    ours = {target for target, is_ours in runtime_imports(path) if is_ours} - {room(path)}
    allowed = {"wire", "timers", "config", "errors", "events", "plugins", "tables"}
    if room(path) == "outbound":
        allowed |= {"schedulers"}
    if room(path) == "paths":
        allowed |= {"congestion"}
    assert ours <= allowed


def test_every_module_says_what_it_is() -> None:
    silent = [name(path) for path in MODULES if not ast.get_docstring(tree(path))]
    assert not silent


def test_public_names_have_docstrings() -> None:
    """In the source: a class that is compiled has none at run time."""
    documented = {
        node.name
        for path in MODULES
        for node in tree(path).body
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(node)
    }
    things = [each for each in asyncsctp.__all__ if callable(getattr(asyncsctp, each))]
    assert len(things) > 30
    assert not set(things) - documented
