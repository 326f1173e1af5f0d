"""Counts of what things cost: executed lines of Python, the same on every machine, and bytes held."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from types import BuiltinFunctionType, FrameType, FunctionType, ModuleType
from typing import Any

__all__ = ["lines", "size_of"]

#: Code, which nothing that arrives adds to.
SHARED = (type, ModuleType, FunctionType, BuiltinFunctionType)


def size_of(*roots: object) -> int:
    """What these hold, and all that can be reached from there, in bytes."""
    found: dict[int, object] = {}
    waiting = list(roots)
    while waiting:
        each = waiting.pop()
        if id(each) not in found and not isinstance(each, SHARED):
            found[id(each)] = each
            waiting += gc.get_referents(each)
    return sum(map(sys.getsizeof, found.values()))


def lines(action: Callable[[], object]) -> int:
    """How many lines of Python it takes; those of finalizers, which run when it suits the collector, are not in it."""
    counted = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal counted
        counted += event == "line"
        return trace

    before = sys.gettrace()
    was_collecting = gc.isenabled()
    gc.disable()
    sys.settrace(trace)
    try:
        action()
    finally:
        sys.settrace(before)
        if was_collecting:
            gc.enable()
    assert counted > 10
    return counted
