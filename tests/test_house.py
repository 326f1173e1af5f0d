"""The rules of the house, as tests: who may import whom, and that the core has no clock."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import asyncsctp
import asyncsctp.testing

PACKAGE = Path(asyncsctp.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

# Rooms from the ground up: a room may import from lower floors, and from itself.
FLOORS: dict[str, int] = {
    "_source": 0,
    "checks": 0,
    "errors": 0,
    "path_state": 0,
    "random_source": 0,
    "events": 1,
    "plugins": 1,
    "timers": 1,
    "config": 1,
    "statistics": 1,
    "tables": 1,
    "wire": 2,
    "schedulers": 2,
    "congestion": 2,
    "inbound": 3,
    "outbound": 3,
    "paths": 3,
    "handlers": 4,
    "association": 5,
    "endpoint": 6,
    "udp": 7,
    "aio": 8,
    "testing": 9,
    "cli": 10,
    "__main__": 11,
    "__init__": 11,
}
LEAVES = {"inbound", "outbound", "paths", "schedulers", "congestion"}
MAY_TOUCH_THE_WORLD = {"aio", "udp", "testing", "cli", "__main__", "__init__"}
THE_WORLD = {"asyncio", "random", "select", "selectors", "socket", "threading", "time", "uvloop"}
#: Base classes that are contracts: for plug-ins, for the lower layer, for the embedder.
CONTRACTS = {"AssociationUser", "CongestionController", "DatagramError", "PacketProtocol", "StreamScheduler"}
#: Base classes with a single subclass that are to become objects of their own.
TO_DISSOLVE: set[str] = set()

#: Words that are no part of a name: everyday English and the RFCs' terms say the same (docs/architecture.md).
BANNED = frozenset(
    [
        "furnish",
        "furnished",
        "vacate",
        "vacated",
        "dismiss",
        "dismissed",
        "readmit",
        "lane",
        "lanes",
        "brim",
        "ebb",
        "astray",
        "fate",
        "fates",
        "owed",
        "blanket",
        "settle",
        "settled",
        "settles",
        "settling",
        "stranger",
        "strangers",
    ]
)
#: Modules that share a base name: the core's and asyncio's of the same thing, a format and the conversation in it,
#: and what each kind of plug-in has.
SHARED_BASE_NAMES = {"association", "endpoint"} | {"auth"} | {"base", "guard"}
#: Classes that share a name: the core's and asyncio's of the same thing.
SHARED_CLASS_NAMES = {"Association", "Endpoint", "Path"}


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def name(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path) -> list[tuple[str, bool]]:
    """What a module imports, for types alone too: (dotted name, whether it is one of ours)."""
    package = path.relative_to(PACKAGE).parts[:-1]
    found: list[tuple[str, bool]] = []
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found.extend((alias.name, False) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.append((node.module or "", False))
        elif isinstance(node, ast.ImportFrom):
            base = ".".join([*package[: len(package) + 1 - node.level], *filter(None, [node.module])])
            found.extend((f"{base}.{alias.name}" if base else alias.name, True) for alias in node.names)
    return found


def identifiers(path: Path) -> Iterator[str]:
    """Yield each name in a module: of modules, classes, functions, arguments, variables and attributes."""
    yield path.stem
    for node in ast.walk(tree(path)):
        for field in ("name", "id", "attr", "arg", "asname"):
            if isinstance(value := getattr(node, field, None), str):
                yield value


def words(identifier: str) -> list[str]:
    """Return the words of a name in snake_case or CamelCase, in small letters."""
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", identifier)]


def shared(names: Iterator[tuple[str, Path]]) -> dict[str, list[str]]:
    """Return the names that occur twice or more, each with the modules where it does."""
    places: dict[str, list[str]] = {}
    for each, path in names:
        places.setdefault(each, []).append(name(path))
    return {each: where for each, where in places.items() if len(where) > 1}


def module(dotted: str) -> Path | None:
    """The module that a dotted name of ours, of a module or of something in one, belongs to."""
    parts = dotted.split(".")
    for count in range(len(parts), 0, -1):
        stem = PACKAGE.joinpath(*parts[:count])
        for candidate in (stem.with_suffix(".py"), stem / "__init__.py"):
            if candidate.is_file():
                return candidate
    return None


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_imports_go_down(path: Path) -> None:
    here = room(path)
    for dotted, ours in imports(path):
        target = dotted.split(".")[0]
        if not ours or target == here or here == "__init__" or target not in FLOORS:
            continue
        constants_only = here == "config" and target in {"wire", "schedulers", "congestion"}
        assert FLOORS[target] < FLOORS[here] or constants_only, f"{name(path)} imports {dotted}, which is not below it"


def test_no_module_imports_itself_by_way_of_others() -> None:
    """Type-time imports count: who reads a module should not have to read all modules of a circle."""
    arrows = {path: {each for dotted, ours in imports(path) if ours and (each := module(dotted))} for path in MODULES}
    circles = []
    for start in MODULES:
        if start.name == "__init__.py":
            continue
        seen: set[Path] = set()
        waiting = list(arrows[start])
        while waiting:
            path = waiting.pop()
            if path not in seen:
                seen.add(path)
                waiting.extend(arrows[path])
        if start in seen:
            circles.append(name(start))
    assert not circles, f"these import themselves by way of others: {sorted(circles)}"


def test_a_base_class_is_a_contract() -> None:
    """What has one subclass and is never made itself is one class in two places."""
    bases: dict[str, list[str]] = {}
    made: set[str] = set()
    classes: set[str] = set()
    for path in MODULES:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ClassDef):
                classes.add(node.name)
                for base in node.bases:
                    inner = base.value if isinstance(base, ast.Subscript) else base
                    if isinstance(inner, ast.Name):
                        bases.setdefault(inner.id, []).append(node.name)
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                made.add(node.func.id)
    public = set(asyncsctp.__all__) | set(asyncsctp.testing.__all__)
    single = {base for base, below in bases.items() if base in classes and len(below) == 1 and base not in made}
    found = single - CONTRACTS - public
    assert found <= TO_DISSOLVE, f"base classes with a single subclass: {sorted(found - TO_DISSOLVE)}"


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_the_core_has_no_clock_and_no_socket(path: Path) -> None:
    if room(path) in MAY_TOUCH_THE_WORLD:
        return
    outside = {target.split(".")[0] for target, ours in imports(path) if not ours} & THE_WORLD
    assert not outside, f"{name(path)} is of the core, and imports {sorted(outside)}"


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_leaf_rooms_know_nothing_of_one_another(path: Path) -> None:
    if room(path) not in LEAVES:
        return
    ours = {target.split(".")[0] for target, is_ours in imports(path) if is_ours} - {room(path)}
    allowed = {"wire", "timers", "checks", "config", "errors", "events", "path_state", "plugins", "tables"}
    if room(path) == "outbound":
        allowed |= {"schedulers"}
    if room(path) == "paths":
        allowed |= {"congestion"}
    assert ours <= allowed, f"{name(path)} is of a leaf room, and imports from {sorted(ours - allowed)}"


def test_every_module_says_what_it_is() -> None:
    silent = [name(path) for path in MODULES if not ast.get_docstring(tree(path))]
    assert not silent, f"modules without a docstring: {silent}"


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
    undocumented = set(things) - documented
    assert not undocumented, f"public names without a docstring: {sorted(undocumented)}"


def test_names_are_everyday_english_and_terms_of_the_rfcs() -> None:
    found = {
        f"{each} in {name(path)}"
        for path in MODULES
        for each in set(identifiers(path))
        if BANNED.intersection(words(each)) or "move_in" in each
    }
    assert not found, f"these names have words that readers do not know: {sorted(found)}"


def test_no_two_modules_share_a_base_name() -> None:
    found = shared((path.stem, path) for path in MODULES if path.stem != "__init__")
    unexplained = {each: found[each] for each in found.keys() - SHARED_BASE_NAMES}
    assert not unexplained, f"modules of one name: {unexplained}"


def test_no_two_classes_share_a_name() -> None:
    found = shared((node.name, path) for path in MODULES for node in tree(path).body if isinstance(node, ast.ClassDef))
    unexplained = {each: found[each] for each in found.keys() - SHARED_CLASS_NAMES}
    assert not unexplained, f"classes of one name: {unexplained}"
