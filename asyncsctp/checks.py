"""Checks of what users give: each error names the value, says what it has to be, and shows what it was.

What a setting may be is in `config`; this knows types and ranges alone.
"""

from __future__ import annotations

from math import inf


def check_bool(name: str, value: object) -> bool:
    """Return `value`, a bool; else raise `TypeError`."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be a bool, not {value!r}")
    return value


def check_int(name: str, value: object, lowest: float = -inf, highest: float = inf, wanted: str = "an int") -> int:
    """Return `value`, an int in this range and no bool; else raise `TypeError`, saying `wanted`, or `ValueError`."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be {wanted}, not {value!r}")
    _check_range(name, value, lowest, highest)
    return value


def check_number(name: str, value: object, lowest: float, highest: float = inf, wanted: str = "a number") -> float:
    """Return `value`, an int or float in this range; else raise `TypeError`, saying `wanted`, or `ValueError`."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be {wanted}, not {value!r}")
    _check_range(name, value, lowest, highest)
    return value


def _check_range(name: str, value: float, lowest: float, highest: float) -> None:
    if not lowest <= value <= highest:
        bounds = f"at least {lowest}" if highest == inf else f"between {lowest} and {highest}"
        raise ValueError(f"{name} must be {bounds}, not {value!r}")
