"""What is said of a user's plug-in that makes a mistake; who takes over is known where plug-ins of its kind are."""

from __future__ import annotations


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
