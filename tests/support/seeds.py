"""Which seeds a test with many of them takes, and how to take a single one again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

#: What a test draws by that has no seeds of its own: the first that ASYNCSCTP_SEED names.
SEED = int(os.environ.get("ASYNCSCTP_SEED", "0").partition("-")[0])


def seeds(count: int) -> range:
    """The first so many, or what ASYNCSCTP_SEED says: one number, or two with a minus between them."""
    wanted = os.environ.get("ASYNCSCTP_SEED", "")
    first, _, last = wanted.partition("-")
    return range(int(first), int(last or first) + 1) if wanted else range(count)


def is_full_run() -> bool:
    """Whether to try everything that a test otherwise takes samples of: ASYNCSCTP_FULL is set."""
    return bool(os.environ.get("ASYNCSCTP_FULL"))


@contextmanager
def replayable(seed: int, file: str, case: str = "") -> Iterator[None]:
    """An error says by which command it is had again."""
    try:
        yield
    except BaseException as error:
        selection = f" -k '{case}'" if case else ""
        error.add_note(f"seed {seed}; again by: ASYNCSCTP_SEED={seed} python -m pytest {file}{selection}")
        raise
