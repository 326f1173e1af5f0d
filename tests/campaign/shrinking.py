"""Find out how little it takes for a seed to fail: leave out one feature after the other, and see."""

from __future__ import annotations

import re
from collections.abc import Iterable

from .families import Family
from .ledger import Failure
from .work import attempt

__all__ = ["brief", "shrink"]


def shrink(family: Family, failure: Failure, limit: float, without: Iterable[str] = ()) -> list[str]:
    """The features without which, all together, the seed fails as it did; as many as can be, and those given.

    First half of them are left out at once, then the other half, then quarters, and so on, down to each by itself.
    """
    left_out = list(without)
    size = len(family.features(failure.seed))
    while size:
        rest = [feature for feature in family.features(failure.seed) if feature not in left_out]
        size = min(size, len(rest))
        for at in range(0, len(rest), max(size, 1)):
            less = attempt(family, failure.seed, limit, [*left_out, *rest[at : at + size]])
            if less is not None and _kind(less) == _kind(failure):
                left_out += rest[at : at + size]
        size //= 2
    return left_out


def brief(features: Iterable[str]) -> str:
    """With commas between them; of several whose numbers follow one another only the first and the last."""
    named: list[str] = []
    runs: list[list[int]] = []
    numbered = re.compile(r"action (\d+)")
    numbers = sorted(int(match[1]) for feature in features if (match := numbered.fullmatch(feature)))
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    named = [feature for feature in features if not numbered.fullmatch(feature)]
    named += [f"action {first}-{last}" if first != last else f"action {first}" for first, last in runs]
    return ",".join(named)


def _kind(failure: Failure) -> str:
    """What it says, without the numbers in it."""
    return re.sub(r"[0-9.]+", "", failure.summary)
