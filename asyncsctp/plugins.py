"""A user's plug-in is made, and what is said of one that makes a mistake.

Who takes over is in `congestion.guard` and `schedulers.guard`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def spell(value: object) -> str:
    """Write a value as `repr` does, even one that can't be written so."""
    try:
        return repr(value)
    except Exception:
        return f"<{type(value).__qualname__}>"


def describe(error: Exception) -> str:
    """Say what an exception is, even one that can't say it itself."""
    name = type(error).__name__
    try:
        text = str(error)
    except Exception:
        return name
    return f"{name}: {text}" if text else name


def fault(text: str, cause: Exception | None) -> RuntimeError:
    """Make the error that the user is told."""
    error = RuntimeError(text)
    error.__cause__ = cause
    return error


def make_plugin(
    kind: str, contract: type[T], factory: Callable[..., object], report: Callable[[Exception], object], *args: object
) -> T | None:
    """Return what the user's factory makes of these arguments; None if it is not of the contract's class, or if the
    factory raises, which `report` is told.
    """
    try:
        made = factory(*args)
    except Exception as error:
        report(fault(f"{kind} {spell(factory)} could not be made: {describe(error)}", error))
        return None
    if isinstance(made, contract):
        return made
    report(fault(f"{kind} {spell(factory)} made {spell(made)}, which is not a {contract.__name__}", None))
    return None
